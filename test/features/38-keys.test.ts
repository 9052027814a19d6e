import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { describe, expect, it } from 'vitest';
import {
  CommitInDoubt,
  defineJob,
  EnqueueUnknown,
  Job,
  JobContext,
  JobReactorError,
  JobRejected,
  type Feedback,
  type KeyOptions,
  type KeyRows,
} from '../../lib/index.js';
import { systemClock } from '../../lib/clock.js';
import { MemoryStorage } from '../../lib/storage/memory-storage.js';
import { createStorage } from '../../lib/storage/create-storage.js';
import { databaseKinds, describeEachDatabase } from '../support/databases.js';
import { signal } from '../support/deadline.js';
import { freePort } from '../support/free-port.js';
import { eventually, Facts, joined, reactors, type Application } from '../support/reactor.js';
import { wrapped } from '../support/wrapped-storage.js';

const system = reactors();

interface Ran {
  id: string;
  n: number;
  attempt: number;
  run: number;
  key: string | undefined;
}

const Index = defineJob<{ n: number }, number>('search.index', { maxAttempts: 3, backoff: 1 });

/** Attempts end as the gate of their number says; without one at once. */
function jobs(ran: Facts<Ran>, gates: Record<number, Promise<unknown>> = {}) {
  const work = async (n: number, { job: { id, attempt, run, key } }: JobContext): Promise<number> => {
    ran.tell({ id, n, attempt, run, key });
    await gates[n];
    return n;
  };
  @Injectable()
  class Jobs {
    @Job(Index)
    index(@Payload() { n }: { n: number }, @Ctx() ctx: JobContext): Promise<number> {
      return work(n, ctx);
    }
    @Job('other')
    other(@Payload() { n }: { n: number }, @Ctx() ctx: JobContext): Promise<number> {
      return work(n, ctx);
    }
    @Job('failing', { maxAttempts: 2, backoff: '1h' })
    async failing(@Payload() { n }: { n: number }, @Ctx() ctx: JobContext): Promise<number> {
      await work(n, ctx);
      throw new Error('It fails.');
    }
  }
  return Jobs;
}

const soon = { timeout: '20s' };

async function start(kind: string, gates: Record<number, Promise<unknown>> = {}, more: object = {}) {
  const ran = new Facts<Ran>();
  const outbox = kind === 'memory' ? undefined : await system.database(kind as 'SQLite');
  const storage = kind === 'memory' ? 'memory' : await system.database(kind as 'SQLite');
  const web = await system.application(outbox ? { outbox } : {});
  const node = await system.node({ to: web, storage, concurrency: 4, providers: [jobs(ran, gates)], ...more });
  return { ran, web, node, outbox, client: web.client };
}

