import { describe, expect, it } from 'vitest';
import type { StartGate } from '../../../lib/worker-node/start-gate.js';
import { JobScheduler } from '../../../lib/worker-node/job-scheduler.js';
import type { WaitingJob } from '../../../lib/worker-node/waiting-jobs.js';
import { ManualClock } from '../../support/manual-clock.js';
import { sampleJob } from '../../support/sample-job.js';
import { scheduling } from '../../support/scheduling.js';
import { seededRandom } from '../../support/seeded-random.js';

it('a job that comes again while it waits has one place, and starts once', () => {
  const { add, end, running, order, scheduler, clock } = scheduling({ slots: 1 });
  add('first');
  const job = sampleJob({ name: 'twice', dueAt: clock.now() });
  for (let i = 0; i < 2; i++) scheduler.add(job, { settled: false, thread: false, alone: false });
  expect([scheduler.size, scheduler.readyCount]).toEqual([1, 1]);
  end('first');
  end('twice');
  expect([order, running(), scheduler.size]).toEqual([['first', 'twice'], [], 0]);
});

describe('a slot for a job that has just come', () => {
  const due = (clock: ManualClock) => sampleJob({ dueAt: clock.now() });

  it('is taken while one is free, and is free again when it has ended', () => {
    const { scheduler, clock, add, running } = scheduling({ slots: 1 });
    const taken = scheduler.takeSlot(due(clock), true)!;
    expect(taken).toMatchObject({ settled: true, ready: true });
    expect(scheduler.takeSlot(due(clock), true)).toBeNull();
    add('next');
    expect(running()).toEqual([]);
    scheduler.freeSlot(taken);
    expect(running()).toEqual(['next']);
  });

  it('is not taken by one whose time has not come', () => {
    const { scheduler, clock } = scheduling();
    expect(scheduler.takeSlot(sampleJob({ dueAt: clock.now() + 1 }), true)).toBeNull();
    expect(scheduler.takenSlots).toBe(0);
  });

  it('is not taken before others whose turn it is, one that is to run alone among them', () => {
    const { scheduler, clock, add } = scheduling({ slots: 2, threads: 0 });
    add('threaded', { thread: true });
    expect(scheduler.takeSlot(due(clock), true)).toBeNull();
    const other = scheduling({ slots: 2 });
    other.add('beside');
    other.add('alone', { alone: true });
    expect(other.scheduler.takeSlot(due(other.clock), true)).toBeNull();
    other.end('beside');
    expect(other.running()).toEqual(['alone']);
    expect(other.scheduler.takeSlot(due(other.clock), true)).toBeNull();
    other.end('alone');
    expect(other.scheduler.takeSlot(due(other.clock), true)).not.toBeNull();
  });

  it('is not taken while nothing may start', () => {
    const { scheduler, clock } = scheduling();
    scheduler.pause();
    expect(scheduler.takeSlot(due(clock), true)).toBeNull();
    scheduler.resume();
    expect(scheduler.takeSlot(due(clock), true)).not.toBeNull();
  });
});

describe('a gate', () => {
  function gated() {
    const shut = new Set<string>();
    let changed = (): void => undefined;
    const ended: string[] = [];
    const gate: StartGate = {
      admits: ({ name }) => !shut.has(name),
      ended: ({ name }) => ended.push(name),
      attach: (ask) => (changed = ask),
    };
    const set = (...names: string[]): void => {
      shut.clear();
      for (const name of names) shut.add(name);
      changed();
    };
    return { ...scheduling({ slots: 1, gates: [gate] }), set, ended };
  }

  it('holds a job that has just come like any other', () => {
    const { set, scheduler, clock } = gated();
    set('shut');
    expect(scheduler.takeSlot(sampleJob({ name: 'shut', dueAt: clock.now() }), true)).toBeNull();
    expect(scheduler.takeSlot(sampleJob({ name: 'open', dueAt: clock.now() }), true)).not.toBeNull();
  });

  it('holds what it refuses, which takes no slot and lets others pass, and lets it go in its order', () => {
    const { set, add, end, running, order, scheduler } = gated();
    set('held');
    add('held');
    expect([running(), scheduler.readyCount, scheduler.size]).toEqual([[], 0, 1]);
    add('other');
    expect(running()).toEqual(['other']);
    set();
    add('later');
    end('other');
    end('held');
    expect(order).toEqual(['other', 'held', 'later']);
  });

  it('takes back what waits for a slot, also when its time comes only then', () => {
    const { set, add, end, running, clock, ended } = gated();
    add('first');
    add('second');
    add('second', { after: 1_000 });
    set('second');
    clock.advance(2_000);
    end('first');
    expect(running()).toEqual([]);
    expect(ended).toEqual(['first']);
    set();
    expect(running()).toEqual(['second']);
  });

  it('what it holds can be cancelled', () => {
    const { set, add, running, scheduler } = gated();
    set('held');
    const id = add('held');
    expect(scheduler.remove(id)?.name).toBe('held');
    set();
    expect(running()).toEqual([]);
  });
});

