import { describe, expect, it } from 'vitest';
import type { StoredJob } from '../../../lib/job/job.js';
import { MemoryStorage } from '../../../lib/storage/memory-storage.js';
import { JobRecoverer } from '../../../lib/worker-node/job-recoverer.js';
import { JobScheduler } from '../../../lib/worker-node/job-scheduler.js';
import type { WaitingJob } from '../../../lib/worker-node/waiting-jobs.js';
import { ManualClock } from '../../support/manual-clock.js';
import { sampleJob } from '../../support/sample-job.js';
import { seededRandom } from '../../support/seeded-random.js';

const how = { settled: true, thread: false, alone: false };

/** A node's memory over a storage that keeps what it forgets; its jobs take no time. */
async function remembering(horizon: number) {
  const clock = new ManualClock();
  const storage = Object.create(new MemoryStorage(clock), { durable: { value: true } }) as MemoryStorage;
  await storage.open({ role: 'node', name: 'node', instance: 'instance' });
  const starts: { id: string; late: number }[] = [];
  let most = 0;
  let reads = 0;
  const start = (job: WaitingJob): void => {
    starts.push({ id: job.id, late: clock.now() - job.dueAt });
    ended.push(storage.commit([{ kind: 'delete', id: job.id, fence: job.fence }]));
    queueMicrotask(() => {
      scheduler.freeSlot(job);
      recoverer.refill();
    });
  };
  const ended: Promise<unknown>[] = [];
  const scheduler = new JobScheduler({
    clock,
    settings: { concurrency: 1_000_000 },
    storage: { durable: true },
    reserveThread: () => true,
    awaited: () => false,
    start,
    expired: () => undefined,
  });
  const add = (job: StoredJob): void => {
    scheduler.add(job, how);
    most = Math.max(most, scheduler.size);
  };
  const recoverer = new JobRecoverer({
    node: 'node',
    storage: Object.assign(Object.create(storage) as MemoryStorage, {
      unfinished: (page: Parameters<MemoryStorage['unfinished']>[0]) => (reads++, storage.unfinished(page)),
    }),
    scheduler,
    clock,
    emit: () => undefined,
    recovered: (job) => Promise.resolve(add(job)),
    known: (id) => scheduler.get(id) !== undefined,
    horizon,
  });
  scheduler.resume();
  return {
    clock,
    storage,
    scheduler,
    recoverer,
    starts,
    most: () => most,
    reads: () => reads,
    async receive(jobs: StoredJob[]): Promise<void> {
      await storage.commit(jobs.map((job) => ({ kind: 'insert', job })));
      for (const job of jobs) if (recoverer.admits(job)) add(job);
    },
    /** Until so many milliseconds are over, and what happens then has happened. */
    async pass(milliseconds: number): Promise<void> {
      await clock.advanceAsync(milliseconds);
      await Promise.all(ended);
    },
  };
}

function shuffled<T>(list: T[], seed: number): T[] {
  const random = seededRandom(seed);
  return list
    .map((value) => ({ value, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value);
}

describe('jobs for later, more than are kept in memory', () => {
  it.each(['in their order', 'the last ones first', 'in any order'])(
    'are in memory up to half as many again as the horizon, and start at their time, when they come %s',
    async (order) => {
      const { clock, scheduler, recoverer, receive, pass, starts, most, storage } = await remembering(2_000);
      const from = clock.now() + 100_000;
      let jobs = Array.from({ length: 4_500 }, (_, at) => sampleJob({ dueAt: from + at }));
      if (order === 'the last ones first') jobs.reverse();
      if (order === 'in any order') jobs = shuffled(jobs, 7);
      await receive(jobs);
      expect(most()).toBeLessThanOrEqual(3_001);
      expect(scheduler.size).toBeGreaterThanOrEqual(2_000);
      await pass(100_000);
      await pass(4_600);
      expect(starts.length).toBe(jobs.length);
      expect(new Set(starts.map(({ id }) => id)).size).toBe(jobs.length);
      expect(starts.filter(({ late }) => late !== 0)).toEqual([]);
      expect(await storage.countUnfinished()).toBe(0);
      recoverer.stop();
    },
  );

  it('that are all due at once start once each', async () => {
    const { clock, receive, pass, starts, storage } = await remembering(2_000);
    const dueAt = clock.now() + 1_000;
    await receive(Array.from({ length: 4_100 }, () => sampleJob({ dueAt })));
    await pass(3_000);
    expect([starts.length, new Set(starts.map(({ id }) => id)).size]).toEqual([4_100, 4_100]);
    expect(await storage.countUnfinished()).toBe(0);
  });

  it('are looked for by nobody while all of them are in memory', async () => {
    const { clock, receive, pass, starts, reads } = await remembering(2_000);
    const dueAt = clock.now() + 1_000;
    await receive(Array.from({ length: 2_000 }, () => sampleJob({ dueAt })));
    await pass(2_000);
    expect([starts.length, reads()]).toEqual([2_000, 0]);
  });
});

it('after a start no more is read than the horizon holds, and the rest when it runs out', async () => {
  const { clock, storage, recoverer, scheduler, pass, starts } = await remembering(3_000);
  const from = clock.now() + 1_000;
  const jobs = Array.from({ length: 10_000 }, (_, at) => sampleJob({ dueAt: from + at }));
  await storage.commit(shuffled(jobs, 3).map((job) => ({ kind: 'insert', job })));
  expect([await recoverer.start(), scheduler.size]).toEqual([3_000, 3_000]);
  await pass(12_000);
  expect(starts.map(({ id }) => id)).toEqual(jobs.map(({ id }) => id));
  expect(starts.filter(({ late }) => late !== 0)).toEqual([]);
});