describe.each(['memory', ...databaseKinds] as const)('a key, with an outbox and nodes in %s', (kind) => {
  it('is one job’s until that has ended: who enqueues meanwhile gets that job and its result', async () => {
    const gate = signal();
    const { ran, client } = await start(kind, { 1: gate.promise });
    const first = await client.enqueue(Index, { n: 1 }, { key: 'user 7' });
    await ran.next();
    const heard = new Facts<Feedback>();
    const again = await client.enqueue(
      Index,
      { n: 2 },
      { key: 'user 7', onSuccess: (feedback) => heard.tell(feedback) },
    );
    expect([first.duplicate, again.duplicate, again.id]).toEqual([false, true, first.id]);
    // Another key, another name, none at all: nobody is in their way.
    const others = await client.enqueueMany([
      { job: Index, args: { n: 3 }, options: { key: 'user 8' } },
      { job: 'other', args: { n: 4 }, options: { key: 'user 7' } },
      { job: Index, args: { n: 5 } },
    ]);
    expect(others.map(({ duplicate }) => duplicate)).toEqual([false, false, false]);
    expect(await Promise.all(others.map((job) => job.result(soon)))).toEqual([3, 4, 5]);
    gate.resolve();
    expect(await Promise.all([first.result(soon), again.result(soon)])).toEqual([1, 1]);
    expect(await heard.next()).toMatchObject({ result: 1, job: { id: first.id, key: 'user 7' } });
    // Whoever has heard of the end finds the key free.
    const next = await client.enqueue(Index, { n: 6 }, { key: 'user 7' });
    expect([next.duplicate, await next.result(soon)]).toEqual([false, 6]);
    expect(ran.all.map(({ n }) => n).sort()).toEqual([1, 3, 4, 5, 6]);
    expect(ran.all.find(({ n }) => n === 1)).toMatchObject({ key: 'user 7' });
  });

  it('is the job’s over its retries and the later runs of a periodic one, and free however it ends', async () => {
    const { ran, client } = await start(kind);
    const failing = await client.enqueue('failing', { n: 1 }, { key: 'a' });
    await eventually('it waits', async () => (await client.find(failing.id))?.status === 'retrying');
    expect((await client.enqueue('failing', { n: 2 }, { key: 'a', after: 0 })).id).toBe(failing.id);
    await client.runNow(failing.id);
    await expect(failing.result(soon)).rejects.toMatchObject({ code: 'JOB_FAILED' });
    const periodic = await client.enqueue('other', { n: 3 }, { key: 'a', period: '1h' });
    expect(periodic.duplicate).toBe(false);
    await eventually('its next run waits', async () => (await client.find(periodic.id))?.run === 2);
    expect((await client.enqueue('other', { n: 4 }, { key: 'a' })).id).toBe(periodic.id);
    await periodic.cancel();
    await expect(periodic.result(soon)).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
    const removed = await client.enqueue('failing', { n: 5 }, { key: 'a', after: '1h', confirm: 'stored' });
    expect([removed.duplicate, (await client.remove(removed.id)).removed]).toEqual([false, 1]);
    await eventually('it is free', async () => !(await client.enqueue('failing', { n: 6 }, { key: 'a' })).duplicate);
    await ran.next(({ n }) => n === 6);
    expect(ran.all.map(({ n }) => n)).toEqual([1, 1, 3, 6]);
  });

  it('is free with the end of a job that no node has had, cancelled or expired, heard of or not', async () => {
    const { client } = await start(kind);
    const options: { key: KeyOptions; expires?: string } = { key: { value: 'a', onConflict: 'keep' } };
    const cancelled = await client.enqueue('nobody', {}, options);
    expect((await client.enqueue('nobody', {}, options)).id).toBe(cancelled.id);
    await cancelled.cancel();
    const expiring = await client.enqueue('nobody', {}, { ...options, expires: 100 });
    expect(expiring.duplicate).toBe(false);
    await expect(expiring.result(soon)).rejects.toMatchObject({ code: 'JOB_FAILED' });
    const last = await client.enqueue('nobody', {}, options);
    expect(last.duplicate).toBe(false);
    expect((await client.remove(last.id)).removed).toBe(1);
    expect((await client.enqueue('nobody', {}, options)).duplicate).toBe(false);
  });

  it("until: 'started' it is free when the first attempt begins, and not before", async () => {
    const gate = signal();
    const { ran, client } = await start(kind, { 1: gate.promise });
    const key: KeyOptions = { value: 'a', until: 'started' };
    const first = await client.enqueue(Index, { n: 1 }, { key, after: '1h', confirm: 'stored' });
    expect((await client.enqueue(Index, { n: 2 }, { key })).id).toBe(first.id);
    expect((await client.runNow(first.id)).answer).toBe('queued');
    await ran.next();
    // The job that follows is enqueued while the first one runs: what it has to see may have changed since that began.
    let second = first;
    await eventually('the key is free', async () => {
      second = await client.enqueue(Index, { n: 3 }, { key, after: '1h', confirm: 'stored' });
      return !second.duplicate;
    });
    gate.resolve();
    expect(await first.result(soon)).toBe(1);
    // The end of the first does not free the key of the second.
    expect((await client.enqueue(Index, { n: 4 }, { key })).id).toBe(second.id);
  });

  it('until a time after the enqueue it is not free when the job ends, and free when that is over', async () => {
    const { ran, client } = await start(kind);
    const first = await client.enqueue(Index, { n: 1 }, { key: { value: 'a', until: '1h' } });
    expect(await first.result(soon)).toBe(1);
    const again = await client.enqueue(Index, { n: 2 }, { key: { value: 'a', until: '1h' } });
    expect([again.id, again.duplicate]).toEqual([first.id, true]);
    await expect(again.result(soon)).rejects.toMatchObject({ code: 'RESULT_UNAVAILABLE' });
    const short: KeyOptions = { value: 'b', until: 300 };
    const before = Date.now();
    await client.enqueue(Index, { n: 3 }, { key: short });
    await eventually('it is free', async () => !(await client.enqueue(Index, { n: 4 }, { key: short })).duplicate);
    expect(Date.now() - before).toBeGreaterThanOrEqual(300);
    await ran.next(({ n }) => n === 4);
    expect(await client.releaseKey(Index, 'a')).toBe(true);
    expect(await client.releaseKey(Index, 'a')).toBe(false);
    expect((await client.enqueue(Index, { n: 5 }, { key: 'a' })).duplicate).toBe(false);
  });

  it('replace: the job that waits takes args and time of the last call; reschedule: the time alone', async () => {
    const gate = signal();
    const { ran, client } = await start(kind, { 9: gate.promise });
    const key = (onConflict: KeyOptions['onConflict']): KeyOptions => ({ value: 'a', onConflict: onConflict! });
    const dueIn = async (id: string): Promise<number> => ((await client.find(id))?.dueAt ?? 0) - Date.now();
    // On its node, which has stored it.
    const { id } = await client.enqueue(Index, { n: 1 }, { key: key('replace'), after: '1h', confirm: 'stored' });
    for (const n of [2, 3, 4]) {
      const one = await client.enqueue(Index, { n }, { key: key('replace'), after: '2h' });
      expect([one.id, one.duplicate]).toEqual([id, true]);
    }
    expect(await client.find(id)).toMatchObject({ args: { n: 4 } });
    expect(await dueIn(id)).toBeGreaterThan(7_100_000);
    await client.enqueue(Index, { n: 5 }, { key: key('keep') });
    expect(await dueIn(id)).toBeGreaterThan(7_100_000);
    const last = await client.enqueue(Index, { n: 9 }, { key: key('reschedule') });
    expect((await ran.next()).n).toBe(4);
    expect(await last.result(soon)).toBe(4);

    // Before a node has it, sent or not: the last one is what counts there as well.
    const burst = [6, 7, 8, 9].map((n) => client.enqueue(Index, { n }, { key: key('replace'), after: '1h' }));
    const [winner] = await Promise.all(burst);
    expect(new Set((await Promise.all(burst)).map((one) => one.id))).toEqual(new Set([winner!.id]));
    await client.enqueue(Index, { n: 9 }, { key: key('replace') });
    expect((await ran.next()).n).toBe(9);
    // It has begun: nothing changes.
    await client.enqueue(Index, { n: 10 }, { key: key('replace'), after: '1h' });
    expect(await client.find(winner!.id)).toMatchObject({ status: 'running', args: { n: 9 } });
    gate.resolve();
    expect(await winner!.result(soon)).toBe(9);
  });

  it('replace: also a job that waits for a slot, not one that waits for its retry', async () => {
    const gate = signal();
    const { ran, client } = await start(kind, { 1: gate.promise }, { concurrency: 1, prefetch: 5 });
    await client.enqueue('other', { n: 1 });
    await ran.next();
    const key: KeyOptions = { value: 'a', onConflict: 'replace' };
    const waits = await client.enqueue('failing', { n: 2 }, { key, confirm: 'stored' });
    await client.enqueue('failing', { n: 3 }, { key });
    gate.resolve();
    expect((await ran.next(({ id }) => id === waits.id)).n).toBe(3);
    await eventually('it waits', async () => (await client.find(waits.id))?.status === 'retrying');
    const { dueAt } = (await client.find(waits.id))!;
    expect((await client.enqueue('failing', { n: 4 }, { key })).id).toBe(waits.id);
    expect(await client.find(waits.id)).toMatchObject({ args: { n: 3 }, dueAt });
  });

  it('replace: a job that no node has yet goes with what was said last, over a restart if it is in a database', async () => {
    const ran = new Facts<Ran>();
    const outbox = kind === 'memory' ? undefined : await system.database(kind);
    let web: Application = await system.application(outbox ? { outbox } : {});
    const key: KeyOptions = { value: 'a', onConflict: 'replace' };
    const { id } = await web.client.enqueue(Index, { n: 1 }, { key, after: '1h' });
    expect((await web.client.enqueue(Index, { n: 2 }, { key, after: '1h' })).id).toBe(id);
    expect(await web.client.find(id)).toMatchObject({ args: { n: 2 }, status: 'queued' });
    expect((await web.client.edit(Index, id, { args: { n: 3 } })).answer).toBe('edited');
    await web.client.enqueue(Index, { n: 4 }, { key: { value: 'a', onConflict: 'reschedule' } });
    if (outbox) {
      await web.close();
      web = await system.application({ outbox });
      expect((await web.client.enqueue(Index, { n: 5 }, { key: 'a' })).id).toBe(id);
    }
    await system.node({ to: web, providers: [jobs(ran)] });
    expect(await ran.next()).toMatchObject({ id, n: 3 });
    await eventually(
      'the key is free',
      async () => !(await web.client.enqueue(Index, { n: 6 }, { key: 'a' })).duplicate,
    );
    await ran.next();
    expect(ran.all.map(({ n }) => n)).toEqual([3, 6]);
  });

  it('of many that want it at once one gets it, in one call and in many', async () => {
    const gate = signal();
    const { ran, client } = await start(
      kind,
      Object.fromEntries(Array.from({ length: 50 }, (_, n) => [n, gate.promise])),
    );
    const one = (n: number) => client.enqueue(Index, { n }, { key: 'a' });
    const handles = await Promise.all(Array.from({ length: 50 }, (_, n) => one(n)));
    gate.resolve();
    expect(new Set(handles.map(({ id }) => id)).size).toBe(1);
    expect(handles.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    const results = await Promise.all(handles.map((job) => job.result(soon)));
    expect(new Set(results).size).toBe(1);
    const entry = (n: number) => ({ job: Index, args: { n }, options: { key: 'b' } });
    const many = await client.enqueueMany([entry(100), { job: Index, args: { n: 101 } }, entry(102), entry(103)]);
    expect(many.map(({ duplicate }) => duplicate)).toEqual([false, false, true, true]);
    expect(await Promise.all(many.map((job) => job.result(soon)))).toEqual([100, 101, 100, 100]);
    expect(ran.all).toHaveLength(3);
  });

  it('replace, until it starts: however often it is called while jobs begin, what was said last runs', async () => {
    const { ran, client } = await start(kind);
    const key: KeyOptions = { value: 'a', until: 'started', onConflict: 'replace' };
    const last = 150;
    for (let n = 1; n <= last; n++) await client.enqueue(Index, { n }, { key });
    await eventually('the last has run', () => ran.all.some(({ n }) => n === last));
    const begun = ran.all.map(({ n }) => n);
    // None runs twice, and each job has what came after the one before it.
    expect(begun).toEqual([...new Set(begun)].sort((x, y) => x - y));
  });

  it('works from the client of a node: another’s job, its result, and what happens on conflict', async () => {
    const gate = signal();
    const { ran, client, node } = await start(kind, { 1: gate.promise });
    const first = await client.enqueue(Index, { n: 1 }, { key: 'a' });
    await ran.next();
    const again = await node.client.enqueue(Index, { n: 2 }, { key: 'a' });
    expect([again.id, again.duplicate]).toEqual([first.id, true]);
    const result = again.result(soon);
    gate.resolve();
    expect(await result).toBe(1);
    const own = await node.client.enqueue(Index, { n: 3 }, { key: { value: 'a', until: 'ended' }, after: '1h' });
    await node.client.enqueue(Index, { n: 4 }, { key: { value: 'a', onConflict: 'replace' } });
    expect([own.duplicate, await own.result(soon)]).toEqual([false, 4]);
    await expect(node.client.releaseKey(Index, 'a')).rejects.toMatchObject({ code: 'INVALID_QUERY' });
  });
});

describeEachDatabase('a key, with applications on one database', ({ kind }) => {
  it('of two hundred enqueues in two applications at once one is enqueued, and either hears when it is free', async () => {
    const ran = new Facts<Ran>();
    const database = await system.database(kind);
    const webs = [await system.application({ outbox: database }), await system.application({ outbox: database })];
    const gate = signal();
    const gates = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [n, gate.promise]));
    await system.node({ to: webs, storage: database, providers: [jobs(ran, gates)] });
    const handles = await Promise.all(
      Array.from({ length: 200 }, (_, n) => webs[n % 2]!.client.enqueue(Index, { n }, { key: 'a' })),
    );
    expect(new Set(handles.map(({ id }) => id)).size).toBe(1);
    const winner = handles.find(({ duplicate }) => !duplicate)!;
    expect(handles.filter(({ duplicate }) => !duplicate)).toHaveLength(1);
    gate.resolve();
    await winner.result(soon);
    const next = await webs[(handles.indexOf(winner) + 1) % 2]!.client.enqueue(Index, { n: 200 }, { key: 'a' });
    expect([next.duplicate, await next.result(soon)]).toEqual([false, 200]);
    expect(ran.all.map(({ id }) => id)).toEqual([winner.id, next.id]);
  });

  it('is in the caller’s transaction: it goes with a rollback, and is waited for until it is known', async () => {
    const ran = new Facts<Ran>();
    const outbox = (await system.database(kind)) as { type: string; url: string };
    const { client } = await system.application({ outbox: outbox as never });
    const source = await new DataSource({ type: outbox.type, url: outbox.url } as DataSourceOptions).initialize();
    const undone = source.transaction(async (manager) => {
      const job = await client.enqueue(Index, { n: 1 }, { key: 'a', manager });
      expect(job.duplicate).toBe(false);
      expect((await client.enqueue(Index, { n: 2 }, { key: 'a', manager })).id).toBe(job.id);
      throw new Error('changed my mind');
    });
    await expect(undone).rejects.toThrow('changed my mind');
    const done = await source.transaction(async (manager) => {
      const job = await client.enqueue(Index, { n: 3 }, { key: 'a', manager });
      // Somebody else wants it: what becomes of it is not known before the commit.
      const other = client.enqueue(Index, { n: 4 }, { key: 'a' });
      return { job, other };
    });
    const other = await done.other;
    expect([done.job.duplicate, other.duplicate, other.id]).toEqual([false, true, done.job.id]);
    const lost = await source.transaction((manager) => client.enqueue(Index, { n: 5 }, { key: 'a', manager }));
    expect([lost.duplicate, lost.id]).toEqual([true, done.job.id]);
    const period: KeyOptions = { value: 'b', until: 1 };
    const first = await source.transaction((manager) => client.enqueue(Index, { n: 6 }, { key: period, manager }));
    expect(first.duplicate).toBe(false);
    await eventually('another gets it', async () => {
      const job = await source.transaction((manager) => client.enqueue(Index, { n: 7 }, { key: period, manager }));
      return !job.duplicate;
    });
    await source.destroy();
    expect(ran.all).toEqual([]);
  });
});

