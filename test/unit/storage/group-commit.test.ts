import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../lib/clock.js';
import { JobReactorError } from '../../../lib/job-reactor.error.js';
import type { StoredJob } from '../../../lib/job/job.js';
import { GroupCommit } from '../../../lib/storage/group-commit.js';
import { memoryStorage } from '../../../lib/storage/memory-storage.js';
import type { JobStorage, JobWrite, WriteResult } from '../../../lib/storage/job-storage.js';
import { ManualClock } from '../../support/manual-clock.js';
import { sampleJob } from '../../support/sample-job.js';

interface Commit {
  writes: readonly JobWrite[];
  done(results?: WriteResult[]): void;
  fail(error: Error): void;
}

/** Only `commit`, and each one waits to be ended by the test. */
function heldStorage() {
  const commits: Commit[] = [];
  const waiting: ((commit: Commit) => void)[] = [];
  const storage = {
    commit: (writes: readonly JobWrite[]) =>
      new Promise<WriteResult[]>((resolve, reject) => {
        const commit: Commit = {
          writes,
          done: (results) => resolve(results ?? writes.map(() => 'done')),
          fail: reject,
        };
        const waiter = waiting.shift();
        if (waiter) waiter(commit);
        else commits.push(commit);
      }),
  } as unknown as JobStorage;
  const next = (): Promise<Commit> => {
    const commit = commits.shift();
    return commit ? Promise.resolve(commit) : new Promise((resolve) => waiting.push(resolve));
  };
  return { storage, next, none: () => commits.length === 0 };
}

const job = (id: string, args = '{}'): StoredJob => sampleJob({ id, args });

const insert = (id: string, args?: string): JobWrite => ({ kind: 'insert', job: job(id, args) });
const save = (id: string, fence: number): JobWrite => ({ kind: 'save', id, fence, change: job(id) });
const ids = (commit: Commit): string[] =>
  commit.writes.map((write) =>
    'job' in write
      ? write.job.id
      : write.kind === 'forget-feedback'
        ? `forget ${write.ids.join()}`
        : 'id' in write
          ? write.id
          : write.feedbackId,
  );

