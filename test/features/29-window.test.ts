import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.js';
import { Job, JobContext, type Feedback, type DatabaseOptions, type JobHandle } from '../../lib/index.js';
import { createStorage } from '../../lib/storage/create-storage.js';
import { databaseKinds, describeEachDatabase } from '../support/databases.js';
import { eventually, Facts, reactors, type Application } from '../support/reactor.js';
import { smallWindow } from '../support/small-window.js';

/** So many jobs are held whole, twice as many before some are let go; of the others there are only ids. */
const WINDOW = 3;
const MANY = 40;

interface Ran {
  id: string;
  priority: number;
  n: number;
}

function works(ran: Facts<Ran>) {
  @Injectable()
  class Works {
    @Job('work')
    work(@Payload() { n }: { n: number }, @Ctx() { job }: JobContext): number {
      ran.tell({ id: job.id, priority: job.priority, n });
      return n;
    }
  }
  return Works;
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

function enqueue(
  { client }: Pick<Application, 'client'>,
  count: number,
  options: (n: number) => object = () => ({}),
): Promise<JobHandle[]> {
  return client.enqueueMany(numbers(count).map((n) => ({ job: 'work', args: { n }, options: options(n) })));
}

describe('an outbox in memory, from which nothing could be read again', () => {
  const system = reactors();

  it('holds all of its jobs whole, however long their args are: every one runs once', async () => {
    const web = await system.application();
    const ran = new Facts<Ran>();
    const text = 'x'.repeat(500_000);
    const jobs = numbers(90).map((n) => ({ job: 'work', args: { n, text } }));
    const handles = await web.client.enqueueMany(jobs);
    expect(web.distributor.backlog().pending).toBe(90);
    await system.node({ to: web, providers: [works(ran)] });
    expect(await Promise.all(handles.map((job) => job.result({ timeout: '30s' })))).toEqual(numbers(90));
    expect(ran.all.map(({ n }) => n).toSorted((a, b) => a - b)).toEqual(numbers(90));
  });
});

describe.each(databaseKinds)('more jobs wait for a node than are held whole, outbox %s', (kind) => {
  const system = reactors();
  const application = (outbox: DatabaseOptions, more: object = {}): Promise<Application> =>
    system.application({ outbox, imports: [smallWindow(WINDOW)], ...more });

  it('every one runs once, the more urgent before the others, and closures and handles hear of it', async () => {
    const web = await application(await system.database(kind));
    const ran = new Facts<Ran>();
    const heard = new Facts<string>();
    const jobs = await enqueue(web, MANY, (n) => ({
      priority: n % 4,
      ...(n % 5 === 0 ? { onSuccess: ({ job }: Feedback) => heard.tell(job.id) } : {}),
    }));
    expect(web.distributor.backlog()).toEqual({ unconfirmed: MANY, pending: MANY, byName: { work: MANY } });
    await system.node({ to: web, providers: [works(ran)], concurrency: 1, prefetch: 0 });
    expect(await Promise.all(jobs.map((job) => job.result({ timeout: '30s' })))).toEqual(numbers(MANY));
    expect(ran.all.map(({ n }) => n).toSorted((a, b) => a - b)).toEqual(numbers(MANY));
    // The node takes one at a time: what is on its way is not overtaken.
    const priorities = ran.all.map(({ priority }) => priority);
    expect(priorities).toEqual(priorities.toSorted((a, b) => b - a));
    await heard.count(MANY / 5);
    expect(new Set(heard.all)).toEqual(new Set(jobs.filter((_, n) => n % 5 === 0).map(({ id }) => id)));
    await eventually('nothing is left', () => web.distributor.backlog().unconfirmed === 0);
  });

  it('whoever asks is told of all of them: find, cancel, jobs, remove, retry, runNow', async () => {
    const web = await application(await system.database(kind));
    const { client, distributor } = web;
    const jobs = await enqueue(web, MANY);
    const ids = jobs.map(({ id }) => id);
    const at = (n: number): string => ids.at(n)!;

    expect(await client.find(at(-1))).toMatchObject({
      id: at(-1),
      status: 'queued',
      node: null,
      args: { n: MANY - 1 },
    });
    expect(await client.retry(at(-1))).toMatchObject({ answer: 'not-final' });
    expect(await client.runNow(at(-1))).toMatchObject({ answer: 'not-final' });

    const told: string[] = [];
    for (let after: string | null = null; ;) {
      const page: { jobs: { id: string }[]; after: string | null } = await client.jobs({ limit: 7, after });
      told.push(...page.jobs.map(({ id }) => id));
      if (page.after === null) break;
      after = page.after;
    }
    expect(told).toEqual(ids);
    expect((await client.jobs({ name: 'other' })).jobs).toEqual([]);

    const cancelled = expect(jobs.at(-2)!.result({ timeout: '30s' })).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
    expect(await client.cancel(at(-2), 'not wanted')).toBe('cancelled');
    await cancelled;
    expect(await client.cancel(at(-2))).toBe('already-final');
    expect(await client.find(at(-2))).toBeNull();
    expect(await client.remove(at(-3))).toEqual({ removed: 1, skipped: 0, missing: [] });
    expect(distributor.backlog().pending).toBe(MANY - 2);
    expect(await client.remove({ name: 'other' })).toMatchObject({ removed: 0 });
    expect(await client.remove({ name: 'work' })).toEqual({ removed: MANY - 2, skipped: 0, missing: [] });
    expect(distributor.backlog()).toEqual({ unconfirmed: 0, pending: 0, byName: {} });

    const ran = new Facts<Ran>();
    await system.node({ to: web, providers: [works(ran)] });
    expect(await client.run('work', { n: -1 })).toBe(-1);
    expect(ran.all).toHaveLength(1);
  });

  it('one that was enqueued before with its id is known, also when no more are taken', async () => {
    const web = await application(await system.database(kind), { maxPending: MANY });
    const given = numbers(MANY).map((n) => `019a0000-0000-7000-8000-${String(n).padStart(12, '0')}`);
    await enqueue(web, MANY, (n) => ({ id: given[n] }));
    await expect(web.client.enqueue('work', { n: 0 })).rejects.toMatchObject({ code: 'BACKLOG_FULL' });
    const again = await enqueue(web, MANY, (n) => ({ id: given[n] }));
    expect(again.every(({ duplicate }) => duplicate)).toBe(true);
    expect(web.distributor.backlog().pending).toBe(MANY);
    const ran = new Facts<Ran>();
    await system.node({ to: web, providers: [works(ran)] });
    expect(await Promise.all(again.map((job) => job.result({ timeout: '30s' })))).toEqual(numbers(MANY));
    expect(ran.all).toHaveLength(MANY);
  });

  it('those that expire end at their time, with no node there', async () => {
    const web = await application(await system.database(kind));
    const expires = Date.now() + 2_000;
    const jobs = await enqueue(web, MANY, (n) => (n % 2 === 0 ? { expires: new Date(expires) } : {}));
    const ends = await Promise.all(
      jobs.filter((_, n) => n % 2 === 0).map((job) => job.result({ timeout: '30s' }).catch((error: unknown) => error)),
    );
    expect(Date.now()).toBeGreaterThanOrEqual(expires);
    expect(ends).toMatchObject(ends.map(() => ({ error: { code: 'JOB_EXPIRED' } })));
    expect(web.distributor.backlog().pending).toBe(MANY / 2);
    const ran = new Facts<Ran>();
    await system.node({ to: web, providers: [works(ran)] });
    await ran.count(MANY / 2);
    expect(ran.all.every(({ n }) => n % 2 === 1)).toBe(true);
  });

  it('the next process takes up what is left, and no statement is about them while they wait', async () => {
    const outbox = await system.database(kind);
    const first = await application(outbox);
    await enqueue(first, MANY, (n) => ({ priority: n }));
    await first.close();
    const statements: string[] = [];
    const onStatement = (sql: string): void => void (/reactor_jobs/.test(sql) && statements.push(sql));
    const second = await system.application({
      outbox: createStorage(outbox, systemClock, { onStatement }),
      imports: [smallWindow(WINDOW)],
    });
    expect(second.distributor.backlog()).toEqual({ unconfirmed: MANY, pending: MANY, byName: { work: MANY } });
    const before = statements.length;
    await new Promise((resolve) => setTimeout(resolve, 500)); // nothing is to happen: there is no event to wait for
    expect([before > 0, statements.slice(before)]).toEqual([true, []]);
    const ran = new Facts<Ran>();
    await system.node({ to: second, providers: [works(ran)], concurrency: 1, prefetch: 0 });
    await ran.count(MANY);
    expect(ran.all.map(({ n }) => n)).toEqual(numbers(MANY).toReversed());
    await eventually('nothing is left', () => second.distributor.backlog().unconfirmed === 0);
    expect(ran.all).toHaveLength(MANY);
  });

  it('killed while they are being sent: with the next process every one has run', async () => {
    const outbox = await system.database(kind);
    process.env['REACTOR_WINDOW'] = String(WINDOW);
    try {
      const first = await system.process({ distributor: { name: 'web', port: 0, outbox } });
      const ids = await Promise.all(numbers(MANY).map((n) => first.enqueue('work', { n })));
      const node = await system.process({
        node: {
          name: 'one',
          storage: await system.database(kind),
          distributors: [{ host: '127.0.0.1', port: first.port }],
        },
      });
      for (let n = 0; n < MANY / 4; n++) await node.started();
      await first.kill('SIGKILL');
      await system.process({ distributor: { name: 'web', port: first.port, outbox } });
      await eventually('each has run', () => new Set(node.starts.map(({ id }) => id)).size === MANY, 60_000);
      expect(new Set(node.starts.map(({ id }) => id))).toEqual(new Set(ids));
      // The node has a storage of its own, so what it is sent again it knows.
      expect(node.starts).toHaveLength(MANY);
    } finally {
      delete process.env['REACTOR_WINDOW'];
    }
  });
});

describeEachDatabase('more jobs than are held whole, of an application that is gone', ({ kind }) => {
  const system = reactors();

  it('another instance of it takes them over and has them run', async () => {
    const outbox = await system.database(kind);
    process.env['REACTOR_WINDOW'] = String(WINDOW);
    const first = await system
      .process({ distributor: { name: 'web', port: 0, outbox } })
      .finally(() => delete process.env['REACTOR_WINDOW']);
    const second = await system.application({ name: 'web', outbox, imports: [smallWindow(WINDOW)] });
    const ids = await Promise.all(numbers(MANY).map((n) => first.enqueue('work', { n })));
    await enqueue(second, MANY);
    await first.kill('SIGKILL');
    const ran = new Facts<Ran>();
    await system.node({ to: second, providers: [works(ran)], concurrency: 2, prefetch: 2 });
    await ran.count(MANY * 2);
    const seen = ran.all.map(({ id }) => id);
    expect([seen.length, new Set(seen).size]).toEqual([MANY * 2, MANY * 2]);
    expect(ids.every((id) => seen.includes(id))).toBe(true);
    await eventually('nothing is left', () => second.distributor.backlog().unconfirmed === 0);
  });
});