describe.each(databaseKinds)('a key, kept in %s', (kind) => {
  it('is the job’s over a kill -9 of the application, and free when it ends while that is away', async () => {
    const [port, outbox, storage] = [await freePort(), await system.database(kind), await system.database(kind)];
    const application = () => system.process({ distributor: { name: 'web', port, outbox } });
    let web = await application();
    const node = await system.process({ node: { name: 'one', storage, distributors: [{ host: '127.0.0.1', port }] } });
    const id = await web.enqueue('work', { do: 'wait' }, { key: 'a' });
    await node.started();
    const deferred = await web.enqueue('work', {}, { key: { value: 'b', until: 'started' }, after: '1h' });
    await web.kill('SIGKILL');
    web = await application();
    expect(await web.enqueue('work', {}, { key: 'a' })).toBe(id);
    expect(await web.enqueue('work', {}, { key: 'b' })).toBe(deferred);
    // Nobody listens to it any more, and nobody is there when it ends.
    await web.kill('SIGKILL');
    node.finish(id, 'done');
    web = await application();
    let next = id;
    await eventually('the key is free', async () => {
      next = await web.enqueue('work', {}, { key: 'a' });
      return next !== id;
    });
    expect((await node.started((job) => job.id === next)).id).toBe(next);
    expect(await web.enqueue('work', {}, { key: 'b' })).toBe(deferred);
  }, 60_000);

  it('of a job that nobody has heard of: one that ended while it waited, or whose node was killed, is free again', async () => {
    const ran = new Facts<Ran>();
    const outbox = await system.database(kind);
    let web = await system.application({ outbox });
    const key: KeyOptions = { value: 'a', until: 'started' };
    const expiring = await web.client.enqueue(Index, { n: 1 }, { key, expires: 200 });
    await web.close();
    web = await system.application({ outbox });
    await eventually('it is free', async () => {
      const job = await web.client.enqueue(Index, { n: 2 }, { key, after: '1h' });
      return job.id !== expiring.id;
    });
    expect(await web.client.releaseKey(Index, 'a')).toBe(true);
    await system.node({ to: web, providers: [jobs(ran)] });
    const job = await web.client.enqueue(Index, { n: 3 }, { key: 'a' });
    expect([job.duplicate, await job.result(soon)]).toEqual([false, 3]);
  });
});