describe('group commit', () => {
  it('says before each commit that it is made now, when its writes may still be completed', async () => {
    const { storage, next } = heldStorage();
    let inserts: JobWrite[] = [];
    const before = (): void => {
      for (const write of inserts) if (write.kind === 'insert') write.job.name = 'complete';
      inserts = [];
    };
    const group = new GroupCommit(storage, systemClock, { before });
    for (const id of ['a', 'b']) {
      const write = insert(id);
      inserts.push(write);
      const done = group.write(write);
      const commit = await next();
      expect(commit.writes.map((one) => one.kind === 'insert' && one.job.name)).toEqual(['complete']);
      commit.done();
      await done;
    }
  });

  it('puts the writes of one tick into one commit', async () => {
    const { storage, next } = heldStorage();
    const group = new GroupCommit(storage, systemClock);
    const all = Promise.all([group.write(insert('a')), group.write(insert('b')), group.writeMany([insert('c')])]);
    const commit = await next();
    expect(ids(commit)).toEqual(['a', 'b', 'c']);
    commit.done(['done', 'duplicate', 'stale']);
    expect(await all).toEqual(['done', 'duplicate', ['stale']]);
    expect([group.commits, group.writes]).toEqual([1, 3]);
  });

  it('gathers what arrives while a commit is in flight into the next one', async () => {
    const { storage, next, none } = heldStorage();
    const group = new GroupCommit(storage, systemClock);
    void group.write(insert('a'));
    const first = await next();
    void group.write(insert('b'));
    await new Promise<void>((resolve) => systemClock.endOfTick(resolve));
    void group.write(insert('c'));
    await new Promise<void>((resolve) => systemClock.endOfTick(resolve));
    expect(none()).toBe(true);
    first.done();
    const second = await next();
    expect(ids(second)).toEqual(['b', 'c']);
    second.done();
    await group.idle();
  });

  it('has as many commits in flight as the storage gains from, never two about one job', async () => {
    const { storage, next, none } = heldStorage();
    const group = new GroupCommit(Object.assign(storage, { commitsAtOnce: 2 }), systemClock);
    const tick = (): Promise<void> => new Promise((resolve) => systemClock.endOfTick(resolve));
    void group.write(insert('a'));
    const first = await next();
    void group.write(save('a', 0));
    void group.write(insert('b'));
    const second = await next();
    void group.write(insert('c'));
    await tick();
    expect([ids(first), ids(second), none()]).toEqual([['a'], ['b'], true]);
    first.done();
    const third = await next();
    expect(ids(third)).toEqual(['c', 'a']);
    second.done();
    third.done();
    await group.idle();
  });

  it('halves a large group where two commits may be in flight, but nothing that belongs together', async () => {
    const { storage, next } = heldStorage();
    const group = new GroupCommit(Object.assign(storage, { commitsAtOnce: 2 }), systemClock);
    const named = (prefix: string, count: number) => Array.from({ length: count }, (_, i) => insert(`${prefix}${i}`));
    for (const write of named('a', 300)) void group.write(write);
    const halves = [await next(), await next()];
    expect(halves.map(({ writes }) => writes.length)).toEqual([150, 150]);
    for (const half of halves) half.done();
    void group.writeMany(named('b', 300));
    const whole = await next();
    expect(whole.writes).toHaveLength(300);
    whole.done();
    await group.idle();
  });

  describe('where two commits may be in flight', () => {
    /** One with 30 writes is in flight. */
    async function busy(clock: ManualClock) {
      const held = heldStorage();
      const group = new GroupCommit(Object.assign(held.storage, { commitsAtOnce: 2 }), clock);
      const add = (prefix: string, count: number): void => {
        for (let i = 0; i < count; i++) void group.write(insert(`${prefix}${i}`));
        clock.endTick();
      };
      add('first', 30);
      return { ...held, group, add, first: await held.next() };
    }
    const sizes = (...commits: Commit[]) => commits.map(({ writes }) => writes.length);

    it('few writes go beside it, more wait for it, and many do not', async () => {
      const clock = new ManualClock({ ticks: 'manual' });
      const { add, next, none, first } = await busy(clock);
      add('few', 2);
      const few = await next();
      expect(sizes(first, few)).toEqual([30, 2]);
      few.done();
      await Promise.resolve();
      await Promise.resolve();
      add('more', 100);
      expect(none()).toBe(true);
      add('many', 28);
      expect(sizes(await next())).toEqual([128]);
    });

    it('those that wait go with the next one when it is through', async () => {
      const clock = new ManualClock({ ticks: 'manual' });
      const { add, next, none, first } = await busy(clock);
      add('more', 60);
      add('and more', 40);
      expect(none()).toBe(true);
      first.done();
      await Promise.resolve();
      await Promise.resolve();
      clock.endTick();
      expect(sizes(await next())).toEqual([100]);
    });

    it('those that wait go without it when it takes long, but for a row that somebody holds', async () => {
      const clock = new ManualClock({ ticks: 'manual' });
      const { add, next, none } = await busy(clock);
      add('more', 60);
      clock.advance(49);
      clock.endTick();
      expect(none()).toBe(true);
      clock.advance(1);
      clock.endTick();
      expect(sizes(await next())).toEqual([60]);
    });
  });

  describe('writes that matter to their callers alone', () => {
    const quiet = ({ kind }: JobWrite): boolean => kind === 'insert';
    const settle = async (): Promise<void> => {
      for (let i = 0; i < 5; i++) await Promise.resolve();
    };
    function quietly(parts: Partial<JobStorage>) {
      const held = heldStorage();
      const clock = new ManualClock({ ticks: 'manual' });
      const group = new GroupCommit(Object.assign(held.storage, parts), clock, { quiet });
      const add = (prefix: string, count: number): void => {
        for (let i = 0; i < count; i++) void group.write(insert(`${prefix}${i}`));
      };
      return { ...held, clock, group, add };
    }
    const size = async (commit: Promise<Commit>): Promise<number> => (await commit).writes.length;

    it('are halved, so that one half goes on while the other is committed', async () => {
      const { add, clock, next, none } = quietly({ commitsAtOnce: 2 });
      add('a', 64);
      clock.endTick();
      const [one, other] = [await next(), await next()];
      expect([one.writes.length, other.writes.length]).toEqual([32, 32]);
      one.done();
      await settle();
      add('b', 32);
      clock.endTick();
      expect(await size(next())).toBe(32);
      expect(none()).toBe(true);
    });

    it('are not halved when they are few, belong together, or come with others', async () => {
      const few = quietly({ commitsAtOnce: 2 });
      few.add('a', 32);
      few.clock.endTick();
      expect(await size(few.next())).toBe(32);
      const whole = quietly({ commitsAtOnce: 2 });
      void whole.group.writeMany(Array.from({ length: 64 }, (_, i) => insert(`a${i}`)));
      whole.clock.endTick();
      expect(await size(whole.next())).toBe(64);
      const mixed = quietly({ commitsAtOnce: 2 });
      mixed.add('a', 64);
      void mixed.group.write(save('b', 1));
      mixed.clock.endTick();
      const both = await mixed.next();
      expect(both.writes.length).toBe(65);
      // And those that come meanwhile wait, as long as not all of them are quiet.
      mixed.add('c', 64);
      mixed.clock.endTick();
      expect(mixed.none()).toBe(true);
      both.done();
      await settle();
      mixed.clock.endTick();
      expect([await size(mixed.next()), await size(mixed.next())]).toEqual([32, 32]);
    });

    it('where a commit holds up the process are halved as well, and the answers to the first half leave in between', async () => {
      const { add, clock, next, none } = quietly({ commitsHere: true });
      add('a', 64);
      clock.endTick();
      const one = await next();
      expect(one.writes.length).toBe(32);
      one.done();
      await settle();
      for (let tick = 0; tick < 2; tick++) {
        clock.endTick();
        expect(none()).toBe(true);
      }
      clock.endTick();
      expect(await size(next())).toBe(32);
    });
  });

  it('lets the answers to a commit that held up the process leave before the next, whatever comes meanwhile', async () => {
    const { storage, next, none } = heldStorage();
    const clock = new ManualClock({ ticks: 'manual' });
    const group = new GroupCommit(Object.assign(storage, { commitsHere: true }), clock);
    const write = (id: string): void => void group.write(insert(id));
    write('a');
    clock.endTick();
    (await next()).done();
    for (let i = 0; i < 5; i++) await Promise.resolve();
    for (let tick = 0; tick < 2; tick++) {
      write(`b${tick}`);
      clock.endTick();
      expect(none()).toBe(true);
    }
    write('c');
    clock.endTick();
    const second = await next();
    expect(ids(second)).toEqual(['b0', 'b1', 'c']);
    second.done();
    const idle = group.idle();
    for (let i = 0; i < 5; i++) await Promise.resolve();
    await idle;
  });

  it('lets a caller that waited for a commit join the very next one', async () => {
    const { storage, next } = heldStorage();
    const group = new GroupCommit(storage, systemClock);
    const chained = group.write(insert('a')).then(() => group.write(save('a', 0)));
    const first = await next();
    void group.write(insert('b'));
    first.done();
    const second = await next();
    expect(ids(second)).toEqual(['b', 'a']);
    second.done();
    await chained;
  });

  it('keeps the order of writes about one job and never puts two of them into one commit', async () => {
    const { storage, next } = heldStorage();
    const group = new GroupCommit(storage, systemClock);
    const all = group.writeMany([insert('a'), save('a', 0), insert('b'), save('a', 1)]);
    const groups: string[][] = [];
    const fences: number[] = [];
    for (let i = 0; i < 3; i++) {
      const commit = await next();
      groups.push(ids(commit));
      for (const write of commit.writes) if (write.kind === 'save') fences.push(write.fence);
      commit.done();
    }
    expect(await all).toEqual(['done', 'done', 'done', 'done']);
    expect(groups).toEqual([['a', 'b'], ['a'], ['a']]);
    expect(fences).toEqual([0, 1]);
  });

  it('puts all of them into one, in their order, where the storage keeps it', async () => {
    const { storage, next } = heldStorage();
    const group = new GroupCommit({ ...storage, inOrder: true }, systemClock);
    const all = group.writeMany([insert('a'), save('a', 0), insert('b'), save('a', 1)]);
    const commit = await next();
    expect(ids(commit)).toEqual(['a', 'a', 'b', 'a']);
    expect(commit.writes.flatMap((write) => (write.kind === 'save' ? [write.fence] : []))).toEqual([0, 1]);
    commit.done();
    expect(await all).toEqual(['done', 'done', 'done', 'done']);
  });

  it('has a storage in memory take a job from its insert to its end in one commit', async () => {
    const storage = memoryStorage(systemClock);
    await storage.open({ role: 'node', name: 'one', instance: randomUUID() });
    const group = new GroupCommit(storage, systemClock);
    const job = sampleJob();
    const started = { ...job, status: 'running' as const, attempt: 1, fence: 1 };
    const writes: JobWrite[] = [
      { kind: 'insert', job },
      { kind: 'start', id: job.id, fence: 0, change: started },
      { kind: 'delete', id: job.id, fence: 0 },
      { kind: 'delete', id: job.id, fence: 1 },
      { kind: 'delete', id: job.id, fence: 1 },
    ];
    expect(await group.writeMany(writes)).toEqual(['done', 'done', 'stale', 'done', 'stale']);
    expect(group.commits).toBe(1);
  });

  it('lets forgets share a commit with everything', async () => {
    const { storage, next } = heldStorage();
    const group = new GroupCommit(storage, systemClock);
    void group.write({ kind: 'forget-feedback', ids: ['a:1'] });
    void group.write(insert('a'));
    void group.write({ kind: 'forget-feedback', ids: ['a:1'] });
    const commit = await next();
    expect(ids(commit)).toEqual(['forget a:1', 'a', 'forget a:1']);
    commit.done();
    await group.idle();
  });

  it('bounds a commit by the number of writes and by their size', async () => {
    const { storage, next } = heldStorage();
    const group = new GroupCommit(storage, systemClock, { maxWrites: 3, maxSize: 100 });
    for (const id of ['a', 'b', 'c', 'd']) void group.write(insert(id));
    void group.write(insert('e', 'x'.repeat(90)));
    void group.write(insert('f', 'x'.repeat(90)));
    void group.write(insert('g', 'x'.repeat(900)));
    const groups: string[][] = [];
    while (groups.flat().length < 7) {
      const commit = await next();
      groups.push(ids(commit));
      commit.done();
    }
    expect(groups).toEqual([['a', 'b', 'c'], ['d', 'e'], ['f'], ['g']]);
  });

  it('never splits a writeMany of new jobs', async () => {
    const { storage, next } = heldStorage();
    const group = new GroupCommit(storage, systemClock, { maxWrites: 3 });
    void group.write(insert('a'));
    void group.writeMany(['b', 'c', 'd', 'e'].map((id) => insert(id)));
    const first = await next();
    first.done();
    const second = await next();
    second.done();
    expect([ids(first), ids(second)]).toEqual([['a'], ['b', 'c', 'd', 'e']]);
    await group.idle();
  });

  it('rejects every write of a failed commit and goes on with the next', async () => {
    const { storage, next } = heldStorage();
    const group = new GroupCommit(storage, systemClock);
    const failed = [group.write(insert('a')), group.write(insert('b'))];
    const later = group.write(save('a', 0));
    const cause = new Error('disk is on fire');
    (await next()).fail(cause);
    for (const result of await Promise.allSettled(failed)) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'STORAGE', cause } });
      expect((result as PromiseRejectedResult).reason).toBeInstanceOf(JobReactorError);
    }
    (await next()).done(['stale']);
    expect(await later).toBe('stale');
  });

  it('is idle when nothing is queued or in flight', async () => {
    const { storage, next } = heldStorage();
    const group = new GroupCommit(storage, systemClock);
    await group.idle();
    const events: string[] = [];
    void group.write(insert('a')).then(() => events.push('a'));
    void group.write(save('a', 0)).then(() => events.push('a again'));
    const idle = group.idle().then(() => events.push('idle'));
    (await next()).done();
    (await next()).done();
    await idle;
    expect(events).toEqual(['a', 'a again', 'idle']);
  });
});
