import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { beforeEach, describe, expect, it } from 'vitest';
import { Job, JobCancelled, JobContext, JobTimeout, OnError, OnSuccess } from '../../lib/index.js';
import { signal, within } from '../support/deadline.js';
import { eventually, Facts, reactors, type Application } from '../support/reactor.js';

const ID = '018f0000-0000-7000-8000-00000000000b';

const OTHER = '018f0000-0000-7000-8000-00000000000c';

/** What the handlers of one test told, and a way to let them go on. */
class Handlers {
  readonly started = new Facts<{ id: string; attempt: number; args: Args }>();
  readonly aborted = new Facts<unknown>();
  readonly errors = new Facts<unknown>();
  readonly succeeded = new Facts<string>();
  go = signal();
}
interface Args {
  do?: 'return' | 'wait' | 'heed' | 'ignore';
  result?: unknown;
}

function work(told: Handlers) {
  @Injectable()
  class Work {
    @Job('work')
    async work(@Payload() args: Args, @Ctx() ctx: JobContext): Promise<unknown> {
      told.started.tell({ id: ctx.job.id, attempt: ctx.job.attempt, args });
      if (args.do === 'wait') await told.go.promise;
      if (args.do === 'ignore') await new Promise(() => {});
      if (args.do === 'heed') {
        await new Promise((_, reject) => {
          ctx.signal.addEventListener('abort', () => {
            told.aborted.tell(ctx.signal.reason);
            reject(ctx.signal.reason);
          });
        });
      }
      return args.result;
    }
    @OnSuccess('work')
    after(@Ctx() ctx: JobContext): void {
      told.succeeded.tell(ctx.job.id);
    }
    @OnError('work')
    failed(@Ctx() ctx: JobContext): void {
      told.errors.tell(ctx.error);
    }
  }
  return Work;
}