describeEachDatabase('a key of a job that starts while its application is away', ({ kind }) => {
  it('is free in another instance of it, and when the node is back', async () => {
    const database = await system.database(kind);
    const ran = new Facts<Ran>();
    const gate = signal();
    const first = await system.application({ outbox: database });
    const port = await freePort();
    const second = await system.application({ outbox: database, port });
    const key: KeyOptions = { value: 'a', until: 'started' };
    const node = await system.node({ to: [first, second], providers: [jobs(ran, { 1: gate.promise })] });
    const { id } = await first.client.enqueue(Index, { n: 1 }, { key, after: '1h', confirm: 'stored' });
    expect((await second.client.enqueue(Index, { n: 2 }, { key })).id).toBe(id);
    await first.close();
    expect((await second.client.runNow(id)).answer).toBe('queued');
    await ran.next();
    await eventually('another gets it', async () => {
      const job = await second.client.enqueue(Index, { n: 3 }, { key, after: '1h' });
      return !job.duplicate;
    });
    gate.resolve();
    await node.close();
  });

  it('is free in another instance of it once the job has ended, though nobody is told of that yet', async () => {
    const database = await system.database(kind);
    const ran = new Facts<Ran>();
    const gate = signal();
    const webs = [
      await system.application({ outbox: database }),
      await system.application({ outbox: database }),
    ] as const;
    await system.node({ to: [...webs], providers: [jobs(ran, { 1: gate.promise })] });
    const closures = { onSuccess: (): void => undefined };
    const { id } = await webs[0].client.enqueue(Index, { n: 1 }, { key: 'a', ...closures });
    await ran.next();
    await webs[0].close();
    expect((await webs[1].client.enqueue(Index, { n: 2 }, { key: 'a' })).id).toBe(id);
    gate.resolve();
    const isFree = async (): Promise<boolean> =>
      !(await webs[1].client.enqueue(Index, { n: 3 }, { key: 'a' })).duplicate;
    await eventually('another gets it', isFree, 10_000);
  });
});