describe('a job that is to run alone', () => {
  it('waits for what runs, and once it is due nothing starts before it', () => {
    const { add, end, running } = scheduling();
    add('a');
    add('b');
    add('suspect', { alone: true });
    add('urgent', { priority: 9 });
    expect(running()).toEqual(['a', 'b']);
    end('a');
    expect(running()).toEqual(['b']);
    end('b');
    expect(running()).toEqual(['suspect']);
  });

  it('has nothing beside it until it has ended', () => {
    const { add, end, running, scheduler } = scheduling();
    add('suspect', { alone: true });
    add('a');
    add('b', { thread: true });
    scheduler.wake();
    expect(running()).toEqual(['suspect']);
    expect(scheduler.busySlots).toBe(4);
    end('suspect');
    expect(running()).toEqual(['a', 'b']);
    expect(scheduler.busySlots).toBe(2);
  });

  it('holds nobody back before its time, nor when it is cancelled', () => {
    const { add, clock, running, scheduler } = scheduling();
    const id = add('suspect', { alone: true, after: 5_000 });
    add('a');
    expect(running()).toEqual(['a']);
    clock.advance(5_000);
    add('b');
    expect(running()).toEqual(['a']);
    scheduler.remove(id);
    expect(running()).toEqual(['a', 'b']);
  });

  it('lets as many others as there are slots have their turn before the next one', () => {
    const { add, end, order } = scheduling({ slots: 2 });
    for (let n = 1; n <= 3; n++) add(`suspect ${n}`, { alone: true });
    for (let n = 1; n <= 5; n++) add(`other ${n}`);
    end('suspect 1');
    expect(order).toEqual(['suspect 1', 'other 1', 'other 2']);
    end('other 2');
    end('other 1');
    end('suspect 2');
    end('other 3');
    end('other 4');
    end('suspect 3');
    expect(order.slice(3)).toEqual(['suspect 2', 'other 3', 'other 4', 'suspect 3', 'other 5']);
  });

  it('goes at once after the last one when no others wait', () => {
    const { add, end, order } = scheduling();
    for (let n = 1; n <= 3; n++) add(`suspect ${n}`, { alone: true });
    end('suspect 1');
    end('suspect 2');
    expect(order).toEqual(['suspect 1', 'suspect 2', 'suspect 3']);
  });

  it('and needs a thread while there is none lets others go on meanwhile', () => {
    const { add, end, thread, running, order } = scheduling({ slots: 2, threads: 0 });
    add('suspect', { alone: true, thread: true });
    for (let n = 1; n <= 4; n++) add(`other ${n}`);
    expect(running()).toEqual(['other 1', 'other 2']);
    thread();
    end('other 1');
    expect(running()).toEqual(['other 2']);
    end('other 2');
    expect(running()).toEqual(['suspect']);
    end('suspect');
    expect(order).toEqual(['other 1', 'other 2', 'suspect', 'other 3', 'other 4']);
  });
});

describe('what a running job waits for in this process', () => {
  it('starts within a second although a job is waiting to run alone', () => {
    const { add, clock, awaited, running, end } = scheduling();
    add('parent');
    add('suspect', { alone: true });
    awaited.add(add('child'));
    add('other');
    clock.advance(1_000);
    expect(running()).toEqual(['parent', 'child']);
    end('child');
    end('parent');
    expect(running()).toEqual(['suspect']);
  });

  it('starts beside the very job that runs alone and waits for it, which still keeps others away', () => {
    const { add, clock, awaited, running, end } = scheduling();
    add('suspect', { alone: true });
    const child = add('child');
    add('other');
    clock.advance(10_000);
    expect(running()).toEqual(['suspect']);
    awaited.add(child);
    clock.advance(1_000);
    expect(running()).toEqual(['suspect', 'child']);
    end('child');
    clock.advance(10_000);
    expect(running()).toEqual(['suspect']);
    end('suspect');
    expect(running()).toEqual(['other']);
  });
});

