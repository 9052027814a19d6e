import { describe, expect, it } from 'vitest';
import { JobScheduler } from '../../../lib/worker-node/job-scheduler.js';
import type { WaitingJob } from '../../../lib/worker-node/waiting-jobs.js';
import { ManualClock } from '../../support/manual-clock.js';
import { sampleJob } from '../../support/sample-job.js';
import { seededRandom } from '../../support/seeded-random.js';

const LIMITS: Record<string, number> = { one: 1, two: 2 };
/** Within a second. */
const RATE = 3;

function scheduling(slots: number, threads = 0) {
  const clock = new ManualClock();
  const running = new Map<string, WaitingJob>();
  const order: string[] = [];
  let free = threads;
  const scheduler = new JobScheduler({
    clock,
    settings: { concurrency: slots },
    storage: { durable: false },
    reserveThread: () => free > 0 && free-- > 0,
    awaited: () => false,
    limitsOf: (name) =>
      name === 'slow' ? { rate: { max: RATE, per: 1_000 } } : LIMITS[name] ? { concurrency: LIMITS[name] } : undefined,
    start: (job) => {
      running.set(job.id, job);
      order.push(job.name);
    },
    expired: () => undefined,
  });
  scheduler.resume();
  const names = (): string[] => [...running.values()].map(({ name }) => name).sort();
  return {
    clock,
    scheduler,
    running,
    order,
    names,
    add: (name: string, { thread = false, alone = false, priority = 0 } = {}): void =>
      scheduler.add(sampleJob({ name, dueAt: clock.now(), priority }), { settled: false, thread, alone }),
    end(id: string): void {
      const job = running.get(id)!;
      running.delete(id);
      if (job.thread) free++;
      scheduler.freeSlot(job);
    },
  };
}

describe('a name with a limit', () => {
  it('has so many running, whatever waits, and others pass', () => {
    const { add, names, scheduler, running, end, order } = scheduling(4);
    for (const name of ['one', 'one', 'two', 'two', 'two']) add(name);
    expect(names()).toEqual(['one', 'two', 'two']);
    // What has to wait all the same is nothing a free slot would be for.
    expect(scheduler.readyCount).toBe(0);
    add('other');
    expect(names()).toEqual(['one', 'other', 'two', 'two']);
    add('other');
    expect(scheduler.readyCount).toBe(1);
    end([...running.values()].find(({ name }) => name === 'one')!.id);
    // In its turn: the second `one` has waited longer than the second `other`.
    expect(order.at(-1)).toBe('one');
  });

  it('holds for a job that has just come as well, and its slot is given back', () => {
    const { scheduler, clock, add, names } = scheduling(4);
    const taken = scheduler.takeSlot(sampleJob({ name: 'one', dueAt: clock.now() }), true)!;
    expect(taken).not.toBeNull();
    expect(scheduler.takeSlot(sampleJob({ name: 'one', dueAt: clock.now() }), true)).toBeNull();
    expect(scheduler.takeSlot(sampleJob({ name: 'other', dueAt: clock.now() }), true)).not.toBeNull();
    add('one');
    expect(names()).toEqual([]);
    scheduler.freeSlot(taken);
    expect(names()).toEqual(['one']);
  });

  it('starts so many within a time, whether they have ended or not, and the rest once there is room again', () => {
    const { add, names, scheduler, running, end, clock, order } = scheduling(8);
    add('slow');
    clock.advance(400);
    for (let n = 0; n < 4; n++) add('slow');
    expect(order).toHaveLength(RATE);
    for (const id of running.keys()) end(id);
    expect([order.length, scheduler.readyCount]).toEqual([RATE, 0]);
    expect(scheduler.takeSlot(sampleJob({ name: 'slow', dueAt: clock.now() }), true)).toBeNull();
    add('other');
    expect(names()).toEqual(['other']);
    clock.advance(599);
    expect(order).toHaveLength(RATE + 1);
    // The first start is a second ago now; the two after it are not.
    clock.advance(1);
    expect(order).toHaveLength(RATE + 2);
    clock.advance(399);
    expect(order).toHaveLength(RATE + 2);
    clock.advance(1);
    expect([order.length, scheduler.size]).toEqual([RATE + 3, 0]);
  });

  it('wakes nobody for its rate while nothing is to start', () => {
    const { add, order, scheduler, clock } = scheduling(8);
    for (let n = 0; n < RATE + 1; n++) add('slow');
    scheduler.pause();
    expect(clock.pending).toBe(0);
    clock.advance(5_000);
    expect(order).toHaveLength(RATE);
    scheduler.resume();
    expect(order).toHaveLength(RATE + 1);
  });

  it('does not keep a free thread from others, nor others from theirs', () => {
    const { add, names } = scheduling(4, 1);
    add('one', { thread: true });
    add('one', { thread: true });
    add('two', { thread: true });
    expect(names()).toEqual(['one']);
    add('two', { priority: -1 });
    add('other');
    expect(names()).toEqual(['one', 'other']);
  });

  it('whatever comes and ends, there are never more, and all run', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = seededRandom(seed);
      const { add, end, running, names, order, scheduler } = scheduling(3, 2);
      const total = 150;
      for (let added = 0, turns = 0; order.length < total || running.size > 0; turns++) {
        expect(turns, `seed ${seed}: it stands still`).toBeLessThan(10_000);
        if (added < total && random() < 0.6) {
          added++;
          const name = ['one', 'two', 'other'][Math.floor(random() * 3)]!;
          add(name, { thread: random() < 0.2, alone: random() < 0.05, priority: Math.floor(random() * 3) });
        } else if (running.size > 0) {
          end([...running.keys()][Math.floor(random() * running.size)]!);
        }
        for (const [name, limit] of Object.entries(LIMITS))
          expect(names().filter((one) => one === name).length, `seed ${seed}`).toBeLessThanOrEqual(limit);
      }
      expect(scheduler.size, `seed ${seed}`).toBe(0);
    }
  });
});