it('replace, until it starts, of a job that is just about to: what is newer is not lost, and runs after it', async () => {
  const [ran, gate, begins, commits] = [new Facts<Ran>(), signal(), signal(), signal()];
  const memory = new MemoryStorage(systemClock);
  let first = '';
  const storage = wrapped(memory, {
    async commit(writes) {
      if (writes.some((write) => write.kind === 'start' && write.id === first)) {
        begins.resolve();
        await commits.promise;
      }
      return memory.commit(writes);
    },
  });
  const web = await system.application();
  await system.node({ to: web, storage, concurrency: 1, providers: [jobs(ran, { 100: gate.promise })] });
  const { client } = web;
  const key: KeyOptions = { value: 'a', until: 'started', onConflict: 'replace' };
  await client.enqueue('other', { n: 100 });
  await ran.next();
  first = (await client.enqueue(Index, { n: 1 }, { key, confirm: 'stored' })).id;
  gate.resolve();
  await begins.promise;
  const second = client.enqueue(Index, { n: 2 }, { key });
  // Meanwhile its node is asked whether it may be changed, and what has become of it: neither yes nor begun.
  for (let n = 0; n < 5; n++) expect((await client.find(first))?.attempt).toBe(0);
  commits.resolve();
  expect((await second).id).not.toBe(first);
  expect(await (await second).result(soon)).toBe(2);
  expect(ran.all.map(({ n }) => n)).toEqual([100, 1, 2]);
});

