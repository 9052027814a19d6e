import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { beforeEach, describe, expect, it } from 'vitest';
import { Job, JobContext, OnSuccessFeedback, type Feedback, type JobReactorOptions } from '../../lib/index.js';
import { databaseKinds } from '../support/databases.js';
import { within } from '../support/deadline.js';
import { eventually, Facts, joined, reactors, type Application } from '../support/reactor.js';

@Injectable()
class Work {
  @Job('work')
  work(@Payload() args: { result?: unknown }, @Ctx() ctx: JobContext): unknown {
    return args.result ?? ctx.job.node;
  }
}

describe('a node that is gone', () => {
  const system = reactors();
  let web: Application;
  beforeEach(async () => {
    web = await system.application();
  });
  const inProcess = (name: string, more: Partial<JobReactorOptions['node']> = {}) =>
    system.process(
      { node: { name, storage: 'memory', distributors: [{ host: '127.0.0.1', port: web.port }], ...more } },
      [web],
    );

  it('stopped: new jobs go to another', async () => {
    const one = await system.node({ name: 'one', to: web, providers: [Work] });
    expect(await web.client.run('work', {})).toBe('one');
    await system.node({ name: 'two', to: web, providers: [Work] });
    await one.close();
    for (let n = 0; n < 10; n++) expect(await web.client.run('work', {})).toBe('two');
  });

  it('while it stops it takes no new job, and what it runs comes to its end', async () => {
    const one = await inProcess('one');
    await system.node({ name: 'two', to: web, providers: [Work] });
    const running = await web.client.enqueue('work', { do: 'wait' }, { node: 'one' });
    await one.started();
    const exit = one.kill('SIGTERM');
    await eventually('it drains', () => web.distributor.nodes().some(({ draining }) => draining));
    for (let n = 0; n < 10; n++) expect(await web.client.run('work', {}, { node: 'one' })).toBe('two');
    one.finish(running.id, 'in peace');
    expect(await running.result()).toBe('in peace');
    expect(await exit).toEqual({ code: null, signal: 'SIGTERM' });
    expect(one.starts).toHaveLength(1);
  });

  it('killed with SIGKILL: new jobs go to another', async () => {
    const one = await inProcess('one');
    await system.node({ name: 'two', to: web, providers: [Work] });
    expect(await web.client.run('work', { result: 'alive' }, { node: 'one' })).toBe('alive');
    const lost = new Promise((resolve) => web.distributor.on('node lost', resolve));
    await one.kill('SIGKILL');
    await within(lost, 'the news of its loss');
    for (let n = 0; n < 10; n++) expect(await web.client.run('work', {}, { node: 'one' })).toBe('two');
  });

  it('killed with jobs in its memory: they run on another once it has stayed away for handoffTimeout', async () => {
    const one = await inProcess('one', { handoffTimeout: 300 });
    const jobs = await web.client.enqueueMany(
      Array.from({ length: 20 }, () => ({
        job: 'work',
        args: { do: 'hang' },
        options: { confirm: 'stored' as const },
      })),
    );
    await one.started();
    await one.kill('SIGKILL');
    await system.node({ name: 'two', to: web, providers: [Work] });
    expect(await Promise.all(jobs.map((job) => job.result({ timeout: '60s' })))).toEqual(Array(20).fill('two'));
  });

  it('killed with an end in its memory that could not be told: the job does not begin anew, and its end is told again', async () => {
    const told = new Facts<{ node: unknown; attempt: number }>();
    @Injectable()
    class Hears {
      @OnSuccessFeedback('work')
      async heard({ job, args }: Feedback): Promise<void> {
        if ((args as { do?: string }).do === 'hang') return;
        told.tell({ node: job.node, attempt: job.attempt });
        if (told.all.length === 1) await gone;
        if (told.all.length <= 2) throw new Error('not now');
      }
    }
    let isGone: () => void = () => undefined;
    const gone = new Promise<void>((resolve) => (isGone = resolve));
    web = await system.application({ providers: [Hears] });
    const lost = new Promise((resolve) => web.distributor.on('node lost', resolve));
    const one = await inProcess('one', { handoffTimeout: 300 });
    await web.client.enqueue('work', { result: 'one' });
    await told.count(1);
    const hanging = await web.client.enqueue('work', { do: 'hang' }, { confirm: 'stored' });
    await one.kill('SIGKILL');
    await within(lost, 'the news of its loss');
    await system.node({ name: 'two', to: web, providers: [Work] });
    // Once this one has been handed over, so would be the other.
    expect(await hanging.result({ timeout: '60s' })).toBe('two');
    isGone();
    await told.count(3);
    expect(told.all).toEqual(Array(3).fill({ node: 'one', attempt: 1 }));
    expect(web.distributor.backlog().unconfirmed).toBe(0);
  });

  it('killed before it confirmed what it was sent: nothing of it is lost', async () => {
    const one = await inProcess('one', { handoffTimeout: 300 });
    process.kill(one.child.pid!, 'SIGSTOP'); // it reads nothing any more, but its connection stands
    const jobs = await web.client.enqueueMany(
      Array.from({ length: 10 }, (_, result) => ({ job: 'work', args: { result } })),
    );
    await one.kill('SIGKILL');
    await system.node({ name: 'two', to: web, providers: [Work] });
    const results = await Promise.all(jobs.map((job) => job.result({ timeout: '60s' })));
    expect(results).toEqual(Array.from({ length: 10 }, (_, result) => result));
  });
});