describe('timeout', () => {
  const system = reactors();
  let web: Application;
  let told: Handlers;
  beforeEach(async () => {
    told = new Handlers();
    web = await system.application();
    await system.node({ to: web, providers: [work(told)], concurrency: 1 });
  });

  it('aborts ctx.signal with a JobTimeout and fails the attempt', async () => {
    const job = await web.client.enqueue('work', { do: 'heed' }, { timeout: 100, maxAttempts: 1 });
    await expect(job.result({ timeout: '60s' })).rejects.toMatchObject({
      code: 'JOB_FAILED',
      error: { name: 'JobTimeout', code: 'JOB_TIMEOUT' },
    });
    expect(await told.aborted.next()).toBeInstanceOf(JobTimeout);
    expect(await told.errors.next()).toBeInstanceOf(JobTimeout);
  });

  it('frees the slot also when the handler ignores the signal', async () => {
    await web.client.enqueue('work', { do: 'ignore' }, { timeout: 100, maxAttempts: 1 });
    const next = await web.client.enqueue('work', { result: 'next' });
    expect(await next.result({ timeout: '60s' })).toBe('next'); // there is one slot only
  });

  it('is followed by the next attempt as any failure is', async () => {
    const job = await web.client.enqueue('work', { do: 'ignore' }, { timeout: 50, maxAttempts: 3, backoff: 10 });
    await expect(job.result({ timeout: '60s' })).rejects.toMatchObject({ attempts: 3 });
    expect(told.started.all.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect(told.succeeded.all).toEqual([]);
  });

  it('does not touch an attempt that ends in time', async () => {
    expect(await web.client.run('work', { result: 1 }, { timeout: '10s' })).toBe(1);
    expect(told.errors.all).toEqual([]);
  });
});

describe.each(['memory', 'sqlite'] as const)('cancel from outside, node storage %s', (kind) => {
  const system = reactors();
  let web: Application;
  let told: Handlers;
  let storage: 'memory' | { type: 'sqlite'; database: string };
  const node = (name = 'one') => system.node({ name, to: web, providers: [work(told)], concurrency: 1, storage });
  beforeEach(async () => {
    told = new Handlers();
    web = await system.application();
    storage = kind === 'memory' ? kind : { type: 'sqlite', database: join(await system.folder(), 'jobs.sqlite') };
  });

  it("a job that waits in the distributor: 'cancelled', and no node ever gets it", async () => {
    const job = await web.client.enqueue('work', {});
    const result = job.result();
    result.catch(() => undefined); // it may be rejected before it is looked at
    expect(await job.cancel('changed my mind')).toBe('cancelled');
    await expect(result).rejects.toMatchObject({ code: 'JOB_CANCELLED', reason: 'changed my mind' });
    await expect(result).rejects.toBeInstanceOf(JobCancelled);
    await node();
    await web.client.run('work', {});
    expect(told.started.all.map(({ id }) => id)).not.toContain(job.id);
    expect(web.distributor.backlog().unconfirmed).toBe(0);
  });

  it("a job that waits for its time on a node: 'cancelled', and it never runs", async () => {
    await node();
    const job = await web.client.enqueue('work', {}, { after: 3_000, confirm: 'stored' });
    expect(await web.client.cancel(job.id, 'too late')).toBe('cancelled');
    await expect(job.result()).rejects.toMatchObject({ reason: 'too late' });
    await web.client.run('work', {}, { after: 3_100 });
    expect(told.started.all.map(({ id }) => id)).not.toContain(job.id);
  });

  it("a job that waits for a slot on a node: 'cancelled', and it never runs", async () => {
    await node();
    const first = await web.client.enqueue('work', { do: 'wait' });
    await told.started.next();
    const job = await web.client.enqueue('work', {}, { confirm: 'stored' });
    expect(await job.cancel()).toBe('cancelled');
    told.go.resolve();
    await first.result();
    await web.client.run('work', {});
    expect(told.started.all.map(({ id }) => id)).not.toContain(job.id);
  });

  it("a job that runs: 'cancelled', its signal is aborted, no callback runs, its late outcome is refused", async () => {
    await node();
    const feedback = signal<{ status: string }>();
    const job = await web.client.enqueue('work', { do: 'heed' }, { onSuccess: feedback.resolve });
    await told.started.next();
    expect(await job.cancel('stop')).toBe('cancelled');
    expect(await told.aborted.next()).toMatchObject({ code: 'JOB_CANCELLED', reason: 'stop' });
    await expect(job.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED', reason: 'stop' });
    // The success feedback is told of a cancel.
    expect(await within(feedback.promise, 'the feedback')).toMatchObject({ status: 'cancelled' });
    expect(await web.client.run('work', { result: 'slot free' })).toBe('slot free');
    expect(told.errors.all).toEqual([]);
    expect(told.succeeded.all).not.toContain(job.id);
  });

  it('a job that runs and does not listen: its slot is free at once, and what it returns later changes nothing', async () => {
    await node();
    const job = await web.client.enqueue('work', { do: 'wait', result: 'too late' });
    await told.started.next();
    expect(await job.cancel()).toBe('cancelled');
    expect(await web.client.run('work', { result: 'slot free' })).toBe('slot free');
    told.go.resolve();
    await expect(job.result()).rejects.toBeInstanceOf(JobCancelled);
    expect(told.succeeded.all).not.toContain(job.id);
  });

  it("a job that was enqueued this moment: known wherever it is on its way, never 'unknown'", async () => {
    await node();
    const answers = new Set<string>();
    for (let n = 0; n < 100; n++) {
      const job = await web.client.enqueue('work', {});
      if (n % 2) await new Promise((resolve) => setImmediate(resolve));
      answers.add(await job.cancel());
    }
    expect([...answers].filter((answer) => answer !== 'cancelled' && answer !== 'already-final')).toEqual([]);
  });

  it("a job that ended: 'already-final'", async () => {
    await node();
    const job = await web.client.enqueue('work', { result: 1 });
    expect(await job.result()).toBe(1);
    expect(await job.cancel()).toBe('already-final');
    const cancelled = await web.client.enqueue('work', { do: 'heed' });
    await told.started.next(({ id }) => id === cancelled.id);
    expect(await cancelled.cancel()).toBe('cancelled');
    expect(await cancelled.cancel()).toBe('already-final');
  });

  it("an id nobody knows: 'unknown'", async () => {
    expect(await web.client.cancel(ID)).toBe('unknown');
    await node();
    expect(await web.client.cancel(ID)).toBe('unknown');
  });

  it('a periodic job between two runs: it stops', async () => {
    await node();
    const job = await web.client.enqueue('work', {}, { period: 50 });
    await told.started.count(2);
    expect(await job.cancel()).toBe('cancelled');
    const runs = told.started.all.length;
    await web.client.run('work', {}, { after: 200 });
    expect(told.started.all.length).toBe(runs + 1);
  });
});

describe('cancel of a job that is about to leave a database outbox', () => {
  const system = reactors();

  it("finds it on its way: 'cancelled', never 'unknown'", async () => {
    const told = new Handlers();
    const outbox = { type: 'sqlite', database: join(await system.folder(), 'outbox.sqlite') } as const;
    const web = await system.application({ outbox });
    const jobs = await web.client.enqueueMany(
      Array.from({ length: 20 }, () => ({ job: 'work', args: { do: 'heed' } })),
    );
    const node = system.node({ to: web, providers: [work(told)], concurrency: 50 });
    while (web.distributor.backlog().pending > 0) await new Promise((resolve) => setImmediate(resolve));
    const answers = [];
    for (const job of jobs) answers.push(await job.cancel());
    expect(answers).toEqual(Array(20).fill('cancelled'));
    await node;
  });
});

describe('cancel of a job whose holder is away', () => {
  const system = reactors();
  let web: Application;
  let told: Handlers;
  beforeEach(async () => {
    told = new Handlers();
    web = await system.application();
  });

  it("is 'pending', and delivered when the holder is back", async () => {
    const storage = { type: 'sqlite', database: join(await system.folder(), 'jobs.sqlite') } as const;
    const node = await system.node({ to: web, providers: [work(told)], storage });
    const job = await web.client.enqueue('work', {}, { after: '1 minute', confirm: 'stored' });
    await node.close();
    const outcome = expect(job.result({ timeout: '60s' })).rejects;
    const cancelled = outcome.toMatchObject({ code: 'JOB_CANCELLED', reason: 'while you were out' });
    expect(await job.cancel('while you were out')).toBe('pending');
    await system.node({ to: web, providers: [work(told)], storage });
    await cancelled;
    expect(told.started.all.map(({ id }) => id)).not.toContain(job.id);
  });

  it("is 'pending', and holds also when the holder stays away and the job is handed to another node", async () => {
    const distributors = [{ host: '127.0.0.1', port: web.port }];
    const gone = await system.process({ node: { name: 'one', storage: 'memory', distributors, handoffTimeout: 500 } }, [
      web,
    ]);
    const job = await web.client.enqueue('work', { do: 'hang' }, { confirm: 'stored' });
    await gone.started();
    await gone.kill('SIGKILL');
    await eventually('its loss is known', () => web.distributor.nodes().length === 0);
    const result = job.result({ timeout: '60s' });
    result.catch(() => undefined); // it may be rejected before it is looked at
    expect(await job.cancel('never again')).toBe('pending');
    await system.node({ name: 'two', to: web, providers: [work(told)] });
    await expect(result).rejects.toMatchObject({ code: 'JOB_CANCELLED', reason: 'never again' });
    expect(told.started.all).toEqual([]);
  });
});

describe('client.find(id)', () => {
  const system = reactors();
  let web: Application;
  let told: Handlers;
  beforeEach(async () => {
    told = new Handlers();
    web = await system.application({ name: 'web' });
  });

  it('tells of a job that waits in the distributor', async () => {
    const job = await web.client.enqueue('work', { result: 1 }, { priority: 3 });
    expect(await web.client.find(job.id)).toMatchObject({
      id: job.id,
      name: 'work',
      status: 'queued',
      node: null,
      distributor: 'web',
      priority: 3,
      attempt: 0,
      args: { result: 1 },
    });
  });

  it('tells of a job that waits on a node, that runs, and that failed', async () => {
    await system.node({ to: web, providers: [work(told)], concurrency: 1 });
    const runs = await web.client.enqueue('work', { do: 'wait' });
    await told.started.next();
    const waits = await web.client.enqueue('work', { result: 2 }, { after: '1 day', confirm: 'stored' });
    expect(await web.client.find(runs.id)).toMatchObject({ status: 'running', node: 'one', attempt: 1 });
    const found = await web.client.find(waits.id);
    expect(found).toMatchObject({ status: 'queued', node: 'one', attempt: 0, args: { result: 2 } });
    expect(found!.dueAt).toBe(found!.enqueuedAt + 24 * 3600 * 1000);
    told.go.resolve();
    const fails = await web.client.enqueue('work', { do: 'ignore' }, { timeout: 20, maxAttempts: 1 });
    await expect(fails.result()).rejects.toThrow();
    expect(await web.client.find(fails.id)).toMatchObject({ status: 'failed', lastError: { code: 'JOB_TIMEOUT' } });
  });

  it('says null of an id nobody knows, and of one that succeeded and was removed', async () => {
    await system.node({ to: web, providers: [work(told)] });
    expect(await web.client.find(ID)).toBeNull();
    const job = await web.client.enqueue('work', {});
    await job.result();
    expect(await web.client.find(job.id)).toBeNull();
  });

  it('says of a cancelled job that it is, and so does a second cancel, as soon as its end is told', async () => {
    const database = join(await system.folder(), 'jobs.sqlite');
    const jobs = { retention: { removeCancelled: false } };
    await system.node({ to: web, providers: [work(told)], jobs, storage: { type: 'sqlite', database } });
    for (let n = 0; n < 5; n++) {
      const job = await web.client.enqueue('work', { do: 'wait' });
      await told.started.next();
      const ended = job.result().catch(() => web.client.find(job.id));
      expect(await job.cancel()).toBe('cancelled');
      expect(await ended).toMatchObject({ status: 'cancelled' });
      expect(await job.cancel()).toBe('already-final');
    }
  });

  it('finds the result of a job that is kept', async () => {
    const jobs = { retention: { removeSucceeded: false } };
    await system.node({ to: web, providers: [work(told)], jobs });
    const job = await web.client.enqueue('work', { result: { n: 1 } });
    await job.result();
    expect(await web.client.find(job.id)).toMatchObject({ status: 'succeeded', result: { n: 1 } });
  });
});

describe('a handle', () => {
  const system = reactors();

  it('answers also when its result is asked for only after the job ended', async () => {
    const told = new Handlers();
    const web = await system.application();
    await system.node({ to: web, providers: [work(told)] });
    const [first, second] = await web.client.enqueueMany([
      { job: 'work', args: { result: 1 } },
      { job: 'work', args: { result: 2 } },
    ]);
    await eventually(
      'both are gone',
      async () => !(await web.client.find(first.id)) && !(await web.client.find(second.id)),
    );
    await web.client.run('work', {});
    expect([await first.result(), await second.result(), await second.result()]).toEqual([1, 2, 2]);
    await within(second.stored(), 'what has happened');
  });
});

describe('enqueueMany', () => {
  const system = reactors();

  it('hands over many jobs with options of their own, and answers in their order', async () => {
    const told = new Handlers();
    const web = await system.application();
    const jobs = await web.client.enqueueMany([
      { job: 'work', args: { result: 'a' }, options: { priority: 1 } },
      { job: 'work', args: { result: 'b' }, options: { id: ID } },
      { job: 'work', args: { result: 'c' }, options: { after: 10 } },
    ]);
    expect(jobs[1].id).toBe(ID);
    await system.node({ to: web, providers: [work(told)] });
    expect(await Promise.all(jobs.map((job) => job.result()))).toEqual(['a', 'b', 'c']);
  });

  it('is all or nothing: one bad entry and none is enqueued', async () => {
    const web = await system.application();
    const entries = [
      { job: 'work', args: {} },
      { job: 'work', args: {}, options: { after: -1 } },
    ];
    await expect(web.client.enqueueMany(entries)).rejects.toMatchObject({ code: 'INVALID_JOB' });
    expect(web.distributor.backlog().unconfirmed).toBe(0);
  });

  it('takes an id that occurs twice for one job', async () => {
    const told = new Handlers();
    const web = await system.application();
    const entry = { job: 'work', args: { result: 1 }, options: { id: ID } };
    const [first, second] = await web.client.enqueueMany([entry, entry]);
    expect([first!.duplicate, second!.duplicate]).toEqual([false, true]);
    expect(web.distributor.backlog()).toMatchObject({ unconfirmed: 1, pending: 1 });
    await system.node({ to: web, providers: [work(told)] });
    expect([await first!.result(), await second!.result()]).toEqual([1, 1]);
    expect(told.started.all).toHaveLength(1);
    expect(web.distributor.backlog().unconfirmed).toBe(0);
  });

  it('of nothing is nothing', async () => {
    const web = await system.application();
    expect(await web.client.enqueueMany([])).toEqual([]);
  });
});

describe.each([
  ['memory', 'memory'],
  ['memory', 'sqlite'],
  ['sqlite', 'memory'],
  ['sqlite', 'sqlite'],
] as const)('an id given by the caller makes a repeat harmless: outbox %s, node %s', (outbox, storage) => {
  const system = reactors();
  let web: Application;
  let told: Handlers;
  let place: (kind: 'memory' | 'sqlite', name: string) => 'memory' | { type: 'sqlite'; database: string };
  const node = () => system.node({ to: web, providers: [work(told)], storage: place(storage, 'node') });
  beforeEach(async () => {
    const folder = await system.folder();
    place = (kind, name) => (kind === 'memory' ? kind : { type: 'sqlite', database: join(folder, `${name}.sqlite`) });
    told = new Handlers();
    web = await system.application({ outbox: place(outbox, 'outbox') });
  });

  it('while it waits', async () => {
    const first = await web.client.enqueue('work', { result: 1 }, { id: ID });
    const again = await web.client.enqueue('work', { result: 2 }, { id: ID });
    expect([first.duplicate, again.duplicate]).toEqual([false, true]);
    await node();
    expect([await first.result(), await again.result()]).toEqual([1, 1]);
    expect(told.started.all).toHaveLength(1);
  });

  it('enqueued twice at once', async () => {
    await node();
    const both = await Promise.all([1, 2].map((result) => web.client.enqueue('work', { result }, { id: ID })));
    expect(both.map(({ duplicate }) => duplicate).sort()).toEqual([false, true]);
    expect(await Promise.all(both.map((job) => job.result()))).toEqual([1, 1]);
    expect(told.started.all).toHaveLength(1);
  });

  it('while it runs', async () => {
    await node();
    const first = await web.client.enqueue('work', { do: 'wait', result: 1 }, { id: ID, confirm: 'stored' });
    await told.started.next();
    const again = await web.client.enqueue('work', { do: 'wait', result: 2 }, { id: ID, confirm: 'stored' });
    told.go.resolve();
    expect([await first.result(), await again.result()]).toEqual([1, 1]);
    expect(told.started.all).toHaveLength(1);
  });

  it('after it finished', async () => {
    await node();
    expect(await web.client.run('work', { result: 1 }, { id: ID })).toBe(1);
    await eventually('the distributor let go of it', () => web.distributor.backlog().unconfirmed === 0);
    const again = await within(web.client.enqueue('work', { result: 2 }, { id: ID, confirm: 'stored' }), 'the repeat');
    expect(again.duplicate).toBe(true);
    await expect(again.result({ timeout: '60s' })).rejects.toMatchObject({ code: 'RESULT_UNAVAILABLE' });
    expect(await web.client.run('work', { result: 3 })).toBe(3);
    expect(told.started.all).toHaveLength(2);
  });

  it.runIf(outbox === 'sqlite')('after it finished and the application was started again', async () => {
    const running = await node();
    expect(await web.client.run('work', { result: 1 }, { id: ID })).toBe(1);
    await web.close();
    await running.close();
    web = await system.application({ outbox: place(outbox, 'outbox') });
    await node();
    expect((await web.client.enqueue('work', { result: 2 }, { id: ID })).duplicate).toBe(true);
    expect(await web.client.run('work', { result: 3 })).toBe(3);
    expect(told.started.all).toHaveLength(2);
  });

  it('spelt otherwise', async () => {
    await web.client.enqueue('work', {}, { id: ID });
    expect((await web.client.enqueue('work', {}, { id: ID.toUpperCase() })).duplicate).toBe(true);
  });

  it('from a node, twice at once and after it finished', async () => {
    const from = await node();
    const both = await Promise.all([1, 1].map((result) => from.client.enqueue('work', { result }, { id: OTHER })));
    expect(both.map(({ duplicate }) => duplicate)).toEqual([false, true]);
    expect(await Promise.all(both.map((job) => job.result({ timeout: '60s' })))).toEqual([1, 1]);
    told.started.all.length = 0;
    expect(await from.client.run('work', { result: 1 }, { id: ID })).toBe(1);
    const again = await from.client.enqueue('work', { result: 2 }, { id: ID });
    expect(again.duplicate).toBe(true);
    await expect(again.result({ timeout: '2s' })).rejects.toMatchObject({ code: 'RESULT_UNAVAILABLE' });
    expect(await from.client.run('work', { result: 3 })).toBe(3);
    expect(told.started.all).toHaveLength(2);
  });
});