it('in memory is lost with its process, and a job of it that goes on does not keep another from it', async () => {
  const port = await freePort();
  const ran = new Facts<Ran>();
  const gate = signal();
  let web: Application = await system.application({ port });
  await system.node({ to: web, providers: [jobs(ran, { 1: gate.promise })] });
  const first = await web.client.enqueue(Index, { n: 1 }, { key: 'a', confirm: 'stored' });
  await ran.next();
  await web.close();
  web = await system.application({ port });
  await joined(web, 'one');
  const second = await web.client.enqueue(Index, { n: 2 }, { key: 'a', after: '1h' });
  expect(second.duplicate).toBe(false);
  gate.resolve();
  // The end of the first says nothing of the second's key.
  await web.client.run(Index, { n: 3 });
  expect((await web.client.enqueue(Index, { n: 4 }, { key: 'a' })).id).toBe(second.id);
  expect(first.id).not.toBe(second.id);
}, 60_000);

it('of an enqueue whose commit gave no answer is its job’s if that is there: the same key again finds it', async () => {
  const ran = new Facts<Ran>();
  const real = createStorage((await system.database('SQLite')) as never, systemClock);
  let answers: 'lost' | 'failed' | 'away' | 'heard' = 'lost';
  const keys: KeyRows = {
    async holders(...given) {
      if (answers === 'away') throw new JobReactorError('STORAGE', 'not there');
      return real.keys!.holders(...given);
    },
    release: (...given) => real.keys!.release(...given),
    async claim(...given) {
      if (answers === 'failed') throw new JobReactorError('STORAGE', 'no room');
      const results = await real.keys!.claim(...given);
      if (answers === 'lost') throw new CommitInDoubt('no answer');
      return results;
    },
  };
  const { client, port } = await system.application({ outbox: wrapped(real, { keys }) });
  const unknown = await client.enqueue(Index, { n: 1 }, { key: 'a', after: 300 }).catch((error: unknown) => error);
  expect(unknown).toBeInstanceOf(EnqueueUnknown);
  for (answers of ['failed', 'away'] as const) {
    const rejected = await client.enqueue(Index, { n: 2 }, { key: 'b' }).catch((error: unknown) => error);
    expect(rejected).toBeInstanceOf(JobRejected);
    expect(rejected).toMatchObject({ code: 'STORAGE' });
  }
  answers = 'heard';
  const again = await client.enqueue(Index, { n: 3 }, { key: 'a' });
  expect([again.id, again.duplicate]).toEqual([(unknown as EnqueueUnknown).id, true]);
  expect((await client.enqueue(Index, { n: 4 }, { key: 'b' })).duplicate).toBe(false);
  await system.node({ to: { port }, providers: [jobs(ran)] });
  await ran.next(({ n }) => n === 1);
  await ran.next(({ n }) => n === 4);
  await eventually('it is free', async () => !(await client.enqueue(Index, { n: 5 }, { key: 'a' })).duplicate);
  expect(
    ran.all
      .map(({ n }) => n)
      .filter((n) => n < 5)
      .sort(),
  ).toEqual([1, 4]);
});