describe('no node is connected', () => {
  const system = reactors();

  it('jobs wait in the distributor and leave the moment one connects', async () => {
    const web = await system.application();
    const jobs = await web.client.enqueueMany(
      Array.from({ length: 500 }, (_, result) => ({ job: 'work', args: { result } })),
    );
    expect(web.distributor.backlog()).toEqual({ unconfirmed: 500, pending: 500, byName: { work: 500 } });
    const results = Promise.all(jobs.map((job) => job.result()));
    const stored = Promise.all(jobs.map((job) => job.stored()));
    const joining = joined(web, 'one');
    await system.node({ to: web, providers: [Work] });
    await joining;
    const since = performance.now();
    await stored;
    expect(performance.now() - since).toBeLessThan(5000);
    expect(await results).toEqual(Array.from({ length: 500 }, (_, result) => result));
    expect(web.distributor.backlog()).toEqual({ unconfirmed: 0, pending: 0, byName: {} });
  });

  it('at most maxPending of them: one more is refused with BACKLOG_FULL, and accepted when there is room again', async () => {
    const web = await system.application({ maxPending: 3 });
    const jobs = [];
    for (let result = 0; result < 3; result++) jobs.push(await web.client.enqueue('work', { result }));
    await expect(web.client.enqueue('work', {})).rejects.toMatchObject({ name: 'JobRejected', code: 'BACKLOG_FULL' });
    expect(web.distributor.backlog().pending).toBe(3);
    await system.node({ to: web, providers: [Work] });
    expect(await Promise.all(jobs.map((job) => job.result()))).toEqual([0, 1, 2]);
    expect(await web.client.run('work', { result: 3 })).toBe(3);
  });

  it('a batch that does not fit is refused as a whole', async () => {
    const web = await system.application({ maxPending: 3 });
    const batch = Array.from({ length: 4 }, () => ({ job: 'work', args: {} }));
    await expect(web.client.enqueueMany(batch)).rejects.toMatchObject({ code: 'BACKLOG_FULL' });
    expect(web.distributor.backlog().pending).toBe(0);
  });

  it('a repeat of a job that waits is no new job: it is not refused when the backlog is full', async () => {
    const web = await system.application({ maxPending: 1 });
    const id = '018f0000-0000-7000-8000-00000000000a';
    const first = await web.client.enqueue('work', { result: 1 }, { id });
    expect((await web.client.enqueue('work', { result: 2 }, { id })).duplicate).toBe(true);
    await system.node({ to: web, providers: [Work] });
    expect(await first.result()).toBe(1);
  });

  it.each(databaseKinds)('with an outbox in %s they survive a SIGKILL of the application', async (kind) => {
    const outbox = await system.database(kind);
    const first = await system.process({ distributor: { name: 'web', port: 0, outbox } });
    const ids = [];
    for (let result = 0; result < 20; result++) ids.push(await first.enqueue('work', { result }));
    await first.kill('SIGKILL');
    const again = await system.application({ outbox });
    expect(again.distributor.backlog().pending).toBe(20);
    const ran = new Facts<string>();
    await system.node({ to: again, providers: [telling(ran)] });
    expect((await ran.count(20)).sort()).toEqual(ids.sort());
    await eventually('the outbox is empty', () => again.distributor.backlog().unconfirmed === 0);
  });
});

