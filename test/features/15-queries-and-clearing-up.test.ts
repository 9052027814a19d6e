import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  defineJob,
  Job,
  JobContext,
  OnErrorFeedback,
  type Feedback,
  type FoundJobs,
  type JobHandle,
  type JobReactorClient,
  type JobsQuery,
  type StorageOption,
} from '../../lib/index.js';
import { signal, within } from '../support/deadline.js';
import { databaseKinds } from '../support/databases.js';
import { eventually, Facts, reactors, type Application, type RunningNode } from '../support/reactor.js';

const UNKNOWN = '018f0000-0000-7000-8000-00000000000b';
const Other = defineJob<Args, unknown>('other');

interface Args {
  do?: 'return' | 'wait' | 'fail' | 'add';
  result?: unknown;
  text?: string;
}
interface Start {
  id: string;
  run: number;
  attempt: number;
  node: string;
  args: Args & { added?: boolean };
}

/** What the handlers told, a way to let them go on, and whether those told to fail do. */
class Works {
  readonly started = new Facts<Start>();
  go = signal<unknown>();
  broken = true;
}

function work(works: Works) {
  async function run(args: Args, ctx: JobContext): Promise<unknown> {
    const { id, run, attempt, node } = ctx.job;
    works.started.tell({ id, run, attempt, node, args });
    if (args.do === 'wait') return works.go.promise;
    if (args.do === 'add') ctx.args['added'] = true;
    if ((args.do === 'fail' || args.do === 'add') && works.broken) throw new Error('told to fail');
    return args.result;
  }
  @Injectable()
  class Work {
    @Job('work')
    work(@Payload() args: Args, @Ctx() ctx: JobContext): Promise<unknown> {
      return run(args, ctx);
    }
    @Job(Other)
    other(@Payload() args: Args, @Ctx() ctx: JobContext): Promise<unknown> {
      return run(args, ctx);
    }
  }
  return Work;
}

const once = { maxAttempts: 1 };

async function failed(client: JobReactorClient, args: Args = { do: 'fail' }, options = {}): Promise<JobHandle> {
  const job = await client.enqueue('work', args, { ...once, ...options });
  await expect(job.result({ timeout: '60s' })).rejects.toMatchObject({ code: 'JOB_FAILED' });
  return job as JobHandle;
}

/** All pages. */
async function all(client: JobReactorClient, query: JobsQuery = {}): Promise<FoundJobs['jobs']> {
  const jobs: FoundJobs['jobs'] = [];
  let after: string | null = null;
  do {
    const page: FoundJobs = await client.jobs({ ...query, after });
    expect(page.missing).toEqual([]);
    jobs.push(...page.jobs);
    ({ after } = page);
  } while (after !== null);
  return jobs;
}

const ids = (jobs: readonly { id: string }[]): string[] => jobs.map(({ id }) => id);

