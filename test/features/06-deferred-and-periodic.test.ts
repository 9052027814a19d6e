import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { beforeEach, describe, expect, it } from 'vitest';
import { CancelJob, Job, JobContext } from '../../lib/index.js';
import { Facts, reactors, type Application } from '../support/reactor.js';

interface Ran {
  id: string;
  at: number;
  runAt: number;
  run: number;
  attempt: number;
  args: Args;
}
interface Args {
  count?: number;
  until?: number;
  fails?: number;
  takes?: number;
}

function work(ran: Facts<Ran>) {
  @Injectable()
  class Work {
    @Job('work')
    async work(@Payload() args: Args, @Ctx() ctx: JobContext): Promise<unknown> {
      const { id, runAt, run, attempt } = ctx.job;
      ran.tell({ id, at: Date.now(), runAt, run, attempt, args });
      const takes = args.takes;
      if (takes) await new Promise((resolve) => setTimeout(resolve, takes));
      if (run === args.fails && attempt === 1) throw new Error('told to fail');
      const count = (args.count ?? 0) + 1;
      ctx.args['count'] = count;
      if (count === args.until) throw new CancelJob('enough');
      return count;
    }
  }
  return Work;
}

describe.each(['memory', 'sqlite'] as const)('deferred and periodic jobs, node storage %s', (kind) => {
  const system = reactors();
  let web: Application;
  let ran: Facts<Ran>;
  beforeEach(async () => {
    ran = new Facts();
    web = await system.application();
    const database = join(await system.folder(), 'jobs.sqlite');
    await system.node({
      to: web,
      providers: [work(ran)],
      storage: kind === 'memory' ? kind : { type: 'sqlite', database },
    });
  });

  it('`after` runs a job that much later, and never early', async () => {
    const before = Date.now();
    const jobs = await web.client.enqueueMany(
      [300, 100, 200, 0].map((after) => ({ job: 'work', args: { after }, options: { after } })),
    );
    await Promise.all(jobs.map((job) => job.result()));
    expect(ran.all.map(({ args }) => (args as { after: number }).after)).toEqual([0, 100, 200, 300]);
    for (const { at, args } of ran.all) {
      const wait = at - before;
      expect(wait).toBeGreaterThanOrEqual((args as { after: number }).after);
      expect(wait).toBeLessThan((args as { after: number }).after + 5000);
    }
  });

  it('of many jobs that are due one after another none starts before its own time', async () => {
    const jobs = await web.client.enqueueMany(
      Array.from({ length: 100 }, (_, n) => ({ job: 'work', args: {}, options: { after: 50 + 2 * n } })),
    );
    await Promise.all(jobs.map((job) => job.result()));
    expect(ran.all.filter(({ at, runAt }) => at < runAt)).toEqual([]);
  });

  it('`after` takes text as well as milliseconds', async () => {
    const before = Date.now();
    await web.client.run('work', {}, { after: '0.1s' });
    expect(ran.all[0]!.at - before).toBeGreaterThanOrEqual(100);
  });

  it.each([
    ['a Date', (time: number) => new Date(time)],
    ['milliseconds', (time: number) => time],
    ['ISO text with an offset', (time: number) => new Date(time).toISOString()],
  ])('`runAt` as %s runs a job at that time, and ctx.job tells it', async (_, spelt) => {
    const time = Date.now() + 150;
    await web.client.run('work', {}, { runAt: spelt(time) });
    expect(ran.all[0]!.at).toBeGreaterThanOrEqual(time);
    expect(ran.all[0]!.runAt).toBe(time);
  });

  it('a `runAt` that is past runs now', async () => {
    expect(await web.client.run('work', {}, { runAt: new Date('2001-01-01T00:00:00Z') })).toBe(1);
  });

  it('a job that is due later does not hold up one that is due now', async () => {
    await web.client.enqueueMany(
      Array.from({ length: 100 }, () => ({ job: 'work', args: {}, options: { after: '1 day' } })),
    );
    expect(await web.client.run('work', { count: 7 })).toBe(8);
    expect(ran.all).toHaveLength(1);
  });

  it('`period` runs a job again that long after each run ended, the first time at once', async () => {
    await web.client.enqueue('work', {}, { period: '1 hour' });
    expect(await ran.next()).toMatchObject({ run: 1 });
    ran.all.length = 0;
    const job = await web.client.enqueue('work', { takes: 50 }, { period: 100 });
    const [first, second, third] = await ran.count(3);
    // 50 ms of work, then the period of 100 ms.
    expect(second!.at - first!.at).toBeGreaterThanOrEqual(149);
    expect(third!.at - second!.at).toBeGreaterThanOrEqual(149);
    expect(ran.all.map(({ run }) => run).slice(0, 3)).toEqual([1, 2, 3]);
    expect(await job.cancel()).toBe('cancelled');
  });

  it.each(['after', 'runAt'] as const)(
    '`period` and `%s`: the first run is then, the next one period later',
    async (when) => {
      const first = Date.now() + 200;
      const options = when === 'after' ? { after: 200 } : { runAt: first };
      const job = await web.client.enqueue('work', {}, { ...options, period: 50 });
      const runs = await ran.count(3);
      expect(runs[0]!.at).toBeGreaterThanOrEqual(first);
      expect(runs[1]!.at - runs[0]!.at).toBeGreaterThanOrEqual(50);
      expect(runs[2]!.at - runs[1]!.at).toBeGreaterThanOrEqual(50);
      await job.cancel();
    },
  );

  it('every run of a periodic job tells its own success feedback', async () => {
    const told = new Facts<{ status: string; result: unknown; run: number }>();
    const job = await web.client.enqueue(
      'work',
      {},
      {
        period: 20,
        onSuccess: ({ status, result, job: { run } }) => told.tell({ status, result, run }),
      },
    );
    const runs = await told.count(3);
    expect(runs.slice(0, 3)).toEqual([1, 2, 3].map((run) => ({ status: 'succeeded', result: run, run })));
    await job.cancel('done');
    expect(await told.next(({ status }) => status === 'cancelled')).toBeTruthy();
  });

  it('a periodic job counts in its args and stops by CancelJob on that condition', async () => {
    const job = await web.client.enqueue('work', { until: 4 }, { period: 20 });
    await expect(job.result({ timeout: '60s' })).rejects.toMatchObject({ code: 'JOB_CANCELLED', reason: 'enough' });
    expect(ran.all.map(({ args }) => args.count)).toEqual([undefined, 1, 2, 3]);
    await web.client.run('work', {}, { after: 100 });
    expect(ran.all).toHaveLength(5);
    expect(await web.client.cancel(job.id)).toBe('already-final');
  });

  it('a run that fails does not stop a periodic job: it is tried again, then the runs go on from the same args', async () => {
    const job = await web.client.enqueue('work', { fails: 2, until: 4 }, { period: 30, backoff: 10 });
    await expect(job.result({ timeout: '60s' })).rejects.toMatchObject({ reason: 'enough' });
    expect(ran.all.map(({ run, attempt, args }) => [run, attempt, args.count])).toEqual([
      [1, 1, undefined],
      [2, 1, 1],
      [2, 2, 1],
      [3, 1, 2],
      [4, 1, 3],
    ]);
  });

  it('two runs of one periodic job never overlap', async () => {
    const job = await web.client.enqueue('work', { takes: 60 }, { period: 1 });
    const runs = await ran.count(4);
    for (let n = 1; n < 4; n++) expect(runs[n]!.at - runs[n - 1]!.at).toBeGreaterThanOrEqual(59);
    await job.cancel();
  });
});

describe('the time a job waits for a node counts', () => {
  const system = reactors();

  it('a deferred job enqueued while no node was there runs at its time, not later by its wait', async () => {
    const ran = new Facts<Ran>();
    const web = await system.application();
    const before = Date.now();
    const jobs = await web.client.enqueueMany(
      [1, 2000].map((after) => ({ job: 'work', args: {}, options: { after } })),
    );
    await new Promise((resolve) => setTimeout(resolve, 1000)); // the wait is what is tested
    await system.node({ to: web, providers: [work(ran)] });
    await Promise.all(jobs.map((job) => job.result()));
    expect(ran.all.map(({ id }) => id)).toEqual(jobs.map(({ id }) => id));
    expect(ran.all[1]!.at - before).toBeGreaterThanOrEqual(2000);
    expect(ran.all[1]!.at - before).toBeLessThan(2900);
  });
});
