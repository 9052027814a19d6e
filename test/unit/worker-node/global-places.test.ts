import { describe, expect, it } from 'vitest';
import { GlobalPlaces } from '../../../lib/worker-node/global-places.js';
import type { JobLimits } from '../../../lib/worker-node/limited-jobs.js';
import { ManualClock } from '../../support/manual-clock.js';
import { scheduling } from '../../support/scheduling.js';
import { seededRandom } from '../../support/seeded-random.js';
import { SharedPlaces } from '../../support/shared-places.js';

const LIMITS: Record<string, JobLimits> = {
  one: { globalConcurrency: 1 },
  three: { globalConcurrency: 3 },
  both: { globalConcurrency: 4, concurrency: 2 },
  each: { perGroup: { globalConcurrency: 1 } },
  twice: { globalConcurrency: 2, perGroup: { globalConcurrency: 1 } },
};

interface Weather {
  random?: () => number;
  /** Milliseconds an order, or a word about it, is on its way at most. */
  way?: number;
  /** Probability that an order gets no answer. */
  lost?: number;
  /** And that a word does not arrive; then it is found with the next renewal. */
  deaf?: number;
}

/** Nodes that share places. */
function nodes(count: number, slots: number, { random = () => 0.5, way = 0, lost = 0, deaf = 0 }: Weather = {}) {
  const clock = new ManualClock();
  const shared = new SharedPlaces();
  const running = new Map<string, number>();
  const most = new Map<string, number>();
  const wait = (): Promise<void> => new Promise((resolve) => void clock.after(random() * way, resolve));
  const members = Array.from({ length: count }, (_, n) => {
    const during = async (): Promise<void> => {
      if (way > 0) await wait();
      if (random() < lost) throw new Error('no answer came');
    };
    const tell = (concerned: string[]): void => {
      for (const name of concerned)
        if (random() >= deaf) clock.after(random() * way, () => members[Number(name)]!.places.look());
    };
    const storage = { places: shared.for(String(n), during) };
    const places = new GlobalPlaces({ node: String(n), storage, clock, random, emit: () => undefined, tell });
    const bench = scheduling({ slots, clock, places, limitsOf: (name) => LIMITS[name] });
    return { ...bench, places };
  });
  // Renewals are not looked at where every word arrives: they would hide what is missing.
  shared.bumped = (concerned) => {
    if (lost + deaf === 0) return;
    for (const name of concerned) clock.after(random() * 10_000, () => members[Number(name)]!.places.look());
  };
  const key = (name: string, group: string): string => `${name} ${group}`;
  const began = (name: string, group: string): void => {
    const ids = [key(name, ''), ...(group ? [key(name, group)] : [])];
    for (const id of ids) {
      running.set(id, (running.get(id) ?? 0) + 1);
      most.set(id, Math.max(most.get(id) ?? 0, running.get(id)!));
    }
  };
  const ended = (name: string, group: string): void => {
    for (const id of [key(name, ''), ...(group ? [key(name, group)] : [])]) running.set(id, running.get(id)! - 1);
  };
  return { clock, shared, members, began, ended, most };
}

const settle = (clock: ManualClock): Promise<void> => clock.advanceAsync(1);