it('is free before anybody hears of the end, and a release that fails is made again', async () => {
  const real = createStorage((await system.database('SQLite')) as never, systemClock);
  const order: string[] = [];
  let failures = 2;
  const keys: KeyRows = {
    holders: (...given) => real.keys!.holders(...given),
    claim: (...given) => real.keys!.claim(...given),
    async release(...given) {
      // Whoever were told at once would have been told by then.
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
      order.push(failures > 0 ? 'failed' : 'freed');
      if (failures-- > 0) throw new JobReactorError('STORAGE', 'not now');
      return real.keys!.release(...given);
    },
  };
  const web = await system.application({ outbox: wrapped(real, { keys }) });
  await system.node({ to: web, providers: [jobs(new Facts())] });
  const job = await web.client.enqueue(Index, { n: 1 }, { key: 'a', onSuccess: () => void order.push('closure') });
  await job.result(soon).then(() => order.push('result'));
  expect([...order].sort()).toEqual(['closure', 'failed', 'failed', 'freed', 'result']);
  expect(order.slice(0, 3)).toEqual(['failed', 'failed', 'freed']);
});

it('needs an outbox that keeps keys, and says so', async () => {
  const real = createStorage((await system.database('SQLite')) as never, systemClock);
  const without = new Proxy(real, {
    get: (target, name) => (name === 'keys' ? undefined : bound(target, Reflect.get(target, name, target))),
  });
  const { client } = await system.application({ outbox: without });
  await expect(client.enqueue(Index, { n: 1 }, { key: 'a' })).rejects.toMatchObject({
    code: 'INVALID_JOB',
    message: expect.stringContaining('keeps no keys'),
  });
  const memory = await system.application();
  const manager = { query: () => Promise.resolve([]), dataSource: {} } as never;
  await expect(memory.client.enqueue(Index, { n: 1 }, { key: 'a', manager })).rejects.toMatchObject({
    code: 'INVALID_JOB',
    message: expect.stringContaining('An outbox in memory'),
  });
  await expect(memory.client.releaseKey(Index, '')).rejects.toMatchObject({ code: 'INVALID_JOB' });
});

const bound = (target: object, value: unknown): unknown =>
  typeof value === 'function' ? (value.bind(target) as unknown) : value;