describe('a node that holds jobs back never stands still', () => {
  it('slots that have not emptied within a minute go to others, then within two', () => {
    const { add, clock, end, running } = scheduling({ slots: 2 });
    add('long');
    add('suspect', { alone: true });
    for (let n = 1; n <= 4; n++) add(`other ${n}`);
    clock.advance(59_000);
    expect(running()).toEqual(['long']);
    clock.advance(1_000);
    expect(running()).toEqual(['long', 'other 1']);
    end('other 1');
    expect(running()).toEqual(['long', 'other 2']);
    end('other 2');
    clock.advance(119_000);
    expect(running()).toEqual(['long']);
    clock.advance(2_000);
    expect(running()).toEqual(['long', 'other 3']);
    end('other 3');
    end('other 4');
    end('long');
    expect(running()).toEqual(['suspect']);
  });

  it('also after a pause, as when a lease was lost and came back', () => {
    const { add, clock, end, running, scheduler } = scheduling({ slots: 2 });
    add('long');
    scheduler.pause();
    scheduler.clear();
    scheduler.resume();
    add('suspect', { alone: true });
    const child = add('other');
    clock.advance(60_000);
    expect(running()).toEqual(['long', 'other']);
    scheduler.pause();
    clock.advance(600_000);
    scheduler.resume();
    end('long');
    end('other');
    expect(scheduler.get(child)).toBeUndefined();
    expect(running()).toEqual(['suspect']);
  });

  it('a job that has run alone for an hour has company from then on', () => {
    const { add, clock, running } = scheduling();
    add('suspect', { alone: true });
    add('other');
    clock.advance(3_599_000);
    expect(running()).toEqual(['suspect']);
    clock.advance(1_000);
    expect(running()).toEqual(['suspect', 'other']);
  });

  it('whatever comes and ends, all run, and nothing starts beside a job that runs alone', () => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = seededRandom(seed);
      const { add, end, running, order, scheduler } = scheduling({ slots: 3 });
      const total = 200;
      for (let added = 0, turns = 0; order.length < total || running().length > 0; turns++) {
        expect(turns, `seed ${seed}: it stands still`).toBeLessThan(10_000);
        const before = running();
        if (added < total && random() < 0.6) {
          const alone = random() < 0.2;
          add(`${alone ? 'suspect' : 'other'} ${added++}`, { alone });
        } else if (before.length > 0) {
          end(before[Math.floor(random() * before.length)]!);
        }
        const now = running();
        const alone = now.filter((name) => name.startsWith('suspect'));
        if (alone.length > 0) expect(now, `seed ${seed}`).toEqual(alone.slice(0, 1));
      }
      expect(new Set(order).size).toBe(total);
      expect(scheduler.size).toBe(0);
    }
  });
});

it('of jobs that wait in a durable storage 64 MiB of args are in memory, the rest is read when they start', () => {
  const clock = new ManualClock();
  const started: WaitingJob[] = [];
  const scheduler = new JobScheduler({
    clock,
    settings: { concurrency: 1 },
    storage: { durable: true },
    reserveThread: () => true,
    awaited: () => false,
    start: (job) => started.push(job),
    expired: () => undefined,
  });
  const args = JSON.stringify('x'.repeat(1024 * 1024));
  const ids = Array.from({ length: 200 }, () => {
    const job = sampleJob({ dueAt: clock.now(), args });
    scheduler.add(job, { settled: false, thread: false, alone: false });
    return job.id;
  });
  const most = 64 * 1024 * 1024 + args.length;
  expect(scheduler.argsKept).toBeGreaterThan(most - 2 * args.length);
  expect(scheduler.argsKept).toBeLessThan(most);
  scheduler.remove(ids[0]!);
  scheduler.resume();
  for (let n = 1; n < 200; n++) scheduler.freeSlot(started[n - 1]!);
  expect(started).toHaveLength(199);
  expect(started.map(({ id }) => id)).toEqual(ids.slice(1));
  expect(started.filter(({ job }) => job === null).length).toBeGreaterThan(100);
  expect(scheduler.argsKept).toBe(0);
});