describe('a limit over all nodes', () => {
  it('holds over all of them: who has no place waits, and begins when another has ended', async () => {
    const { clock, members, shared } = nodes(2, 4);
    const [a, b] = members as [(typeof members)[0], (typeof members)[0]];
    for (const name of ['three', 'three']) a.add(name);
    for (const name of ['three', 'three']) b.add(name);
    await settle(clock);
    expect(a.running().length + b.running().length).toBe(3);
    const [first, last] = a.running().length === 2 ? [a, b] : [b, a];
    first.end('three');
    await settle(clock);
    expect([first.running().length, last.running().length]).toEqual([1, 2]);
    for (const node of [first, last, last]) node.end('three');
    // Kept for a while for the next ones, then free.
    await settle(clock);
    expect(shared.taken('three')).toBeGreaterThan(0);
    await clock.advanceAsync(3_000);
    expect(shared.taken('three')).toBe(0);
  });

  it('lets other names pass, takes no slot, and is no reason to send fewer jobs', async () => {
    const { clock, members } = nodes(2, 2);
    const [a, b] = members as [(typeof members)[0], (typeof members)[0]];
    a.add('one');
    await settle(clock);
    for (let n = 0; n < 5; n++) b.add('one');
    await settle(clock);
    expect([b.running(), b.scheduler.readyCount, b.scheduler.busySlots]).toEqual([[], 0, 0]);
    b.add('other');
    expect(b.running()).toEqual(['other']);
  });

  it('asks nothing while jobs follow each other, and nothing when there are none', async () => {
    const { clock, members, shared } = nodes(1, 4);
    const [a] = members as [(typeof members)[0]];
    a.add('one');
    await settle(clock);
    const { orders } = shared;
    for (let n = 0; n < 100; n++) {
      a.add('one');
      a.end('one');
      await clock.advanceAsync(20);
      expect(a.running()).toEqual(['one']);
    }
    expect(shared.orders).toBe(orders);
    a.end('one');
    await clock.advanceAsync(3_000);
    expect(shared.orders).toBe(orders + 1);
    await clock.advanceAsync(600_000);
    expect(shared.orders).toBe(orders + 1);
  });

  it('is shared: two with a backlog each get half, and with one place they take turns', async () => {
    const { clock, members, shared } = nodes(2, 8);
    const [a, b] = members as [(typeof members)[0], (typeof members)[0]];
    const counts = [0, 0];
    const backlog = async (name: string, times: number): Promise<void> => {
      for (const node of members) for (let n = 0; n < 10; n++) node.add(name);
      for (let time = 0; time < times; time++) {
        await clock.advanceAsync(20);
        for (const [n, node] of members.entries())
          for (const job of node.running().filter((running) => running === name)) {
            counts[n]!++;
            node.end(job);
            node.add(name);
          }
      }
    };
    for (let n = 0; n < 10; n++) a.add('three');
    await settle(clock);
    expect(a.running()).toHaveLength(3);
    await backlog('three', 200);
    expect(Math.min(...counts)).toBeGreaterThan(Math.max(...counts) / 3);
    counts.fill(0);
    const { orders } = shared;
    await backlog('one', 500);
    // Ten seconds of one place: turns of a tenth of a second and a bit.
    expect(Math.min(...counts)).toBeGreaterThan(100);
    expect(shared.orders - orders).toBeLessThan(500);
    expect(b.order.length).toBeGreaterThan(0);
  });

  it('what a dead node had is had by others once its lease is over, and what had it when it comes back has none', async () => {
    const { clock, members, shared } = nodes(2, 4);
    const [a, b] = members as [(typeof members)[0], (typeof members)[0]];
    a.add('one');
    await settle(clock);
    b.add('one');
    a.places.lost();
    a.scheduler.pause();
    await settle(clock);
    expect(b.running()).toEqual([]);
    shared.bury('0');
    b.places.look();
    await settle(clock);
    expect(b.running()).toEqual(['one']);
    a.end('one');
    a.add('one');
    a.places.regained();
    a.scheduler.resume();
    await clock.advanceAsync(1_000);
    expect(a.running()).toEqual([]);
    b.end('one');
    await clock.advanceAsync(1_000);
    expect(a.running()).toEqual(['one']);
  });

  it('holds for a job that is to run alone as well, and nobody is held back while that waits for its place', async () => {
    const { clock, members } = nodes(2, 4);
    const [a, b] = members as [(typeof members)[0], (typeof members)[0]];
    a.add('one');
    await settle(clock);
    b.add('one', { alone: true });
    await settle(clock);
    b.add('other');
    expect([b.running(), b.scheduler.busySlots]).toEqual([['other'], 1]);
    a.end('one');
    await clock.advanceAsync(200);
    // It has its place now, and waits for what runs beside it.
    b.add('other');
    expect(b.running()).toEqual(['other']);
    b.end('other');
    expect(b.running()).toEqual(['one']);
    b.end('one');
    expect(b.running()).toEqual(['other']);
  });

  it('while it drains it keeps what it runs on, and no more', async () => {
    const { clock, members, shared } = nodes(2, 4);
    const [a] = members as [(typeof members)[0]];
    for (let n = 0; n < 3; n++) a.add('three');
    await settle(clock);
    a.end('three');
    a.end('three');
    a.scheduler.pause();
    a.places.drain();
    await clock.advanceAsync(3_000);
    expect(shared.taken('three')).toBe(1);
  });

  it('gives all up when it stops, and says so', async () => {
    const { clock, members } = nodes(2, 4);
    const [a, b] = members as [(typeof members)[0], (typeof members)[0]];
    a.add('one');
    await settle(clock);
    b.add('one');
    await settle(clock);
    a.end('one');
    await a.places.stop();
    await settle(clock);
    expect(b.running()).toEqual(['one']);
  });
});

it.each(Array.from({ length: 200 }, (_, seed) => seed + 1))(
  'whatever comes, is lost and ends, no limit over all nodes is broken, and all jobs run: seed %i',
  async (seed) => {
    const random = seededRandom(seed);
    const between = (low: number, high: number): number => Math.floor(low + random() * (high - low + 1));
    const weather = { random, way: between(1, 30), lost: random() < 0.3 ? 0.1 : 0, deaf: random() < 0.3 ? 0.3 : 0 };
    const { clock, members, shared, began, ended, most } = nodes(between(2, 4), between(1, 6), weather);
    const seen = new Set<string>();
    const watch = (): void => {
      for (const node of members)
        for (const job of node.jobs.values()) {
          if (seen.has(job.id)) continue;
          seen.add(job.id);
          began(job.name, job.group);
          clock.after(random() * 300, () => {
            node.end(job.id);
            ended(job.name, job.group);
            watch();
          });
        }
    };
    let added = 0;
    for (let n = between(10, 80); n > 0; n--) {
      added++;
      const name = Object.keys(LIMITS)[between(0, 4)]!;
      const group = random() < 0.7 ? `g${between(1, 3)}` : undefined;
      members[between(0, members.length - 1)]!.add(name, { after: between(0, 3_000), ...(group ? { group } : {}) });
    }
    for (let time = 0; time < 60_000 && seen.size < added; time++) {
      await clock.advanceAsync(5);
      watch();
    }
    expect(seen.size).toBe(added);
    await clock.advanceAsync(30_000);
    for (const [name, { globalConcurrency, perGroup }] of Object.entries(LIMITS)) {
      expect(most.get(`${name} `) ?? 0).toBeLessThanOrEqual(globalConcurrency ?? Infinity);
      for (const group of ['g1', 'g2', 'g3']) {
        expect(most.get(`${name} ${group}`) ?? 0).toBeLessThanOrEqual(perGroup?.globalConcurrency ?? Infinity);
        expect([name, group, shared.taken(name, group)]).toEqual([name, group, 0]);
      }
      expect([name, shared.taken(name)]).toEqual([name, 0]);
    }
    const { orders } = shared;
    await clock.advanceAsync(600_000);
    expect(shared.orders).toBe(orders);
  },
  60_000,
);
