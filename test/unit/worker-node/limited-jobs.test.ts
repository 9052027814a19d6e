import { describe, expect, it } from 'vitest';
import { sampleJob } from '../../support/sample-job.js';
import { scheduling } from '../../support/scheduling.js';
import { seededRandom } from '../../support/seeded-random.js';

const LIMITS: Record<string, number> = { one: 1, two: 2 };
/** Within a second. */
const RATE = 3;

const GROUP_LIMITS = { concurrency: 2, rate: { max: 3, per: 1_000 } };

function limited(slots: number, threads = 0) {
  const bench = scheduling({
    slots,
    threads,
    limitsOf: (name) => {
      if (name === 'slow') return { rate: { max: RATE, per: 1_000 } };
      if (name === 'each') return { concurrency: 3, perGroup: GROUP_LIMITS };
      return LIMITS[name] ? { concurrency: LIMITS[name] } : undefined;
    },
  });
  return { ...bench, names: (): string[] => bench.running().sort() };
}

describe('a name with a limit', () => {
  it('has so many running, whatever waits, and others pass', () => {
    const { add, names, scheduler, end, order } = limited(4);
    for (const name of ['one', 'one', 'two', 'two', 'two']) add(name);
    expect(names()).toEqual(['one', 'two', 'two']);
    // What has to wait all the same is nothing a free slot would be for.
    expect(scheduler.readyCount).toBe(0);
    add('other');
    expect(names()).toEqual(['one', 'other', 'two', 'two']);
    add('other');
    expect(scheduler.readyCount).toBe(1);
    end('one');
    // In its turn: the second `one` has waited longer than the second `other`.
    expect(order.at(-1)).toBe('one');
  });

  it('holds for a job that has just come as well, and its slot is given back', () => {
    const { scheduler, clock, add, names } = limited(4);
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
    const { add, names, scheduler, jobs, end, clock, order } = limited(8);
    add('slow');
    clock.advance(400);
    for (let n = 0; n < 4; n++) add('slow');
    expect(order).toHaveLength(RATE);
    for (const id of jobs.keys()) end(id);
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
    const { add, order, scheduler, clock } = limited(8);
    for (let n = 0; n < RATE + 1; n++) add('slow');
    scheduler.pause();
    expect(clock.pending).toBe(0);
    clock.advance(5_000);
    expect(order).toHaveLength(RATE);
    scheduler.resume();
    expect(order).toHaveLength(RATE + 1);
  });

  it('does not keep a free thread from others, nor others from theirs', () => {
    const { add, names } = limited(4, 1);
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
      const { add, end, jobs: running, names, order, scheduler } = limited(3, 2);
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

describe('a limit of each group', () => {
  function endAll(bench: ReturnType<typeof limited>): void {
    const ids = [...bench.jobs.keys()];
    for (const id of ids) bench.end(id);
  }
  const groups = (bench: ReturnType<typeof limited>): string[] => [...bench.jobs.values()].map(({ group }) => group);

  it('has so many of each running and beginning, within what holds for the name, and holds up no other group', () => {
    const bench = limited(8);
    for (let n = 0; n < 5; n++) bench.add('each', { group: 'a' });
    expect(groups(bench)).toEqual(['a', 'a']);
    expect(bench.scheduler.readyCount).toBe(0);
    bench.add('each', { group: 'b' });
    bench.add('each', { group: 'b' });
    expect(groups(bench)).toEqual(['a', 'a', 'b']);
    bench.end([...bench.jobs.keys()][0]!);
    // In this round both have had a turn; the one of `a` has waited longer.
    expect(groups(bench)).toEqual(['a', 'b', 'a']);
    endAll(bench);
    // Three of `a` have begun within the second, a fourth may not.
    expect(groups(bench)).toEqual(['b']);
    bench.end('each');
    expect(groups(bench)).toEqual([]);
    bench.add('each');
    bench.add('each');
    bench.add('each');
    expect(groups(bench)).toEqual(['', '', '']);
    endAll(bench);
    bench.clock.advance(999);
    expect(bench.order).toHaveLength(8);
    bench.clock.advance(1);
    expect(groups(bench)).toEqual(['a', 'a']);
    expect(bench.scheduler.size).toBe(0);
  });

  it('wakes nobody while nothing is to start, and goes on after that', () => {
    const bench = limited(8);
    for (let n = 0; n < 5; n++) bench.add('each', { group: 'a' });
    for (let n = 0; n < 3; n++) bench.end('each');
    expect([bench.order.length, bench.clock.pending]).toEqual([3, 1]);
    bench.scheduler.pause();
    expect(bench.clock.pending).toBe(0);
    bench.clock.advance(5_000);
    expect(bench.order).toHaveLength(3);
    bench.scheduler.resume();
    expect(bench.order).toHaveLength(5);
  });

  it('whatever comes, ends and is taken out, no group has more, the name neither, and all run', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const random = seededRandom(seed);
      const bench = limited(4, 2);
      let [added, removed] = [0, 0];
      const ids: string[] = [];
      for (let turns = 0; added < 120 || bench.order.length < 120 - removed || bench.jobs.size > 0; turns++) {
        expect(turns, `seed ${seed}: it stands still`).toBeLessThan(20_000);
        const dice = random();
        if (added < 120 && dice < 0.5) {
          added++;
          const group = ['a', 'b', 'c', undefined][Math.floor(random() * 4)];
          const name = random() < 0.8 ? 'each' : 'other';
          const how = { thread: random() < 0.2, priority: Math.floor(random() * 2) };
          ids.push(bench.add(name, { ...how, ...(group ? { group } : {}) }));
        } else if (dice < 0.55) {
          const id = ids[Math.floor(random() * ids.length)];
          if (id && bench.scheduler.remove(id)) removed++;
        } else if (dice < 0.8 && bench.jobs.size > 0) {
          bench.end([...bench.jobs.keys()][Math.floor(random() * bench.jobs.size)]!);
        } else {
          bench.clock.advance(Math.floor(random() * 300));
        }
        const running = [...bench.jobs.values()].filter(({ name }) => name === 'each');
        expect(running.length, `seed ${seed}`).toBeLessThanOrEqual(3);
        for (const group of ['a', 'b', 'c'])
          expect(running.filter((job) => job.group === group).length, `seed ${seed}`).toBeLessThanOrEqual(2);
      }
      expect(bench.scheduler.size, `seed ${seed}`).toBe(0);
      for (const group of ['a', 'b', 'c']) {
        const times = bench.starts.filter((start) => start.name === 'each' && start.group === group);
        expect(times.length).toBeGreaterThan(5);
        for (let at = 3; at < times.length; at++)
          expect(times[at]!.at - times[at - 3]!.at, `seed ${seed}`).toBeGreaterThanOrEqual(1_000);
      }
    }
  });
});

describe('groups', () => {
  it('take turns, whatever the names of their jobs and whether they need a thread, however many jobs one has', () => {
    const bench = scheduling({ slots: 1, threads: 1 });
    bench.add('first');
    for (let n = 0; n < 50; n++) bench.add('a', { group: 'a', thread: n % 2 === 0 });
    for (let n = 0; n < 3; n++) bench.add('b', { group: 'b', thread: n === 1 });
    for (let n = 0; n < 2; n++) bench.add('none');
    while (bench.jobs.size > 0) bench.end([...bench.jobs.keys()][0]!);
    // Those without a group are one as well; the first of them began before there were others.
    expect(bench.order.slice(1, 9)).toEqual(['a', 'b', 'none', 'a', 'b', 'none', 'a', 'b']);
    expect(bench.order).toHaveLength(56);
  });

  it('one that comes later, or comes back, has nothing to make up for, and nobody waits for it', () => {
    const bench = scheduling({ slots: 1 });
    for (let n = 0; n < 20; n++) bench.add('a', { group: 'a' });
    for (let n = 0; n < 10; n++) bench.end('a');
    for (let n = 0; n < 5; n++) bench.add('b', { group: 'b' });
    while (bench.jobs.size > 0) bench.end([...bench.jobs.keys()][0]!);
    expect(bench.order.slice(11, 20)).toEqual(['b', 'a', 'b', 'a', 'b', 'a', 'b', 'a', 'b']);
  });

  it('a more urgent job goes before the turns', () => {
    const bench = scheduling({ slots: 1 });
    for (let n = 0; n < 3; n++) bench.add('a', { group: 'a' });
    for (let n = 0; n < 3; n++) bench.add('urgent', { group: 'a', priority: 1 });
    for (let n = 0; n < 3; n++) bench.add('b', { group: 'b' });
    while (bench.jobs.size > 0) bench.end([...bench.jobs.keys()][0]!);
    expect(bench.order).toEqual(['a', 'urgent', 'urgent', 'urgent', 'b', 'a', 'b', 'a', 'b']);
  });
});