describe.each(['memory', ...databaseKinds] as const)('with two nodes that keep jobs in %s', (kind) => {
  const system = reactors();
  let web: Application;
  let works: Works;
  let nodes: RunningNode[];
  let storage: (name: string) => StorageOption;
  beforeEach(async () => {
    works = new Works();
    web = await system.application({ name: 'web' });
    // A server they share, and a file each has of its own.
    const shared = kind === 'memory' || kind === 'SQLite' ? null : await system.database(kind);
    const folder = await system.folder();
    const file = (name: string): StorageOption => ({ type: 'sqlite', database: join(folder, `${name}.sqlite`) });
    storage = (name) => (kind === 'memory' ? kind : (shared ?? file(name)));
    nodes = [];
    for (const name of ['one', 'two'])
      nodes.push(
        await system.node({ name, to: web, providers: [work(works)], concurrency: 2, storage: storage(name) }),
      );
  });

  const on = (node: string, more = {}) => ({ node, strictNode: true, confirm: 'stored' as const, ...more });

  describe('client.jobs()', () => {
    it('tells of every job there is, wherever it is: waiting here, on a node, running, ended and kept', async () => {
      const runs = await web.client.enqueue('work', { do: 'wait' }, on('one'));
      await works.started.next();
      const waits = await web.client.enqueue(Other, { result: { n: 1 } }, on('two', { after: '1h', priority: 7 }));
      const fails = await failed(web.client);
      const here = await web.client.enqueue('nobody has this', [1n, new Date(0)]);
      const { jobs, after, missing } = await web.client.jobs();
      expect(jobs).toMatchObject([
        { id: runs.id, name: 'work', status: 'running', node: 'one', attempt: 1, args: { do: 'wait' } },
        { id: waits.id, name: 'other', status: 'queued', node: 'two', priority: 7, args: { result: { n: 1 } } },
        { id: fails.id, status: 'failed', attempt: 1, lastError: { message: 'told to fail' } },
        { id: here.id, name: 'nobody has this', status: 'queued', node: null, args: [1n, new Date(0)] },
      ]);
      expect({ after, missing }).toEqual({ after: null, missing: [] });
      expect(jobs[1]).toEqual(await web.client.find(waits.id));
      works.go.resolve(null);
    });

    it('takes node, name and status, one or several, and all that are given have to hold', async () => {
      const one = await web.client.enqueue('work', {}, on('one', { after: '1h' }));
      const two = await web.client.enqueue(Other, {}, on('two', { after: '1h' }));
      const fails = await failed(web.client, { do: 'fail' }, on('two'));
      const here = await web.client.enqueue('nobody has this', {});
      const found = async (query: JobsQuery): Promise<string[]> => ids((await web.client.jobs(query)).jobs);
      expect(await found({ node: 'one' })).toEqual([one.id]);
      expect(await found({ node: ['one', 'two'] })).toEqual([one.id, two.id, fails.id]);
      expect(await found({ node: null })).toEqual([here.id]);
      expect(await found({ name: Other })).toEqual([two.id]);
      expect(await found({ name: 'work' })).toEqual([one.id, fails.id]);
      expect(await found({ name: 'nobody has this' })).toEqual([here.id]);
      expect(await found({ status: 'failed' })).toEqual([fails.id]);
      expect(await found({ status: ['failed', 'queued'] })).toEqual([one.id, two.id, fails.id, here.id]);
      expect(await found({ status: ['failed', 'queued'], node: 'two', name: 'work' })).toEqual([fails.id]);
      expect(await found({ status: ['running', 'retrying', 'dead', 'succeeded', 'cancelled'] })).toEqual([]);
      expect(await found({ node: null, status: 'failed' })).toEqual([]);
    });

    it('gives pages in the order of the ids, each job once, over all nodes and the distributor', async () => {
      const entries = Array.from({ length: 120 }, (_, n) => ({
        job: n % 3 === 0 ? 'nobody has this' : 'work',
        args: { result: n },
        options: { after: '1h', ...(n % 3 === 0 ? {} : { node: n % 3 === 1 ? 'one' : 'two', strictNode: true }) },
      }));
      const jobs = await web.client.enqueueMany(entries);
      await Promise.all(jobs.filter((_, n) => n % 3 !== 0).map((job) => job.stored()));
      const sorted = ids(jobs).toSorted();
      for (const limit of [1000, 100, 7]) expect(ids(await all(web.client, { limit })), `${limit}`).toEqual(sorted);
      const page = await web.client.jobs({ limit: 7 });
      expect(page.jobs).toHaveLength(7);
      expect(page.after).toBe(page.jobs.at(-1)!.id);
      expect(ids((await web.client.jobs()).jobs)).toEqual(sorted.slice(0, 100));
    });

    it('ends a page early where args are large, and loses none', async () => {
      const text = 'x'.repeat(400_000);
      const entries = Array.from({ length: 12 }, (_, n) => ({
        job: 'work',
        args: { text, result: n },
        options: { after: '1h', node: n % 2 ? 'one' : 'two', strictNode: true, confirm: 'stored' as const },
      }));
      const jobs = await web.client.enqueueMany(entries);
      const first = await web.client.jobs();
      expect(first.jobs.length).toBeLessThan(12);
      expect(first.after).not.toBeNull();
      expect(ids(await all(web.client))).toEqual(ids(jobs).toSorted());
    });

    it('tells a job once that is on its way from the distributor to a node meanwhile', async () => {
      const entries = Array.from({ length: 300 }, () => ({ job: 'work', args: {}, options: { after: '1h' } }));
      const jobs = await web.client.enqueueMany(entries);
      for (let n = 0; n < 5; n++) {
        const { jobs: found } = await web.client.jobs({ limit: 1000 });
        expect(ids(found)).toEqual(ids(jobs).toSorted());
      }
    });
  });

  describe('client.remove()', () => {
    it('removes a job by its id, whatever its status; one that had not ended ends as cancelled', async () => {
      const waits = await web.client.enqueue('work', {}, on('one', { after: '1h' }));
      const here = await web.client.enqueue('nobody has this', {});
      const fails = await failed(web.client);
      const gone = [waits, here].map((job) => expect(job.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' }));
      for (const { id } of [waits, here, fails]) {
        expect(await web.client.remove(id)).toEqual({ removed: 1, skipped: 0, missing: [] });
        expect(await web.client.find(id)).toBeNull();
        expect(await web.client.remove(id)).toEqual({ removed: 0, skipped: 0, missing: [] });
      }
      await Promise.all(gone);
      expect((await web.client.jobs()).jobs).toEqual([]);
      expect(web.distributor.backlog()).toEqual({ unconfirmed: 0, pending: 0, byName: {} });
      expect(await web.client.run('work', { result: 'still works' })).toBe('still works');
    });

    it('leaves a job that runs, by its id and by a condition, and says so', async () => {
      const job = await web.client.enqueue('work', { do: 'wait' });
      await works.started.next();
      expect(await web.client.remove(job.id)).toEqual({ removed: 0, skipped: 1, missing: [] });
      expect(await web.client.remove({ name: 'work' })).toEqual({ removed: 0, skipped: 1, missing: [] });
      works.go.resolve('undisturbed');
      expect(await job.result()).toBe('undisturbed');
    });

    it('removes all that fit, on every node and here, page after page, and nothing else', async () => {
      const entries = Array.from({ length: 260 }, (_, n) => ({
        job: n % 4 === 0 ? Other : 'work',
        args: {},
        options: { after: '1h', node: n % 2 ? 'one' : 'two', strictNode: true, confirm: 'stored' as const },
      }));
      const jobs = await web.client.enqueueMany(entries);
      const waiting = await web.client.enqueueMany(
        entries.slice(0, 30).map((one) => ({ ...one, options: { node: 'nobody', strictNode: true } })),
      );
      const fails = await failed(web.client);
      expect(await web.client.remove({ name: 'work', status: ['queued', 'retrying'] })).toEqual({
        removed: 195 + 22,
        skipped: 0,
        missing: [],
      });
      const left = [...jobs, ...waiting, fails].filter(({ name, id }) => name === 'other' || id === fails.id);
      expect(ids(await all(web.client))).toEqual(ids(left).toSorted());
      expect(await web.client.remove({ node: 'two', status: 'queued' })).toMatchObject({ removed: 65 });
      expect(await web.client.remove({ node: null })).toMatchObject({ removed: 8 });
      expect(await web.client.remove({ status: ['failed', 'dead'] })).toMatchObject({ removed: 1 });
      expect(await all(web.client)).toEqual([]);
    });

    it('makes room: what was removed no longer counts for maxStored', async () => {
      await nodes[1]!.close();
      await nodes[0]!.close();
      const options = { name: 'small', to: web, providers: [work(works)], maxStored: 3, storage: storage('small') };
      await system.node(options);
      const waits = { after: '1h', confirm: 'stored' as const };
      for (let n = 0; n < 3; n++) await web.client.enqueue('work', {}, waits);
      const next = await web.client.enqueue('work', { result: 'there is room' });
      expect((await web.client.jobs({ status: 'queued', node: null })).jobs).toMatchObject([{ id: next.id }]);
      expect(await web.client.remove({ node: 'small' })).toMatchObject({ removed: 3 });
      expect(await next.result({ timeout: '60s' })).toBe('there is room');
    });
  });

  describe('client.retry()', () => {
    it('runs a failed job again with all its attempts, and its result comes', async () => {
      const job = await failed(web.client);
      works.broken = false;
      const { answer, job: again, missing } = await web.client.retry<'work'>(job.id);
      expect({ answer, missing }).toEqual({ answer: 'queued', missing: [] });
      expect(again).toMatchObject({ id: job.id, name: 'work' });
      await within(again!.stored(), 'what has happened');
      expect(await again!.result({ timeout: '60s' })).toBeUndefined();
      const starts = works.started.all.filter(({ id }) => id === job.id);
      expect(starts).toMatchObject([
        { run: 1, attempt: 1 },
        { run: 2, attempt: 1 },
      ]);
      expect(starts[0]!.node).toBe(starts[1]!.node);
      // The handle of before keeps its word.
      await expect(job.result()).rejects.toMatchObject({ code: 'JOB_FAILED' });
      expect(await web.client.find(job.id)).toBeNull();
    });

    it('may fail again, and be run again, as often as somebody wants', async () => {
      const { id } = await failed(web.client);
      for (let run = 2; run < 5; run++) {
        const { job } = await web.client.retry(id);
        await expect(job!.result({ timeout: '60s' })).rejects.toMatchObject({ code: 'JOB_FAILED', attempts: 1 });
        expect(await web.client.find(id)).toMatchObject({ status: 'failed', run });
      }
    });

    it('begins with the args its last attempt began with', async () => {
      const { id } = await failed(web.client, { do: 'add', text: 'as enqueued' });
      works.broken = false;
      await (await web.client.retry(id)).job!.result({ timeout: '60s' });
      expect(works.started.all.at(-1)!.args).toEqual({ do: 'add', text: 'as enqueued' });
    });

    it('cancels and lets itself be cancelled like any job', async () => {
      const { id } = await failed(web.client, { do: 'fail' });
      works.broken = false;
      await web.client.enqueueMany(Array.from({ length: 4 }, () => ({ job: 'work', args: { do: 'wait' } as const })));
      await works.started.count(5);
      const { job } = await web.client.retry(id); // every slot is taken
      const ended = expect(job!.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED', reason: 'enough' });
      expect(await web.client.cancel(id, 'enough')).toBe('cancelled');
      await ended;
      expect(await web.client.cancel(id)).toBe('already-final');
      expect(await web.client.retry(id)).toEqual({ answer: 'unknown', job: null, missing: [] });
      works.go.resolve(null);
    });

    it('says what can not be run again: what has not ended, what nobody keeps', async () => {
      const runs = await web.client.enqueue('work', { do: 'wait' });
      const waits = await web.client.enqueue('work', {}, on('one', { after: '1h' }));
      const here = await web.client.enqueue('nobody has this', {});
      await works.started.next();
      for (const { id } of [runs, waits, here])
        expect(await web.client.retry(id)).toEqual({ answer: 'not-final', job: null, missing: [] });
      expect(await web.client.retry(UNKNOWN)).toEqual({ answer: 'unknown', job: null, missing: [] });
      works.go.resolve('undisturbed');
      expect(await runs.result()).toBe('undisturbed');
    });

    it('of several at once is one', async () => {
      const { id } = await failed(web.client);
      works.broken = false;
      const answers = await Promise.all(Array.from({ length: 5 }, () => web.client.retry(id)));
      expect(answers.filter(({ answer }) => answer === 'queued')).toHaveLength(1);
      const { job } = answers.find(({ answer }) => answer === 'queued')!;
      await job!.result({ timeout: '60s' });
      expect(works.started.all.filter(({ run }) => run === 2)).toHaveLength(1);
      expect(works.started.all.filter(({ run }) => run > 2)).toEqual([]);
    });

    it('against a remove at the same moment: one of them wins, and the job does not run behind its back', async () => {
      const failing = await Promise.all(Array.from({ length: 10 }, () => failed(web.client)));
      works.broken = false;
      for (const { id } of failing) {
        const [{ answer, job }, { removed, skipped }] = await Promise.all([
          web.client.retry(id),
          web.client.remove(id),
        ]);
        const runs = (): number => works.started.all.filter((start) => start.id === id && start.run === 2).length;
        // Queued and then removed it ends as cancelled, unless it had begun, or was done, by then.
        const end = await job?.result({ timeout: '60s' }).then(
          () => 'ran',
          (error: { code: string }) => error.code,
        );
        if (answer === 'queued') expect([end, runs()]).toEqual(removed === 1 ? ['JOB_CANCELLED', 0] : ['ran', 1]);
        else expect([removed, skipped, runs()]).toEqual([1, 0, 0]);
      }
    });
  });

  describe('client.retryAll()', () => {
    const again = (): string[] => works.started.all.flatMap(({ id, run }) => (run === 2 ? [id] : []));

    it('runs all again that failed, on every node, page after page, and nothing else; as often as somebody wants', async () => {
      const many = Array.from({ length: 250 }, () => ({ job: 'work' as const, args: { do: 'fail' }, options: once }));
      const jobs = await web.client.enqueueMany(many);
      await Promise.allSettled(jobs.map((job) => job.result({ timeout: '60s' })));
      const waits = await web.client.enqueue('work', {}, on('two', { after: '1h' }));
      await web.client.enqueue('nobody has this', {});
      expect(await web.client.retryAll({ name: 'work' })).toEqual({ retried: 250, skipped: 0, missing: [] });
      await eventually('all have failed again', async () => {
        const left = await all(web.client, { status: 'failed' });
        return left.length === 250 && left.every(({ run }) => run === 2);
      });
      expect(again().sort()).toEqual(ids(jobs).sort());
      expect(new Set(works.started.all.map(({ node }) => node))).toEqual(new Set(['one', 'two']));
      works.broken = false;
      expect(await web.client.retryAll({ name: 'work' })).toEqual({ retried: 250, skipped: 0, missing: [] });
      await eventually('none is left', async () => (await web.client.jobs({ status: 'failed' })).jobs.length === 0);
      expect(await web.client.find(waits.id)).toMatchObject({ status: 'queued', run: 1 });
    });

    it('takes name, node and status; cancelled ones only when they are asked for', async () => {
      const on1 = await failed(web.client, { do: 'fail' }, { node: 'one', strictNode: true });
      const on2 = await failed(web.client, { do: 'fail' }, { node: 'two', strictNode: true });
      const other = await web.client.enqueue(Other, { do: 'fail' }, { ...once, node: 'one', strictNode: true });
      await expect(other.result({ timeout: '60s' })).rejects.toMatchObject({ code: 'JOB_FAILED' });
      const jobs = { retention: { removeCancelled: false } };
      await system.node({ name: 'keeps', to: web, providers: [work(works)], storage: storage('keeps'), jobs });
      const cancelled = await web.client.enqueue('work', {}, on('keeps', { after: '1h' }));
      await cancelled.cancel();
      works.broken = false;
      expect(await web.client.retryAll({ name: Other, node: 'two' })).toMatchObject({ retried: 0 });
      expect(await web.client.retryAll({ name: Other })).toMatchObject({ retried: 1 });
      expect(await web.client.retryAll({ node: ['two'] })).toMatchObject({ retried: 1 });
      expect(await web.client.retryAll({ status: ['cancelled', 'dead'] })).toMatchObject({ retried: 1 });
      await eventually('they run', () => again().length === 3);
      expect(again().sort()).toEqual([other.id, on2.id, cancelled.id].sort());
      expect(await web.client.find(on1.id)).toMatchObject({ status: 'failed', run: 1 });
      expect(await web.client.retryAll({ node: null })).toEqual({ retried: 0, skipped: 0, missing: [] });
    });

    it('of two at once each job is had by one', async () => {
      for (let n = 0; n < 20; n++) await web.client.enqueue('work', { do: 'fail' }, once);
      await eventually('all have failed', async () => (await all(web.client, { status: 'failed' })).length === 20);
      works.broken = false;
      const both = [web.client.retryAll({ name: 'work' }), web.client.retryAll({ status: 'failed' })];
      const [one, other] = await Promise.all(both);
      expect(one!.retried + other!.retried).toBe(20);
      await eventually('they run', () => again().length === 20);
      expect(works.started.all).toHaveLength(40);
    });

    it('leaves what is removed at the same moment', async () => {
      const failing = await Promise.all(Array.from({ length: 20 }, () => failed(web.client)));
      works.broken = false;
      const [{ retried, skipped }, { removed }] = await Promise.all([
        web.client.retryAll({ status: 'failed' }),
        web.client.remove({ name: 'work' }),
      ]);
      expect(retried + skipped).toBeLessThanOrEqual(failing.length);
      expect(retried + removed).toBeGreaterThanOrEqual(failing.length);
      await eventually('nothing is left', async () => (await web.client.jobs()).jobs.length === 0);
      for (const id of again()) expect(ids(failing)).toContain(id);
    });
  });
});

describe('a job that is run again', () => {
  const system = reactors();

  it('is told to declared feedback methods once for each end', async () => {
    const works = new Works();
    const told = new Facts<Feedback>();
    @Injectable()
    class Told {
      @OnErrorFeedback('work')
      failed(feedback: Feedback): void {
        told.tell(feedback);
      }
    }
    const web = await system.application({ providers: [Told] });
    await system.node({ to: web, providers: [work(works)] });
    const { id } = await failed(web.client);
    await expect((await web.client.retry(id)).job!.result()).rejects.toThrow();
    await told.count(2);
    expect(told.all.map((feedback) => [feedback.id, feedback.job.run])).toEqual([
      [`${id}:1`, 1],
      [`${id}:2`, 2],
    ]);
  });

  it('comes to the application that enqueued it; another one that asks for the run gets no handle', async () => {
    const works = new Works();
    const told = new Facts<Feedback>();
    @Injectable()
    class Told {
      @OnErrorFeedback('work')
      failed(feedback: Feedback): void {
        told.tell(feedback);
      }
    }
    const [web, admin] = [
      await system.application({ name: 'web', providers: [Told] }),
      await system.application({ name: 'admin' }),
    ];
    await system.node({ to: [web, admin], providers: [work(works)] });
    const { id } = await failed(web.client);
    expect(await admin.client.retry(id)).toEqual({ answer: 'queued', job: null, missing: [] });
    await told.count(2);
    works.broken = false;
    expect(await admin.client.retry(id)).toMatchObject({ answer: 'queued' });
    await works.started.next(({ run }) => run === 3);
  });

  it('can be cancelled by the application that enqueued it, when another one had it run again', async () => {
    const works = new Works();
    const [web, admin] = [await system.application({ name: 'web' }), await system.application({ name: 'admin' })];
    await system.node({ to: [web, admin], providers: [work(works)], concurrency: 1 });
    const { id } = await failed(web.client);
    const blocks = await web.client.enqueue('work', { do: 'wait' });
    await works.started.next((start) => start.id === blocks.id);
    expect(await admin.client.retry(id)).toMatchObject({ answer: 'queued' });
    await eventually('the word of it is there', async () => (await web.client.cancel(id)) === 'cancelled');
    works.go.resolve(null);
    await blocks.result();
    expect(works.started.all.filter((start) => start.id === id)).toHaveLength(1);
  });

  it('is not run again when it succeeded, though it is kept', async () => {
    const works = new Works();
    const web = await system.application();
    const jobs = { retention: { removeSucceeded: false, removeCancelled: false } };
    await system.node({ to: web, providers: [work(works)], jobs });
    const job = await web.client.enqueue('work', { result: 1 });
    await job.result();
    expect(await web.client.retry(job.id)).toEqual({ answer: 'succeeded', job: null, missing: [] });
    const cancelled = await web.client.enqueue('work', { result: 2 }, { after: '1h', confirm: 'stored' });
    await cancelled.cancel();
    const { answer, job: again } = await web.client.retry(cancelled.id);
    expect(answer).toBe('queued');
    expect(await again!.result({ timeout: '60s' })).toBe(2);
  });

  it('survives kill -9 of its node between its failure and the retry, and right after the retry', async () => {
    const web = await system.application();
    const node = {
      name: 'one',
      storage: { type: 'sqlite' as const, database: join(await system.folder(), 'one.sqlite') },
      distributors: [{ host: '127.0.0.1', port: web.port }],
    };
    let one = await system.process({ node }, [web]);
    const job = await web.client.enqueue('work', { do: 'fail' }, once);
    await expect(job.result({ timeout: '60s' })).rejects.toMatchObject({ code: 'JOB_FAILED' });
    await one.kill('SIGKILL');
    await eventually('its loss is known', () => web.distributor.nodes().length === 0);
    expect(await web.client.retry(job.id)).toEqual({ answer: 'unknown', job: null, missing: ['one'] });

    one = await system.process({ node }, [web]);
    const { answer, job: again } = await web.client.retry(job.id);
    expect(answer).toBe('queued');
    const result = expect(again!.result({ timeout: '120s' })).rejects.toMatchObject({ code: 'JOB_FAILED' });
    await one.kill('SIGKILL');
    one = await system.process({ node }, [web]);
    await result;
    expect(await web.client.find(job.id)).toMatchObject({ status: 'failed', run: 2 });
  });
});

describe('a node that does not answer', () => {
  const system = reactors();

  it('is named in the answer, and those that do answer are told of all the same', async () => {
    const web = await system.application();
    const works = new Works();
    const distributors = [{ host: '127.0.0.1', port: web.port }];
    await system.node({ name: 'two', to: web, providers: [work(works)] });
    const one = await system.process({ node: { name: 'one', storage: 'memory', distributors } }, [web]);
    const stay = { after: '1h', strictNode: true, confirm: 'stored' as const };
    const frozen = await web.client.enqueue('work', {}, { ...stay, node: 'one' });
    const there = await web.client.enqueue('work', {}, { ...stay, node: 'two' });
    process.kill(one.child.pid!, 'SIGSTOP');
    try {
      const [page, others, named, lost, gone, again, all] = await Promise.all([
        web.client.jobs(),
        web.client.jobs({ node: 'two' }),
        web.client.jobs({ node: ['one', 'nobody'] }),
        web.client.remove({ name: 'work', node: 'one' }),
        web.client.remove(frozen.id),
        web.client.retry(UNKNOWN),
        web.client.retryAll({ name: 'work' }),
      ]);
      expect(all).toEqual({ retried: 0, skipped: 0, missing: ['one'] });
      expect([ids(page.jobs), page.missing]).toEqual([[there.id], ['one']]);
      expect([ids(others.jobs), others.missing]).toEqual([[there.id], []]);
      expect([named.jobs, named.missing]).toEqual([[], ['nobody', 'one']]);
      expect(lost).toEqual({ removed: 0, skipped: 0, missing: ['one'] });
      expect(gone).toMatchObject({ removed: 0, missing: ['one'] });
      expect(again).toEqual({ answer: 'unknown', job: null, missing: ['one'] });
    } finally {
      process.kill(one.child.pid!, 'SIGCONT');
    }
  });

  it('is named when it is lost during the question, which then ends at once', async () => {
    const web = await system.application();
    const distributors = [{ host: '127.0.0.1', port: web.port }];
    const one = await system.process({ node: { name: 'one', storage: 'memory', distributors } }, [web]);
    process.kill(one.child.pid!, 'SIGSTOP');
    const asked = performance.now();
    const page = web.client.jobs();
    await one.kill('SIGKILL');
    expect(await page).toEqual({ jobs: [], after: null, missing: ['one'] });
    expect(performance.now() - asked).toBeLessThan(5_000);
  });

  it('is named as long as it is away with its database, and no longer', async () => {
    const web = await system.application();
    const works = new Works();
    const storage = { type: 'sqlite', database: join(await system.folder(), 'jobs.sqlite') } as const;
    const node = await system.node({ to: web, providers: [work(works)], storage });
    const job = await web.client.enqueue('work', {}, { after: '1h', confirm: 'stored' });
    await node.close();
    await eventually('it is gone', () => web.distributor.nodes().length === 0);
    expect(await web.client.jobs()).toEqual({ jobs: [], after: null, missing: ['one'] });
    await system.node({ to: web, providers: [work(works)], storage });
    const { jobs, missing } = await web.client.jobs();
    expect([ids(jobs), missing]).toEqual([[job.id], []]);
  });
});

describe('from a process that is only a node', () => {
  const system = reactors();

  it('jobs, remove, retry and retryAll work over a distributor it is connected to', async () => {
    const works = new Works();
    const web = await system.application({ name: 'web' });
    await system.node({ name: 'one', to: web, providers: [work(works)] });
    const { client } = await system.node({ name: 'two', to: web });
    const waits = await client.enqueue('work', {}, { after: '1h', confirm: 'stored' });
    const here = await client.enqueue('nobody has this', { text: 'x'.repeat(800_000) });
    const fails = await failed(client);
    const { jobs, after, missing } = await client.jobs();
    expect(jobs).toMatchObject([
      { id: waits.id, node: 'one', status: 'queued' },
      { id: here.id, node: null, status: 'queued' },
      { id: fails.id, node: 'one', status: 'failed' },
    ]);
    expect({ after, missing }).toEqual({ after: null, missing: [] });
    expect(ids((await client.jobs({ after: waits.id, limit: 1 })).jobs)).toEqual([here.id]);

    works.broken = false;
    const { answer, job } = await client.retry(fails.id);
    expect(answer).toBe('queued');
    expect(await job!.result({ timeout: '60s' })).toBeUndefined();
    expect(await client.retry(waits.id)).toEqual({ answer: 'not-final', job: null, missing: [] });
    expect(await client.retry(UNKNOWN)).toEqual({ answer: 'unknown', job: null, missing: [] });

    works.broken = true;
    const { id } = await failed(client);
    works.broken = false;
    expect(await client.retryAll({ status: 'failed' })).toEqual({ retried: 1, skipped: 0, missing: [] });
    await eventually('it runs', () => works.started.all.some((start) => start.id === id && start.run === 2));

    expect(await client.remove(waits.id)).toEqual({ removed: 1, skipped: 0, missing: [] });
    expect(await client.remove({ node: null })).toEqual({ removed: 1, skipped: 0, missing: [] });
    await expect(here.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
    expect((await client.jobs()).jobs).toEqual([]);
  });

  it('a question that removes or runs again is not asked twice when the connection is lost: the caller decides', async () => {
    const web = await system.application();
    const { client } = await system.node({ to: web });
    const distributors = [{ host: '127.0.0.1', port: web.port }];
    const two = await system.process({ node: { name: 'two', storage: 'memory', distributors } }, [web]);
    process.kill(two.child.pid!, 'SIGSTOP'); // so that the distributor waits for its answer
    const removing = client.remove({ name: 'work' });
    const outcome = expect(removing).rejects.toMatchObject({ code: 'NOT_CONNECTED' });
    await web.close();
    await outcome;
  });
});

describe('retention', () => {
  const system = reactors();

  it('keeps failed jobs and removes succeeded and cancelled ones, unless the node says otherwise', async () => {
    const works = new Works();
    const web = await system.application();
    await system.node({ name: 'default', to: web, providers: [work(works)] });
    const retention = { removeSucceeded: false, removeCancelled: false, removeFailed: true };
    await system.node({ name: 'other', to: web, providers: [work(works)], jobs: { retention } });
    const kept: Record<string, string[]> = {};
    for (const node of ['default', 'other']) {
      const there = { node, strictNode: true };
      await web.client.run('work', {}, there);
      await failed(web.client, { do: 'fail' }, there);
      const cancelled = await web.client.enqueue('work', {}, { ...there, after: '1h', confirm: 'stored' });
      expect(await cancelled.cancel()).toBe('cancelled');
      kept[node] = (await web.client.jobs({ node })).jobs.map(({ status }) => status);
    }
    expect(kept).toEqual({ default: ['failed'], other: ['succeeded', 'cancelled'] });
  });
});

describe('JobReactorDistributor', () => {
  const system = reactors();

  it('tells its nodes, its backlog, and what happens to them', async () => {
    const works = new Works();
    const web = await system.application({ name: 'web' });
    const events = new Facts<{ event: string; node?: { name: string } }>();
    for (const event of ['node joined', 'node left', 'node lost'] as const) web.distributor.on(event, events.tell);
    expect([web.distributor.nodes(), web.distributor.backlog()]).toEqual([
      [],
      { unconfirmed: 0, pending: 0, byName: {} },
    ]);
    await web.client.enqueue('work', { do: 'wait' });
    await web.client.enqueue(Other, { do: 'wait' });
    expect(web.distributor.backlog()).toEqual({ unconfirmed: 2, pending: 2, byName: { work: 1, other: 1 } });

    const since = Date.now();
    const node = await system.node({
      name: 'one',
      to: web,
      providers: [work(works)],
      concurrency: 4,
      prefetch: 0,
      labels: ['blue'],
    });
    await works.started.count(2);
    await events.next(({ event }) => event === 'node joined');
    const [one, ...others] = web.distributor.nodes();
    expect(others).toEqual([]);
    expect(one).toMatchObject({
      name: 'one',
      jobs: ['work', 'other'],
      concurrency: 4,
      labels: ['blue'],
      durable: false,
    });
    expect(one!.since).toBeGreaterThanOrEqual(since);
    await eventually('two slots are free', () => web.distributor.nodes()[0]?.freeSlots === 2);
    await eventually('both are stored', () => web.distributor.backlog().unconfirmed === 0);
    expect(web.distributor.backlog()).toEqual({ unconfirmed: 0, pending: 0, byName: {} });

    works.go.resolve(null);
    await node.close();
    expect(await events.next(({ event }) => event === 'node left')).toMatchObject({ node: { name: 'one' } });
    const distributors = [{ host: '127.0.0.1', port: web.port }];
    const two = await system.process({ node: { name: 'two', storage: 'memory', distributors } }, [web]);
    await two.kill('SIGKILL');
    expect(await events.next(({ event }) => event === 'node lost')).toMatchObject({ node: { name: 'two' } });
    web.distributor.off('node joined', events.tell);
    await system.node({ name: 'three', to: web });
    expect(events.all.map(({ event }) => event)).toEqual(['node joined', 'node left', 'node joined', 'node lost']);
  });
});

describe('one clear error for', () => {
  const system = reactors();
  let client: JobReactorClient;
  beforeEach(async () => void ({ client } = await system.application()));

  const wrong = (value: unknown): never => value as never;

  it.each<[string, (jobs: JobReactorClient) => Promise<unknown>, RegExp]>([
    ['jobs of what is no object', (jobs) => jobs.jobs(wrong('work')), /must be an object/],
    ['an option jobs() does not have', (jobs) => jobs.jobs(wrong({ state: 'failed' })), /no option `state`/],
    ['a status that is none', (jobs) => jobs.jobs(wrong({ status: 'faild' })), /Did you mean 'failed'/],
    ['an empty list of statuses', (jobs) => jobs.jobs({ status: [] }), /status is an empty list/],
    ['an empty list of nodes', (jobs) => jobs.jobs({ node: [] }), /node is an empty list/],
    ['a limit of 0', (jobs) => jobs.jobs({ limit: 0 }), /limit must be a whole number from 1 to 1000/],
    ['a limit beyond 1000', (jobs) => jobs.jobs({ limit: 1001 }), /limit must be a whole number from 1 to 1000/],
    ['an after that is no id', (jobs) => jobs.jobs({ after: '7' }), /after must be the id of a job/],
    ['a name that is none', (jobs) => jobs.jobs({ name: '' }), /name must be a name/],
    ['remove of everything', (jobs) => jobs.remove({}), /needs an id or a condition/],
    [
      'remove of undefined conditions',
      (jobs) => jobs.remove(wrong({ status: undefined })),
      /needs an id or a condition/,
    ],
    ['remove of nothing', (jobs) => jobs.remove(wrong(undefined)), /must be an object/],
    ['remove with a limit', (jobs) => jobs.remove(wrong({ name: 'work', limit: 5 })), /no option `limit`/],
    ['remove of what is no id', (jobs) => jobs.remove('all'), /must be the id of a job, a UUID, not 'all'/],
    ['retryAll of everything', (jobs) => jobs.retryAll({}), /retryAll\(\) needs a condition/],
    ['retryAll of an id', (jobs) => jobs.retryAll(wrong(UNKNOWN)), /What retryAll\(\) is about must be an object/],
    ['retryAll of what succeeded', (jobs) => jobs.retryAll({ status: ['failed', 'succeeded'] }), /not 'succeeded'/],
    ['retry of what is no id', (jobs) => jobs.retry(wrong(7)), /must be the id of a job, a UUID, not 7/],
  ])('%s', async (_what, ask, message) => {
    const asked = ask(client);
    await expect(asked).rejects.toMatchObject({ code: 'INVALID_QUERY' });
    await expect(asked).rejects.toThrow(message);
  });

  it('and an id in capitals is the same id', async () => {
    const { id } = await client.enqueue('nobody has this', {});
    expect(await client.remove(id.toUpperCase())).toMatchObject({ removed: 1 });
  });
});