describe.each(databaseKinds)('a node killed with SIGKILL and started again on its jobs in %s', (kind) => {
  const system = reactors();
  let web: Application;
  let options: JobReactorOptions;
  beforeEach(async () => {
    web = await system.application();
    const storage = await system.database(kind);
    const distributors = [{ host: '127.0.0.1', port: web.port }];
    options = {
      node: { name: 'one', storage, distributors, concurrency: 4, prefetch: 4 },
    };
  });

  it('runs what it was running and what had not started, with the killed attempt counted', async () => {
    const first = await system.process(options, [web]);
    const jobs = await web.client.enqueueMany(
      Array.from({ length: 8 }, () => ({ job: 'work', args: { do: 'wait' }, options: { confirm: 'stored' as const } })),
    );
    for (let n = 0; n < 4; n++) await first.started();
    const ran = new Set(first.starts.map(({ id }) => id));
    const results = Promise.all(jobs.map((job) => job.result({ timeout: '60s' })));
    await first.kill('SIGKILL');

    const again = await system.process(options, [web]);
    for (let n = 0; n < 8; n++) {
      const { id, attempt } = await again.started();
      expect(attempt).toBe(ran.has(id) ? 2 : 1);
      again.finish(id, attempt);
    }
    expect((await results).sort()).toEqual([1, 1, 1, 1, 2, 2, 2, 2]);
    expect(new Set(again.starts.map(({ id }) => id))).toEqual(new Set(jobs.map(({ id }) => id)));
  });

  it('keeps what it knew of an earlier failure: attempt, last error and the time of the retry', async () => {
    const first = await system.process(options, [web]);
    const job = await web.client.enqueue('work', { do: 'fail-once', result: 'ok' }, { backoff: '2s', maxAttempts: 2 });
    await first.started();
    await eventually('it waits for its retry', async () => (await web.client.find(job.id))?.status === 'retrying');
    const before = (await web.client.find(job.id))!;
    await first.kill('SIGKILL');

    const result = job.result({ timeout: '60s' });
    const again = await system.process(options, [web]);
    const second = await again.started();
    expect(second).toMatchObject({ attempt: 2, lastError: 'told to fail once' });
    expect(second.at).toBeGreaterThanOrEqual(before.dueAt);
    expect(await result).toBe('ok');
  });

  it('runs a deferred job at its time, not before, also when that time came while it was dead', async () => {
    const first = await system.process(options, [web]);
    const runAt = Date.now() + 2500;
    const due = await web.client.enqueue('work', { result: 'on time' }, { runAt, confirm: 'stored' });
    const missed = await web.client.enqueue('work', { result: 'late' }, { after: 1000, confirm: 'stored' });
    const results = [due.result({ timeout: '60s' }), missed.result({ timeout: '60s' })];
    await first.kill('SIGKILL');
    expect(first.starts).toEqual([]);
    await eventually('the moment it was dead for', () => Date.now() > runAt - 1300);

    const again = await system.process(options, [web]);
    expect(await Promise.all(results)).toEqual(['on time', 'late']);
    const started = await again.started(({ id }) => id === due.id);
    expect(started.at).toBeGreaterThanOrEqual(runAt);
    // Each once. On a machine so busy that both are due when it is back, they begin at the same time.
    expect(again.starts.map(({ id }) => id).sort()).toEqual([missed.id, due.id].sort());
  });

  it('goes on with a periodic job: its runs and the args it counts in are kept', async () => {
    const first = await system.process(options, [web]);
    const ticks = new Facts<{ result: unknown; run: number }>();
    const job = await web.client.enqueue(
      'work',
      { do: 'count' },
      {
        period: 50,
        onSuccess: ({ result, job: { run } }) => ticks.tell({ result, run }),
      },
    );
    await ticks.count(3);
    await first.kill('SIGKILL');
    const before = ticks.all.length;

    const again = await system.process(options, [web]);
    const next = await again.started();
    expect(next).toMatchObject({ id: job.id });
    expect(next.run).toBeGreaterThan(before);
    await ticks.count(before + 3);
    // Every run counted one further, none was lost and none began anew.
    expect(ticks.all.map(({ result }) => result)).toEqual(ticks.all.map((_, index) => index + 1));
    expect(ticks.all.map(({ run }) => run)).toEqual(ticks.all.map((_, index) => index + 1));
    expect(await job.cancel()).toBe('cancelled');
  });

  it('a job that kills its process again and again is dead after maxCrashes', async () => {
    options.node!.maxCrashes = 2;
    const first = await system.process(options, [web]);
    const job = await web.client.enqueue('work', { do: 'exit' });
    const result = expect(job.result({ timeout: '60s' })).rejects.toMatchObject({ code: 'JOB_FAILED', status: 'dead' });
    await first.exit;
    const second = await system.process(options);
    await second.exit;
    await system.process(options, [web]);
    await result;
    expect(await web.client.find(job.id)).toMatchObject({
      status: 'dead',
      attempt: 2,
      lastError: { code: 'JOB_DEAD' },
    });
  });
});

function telling(ran: Facts<string>) {
  @Injectable()
  class Telling {
    @Job('work')
    work(@Ctx() ctx: JobContext): void {
      ran.tell(ctx.job.id);
    }
  }
  return Telling;
}
