import type { Clock, ClockTimer } from '../../lib/clock.js';
import { Heap, type HeapEntry } from '../../lib/heap.js';

interface WorldEvent extends HeapEntry {
  time: number;
  order: number;
  run: () => void;
}

/** mulberry32: small, seeded, good enough to choose faults. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const START = Date.UTC(2026, 0, 1);

/** Virtual time: whatever happens is an event in one queue, so a seed replays to the letter. */
export class World {
  readonly random: () => number;
  readonly journal: string[] = [];
  #now = START;
  #order = 0;
  readonly #events = new Heap<WorldEvent>((a, b) => a.time < b.time || (a.time === b.time && a.order < b.order));

  constructor(readonly seed: number) {
    this.random = seededRandom(seed);
  }

  get now(): number {
    return this.#now;
  }

  at(delay: number, run: () => void): ClockTimer {
    const event: WorldEvent = { time: this.#now + Math.max(0, delay), order: this.#order++, run, position: -1 };
    this.#events.push(event);
    return { cancel: () => void this.#events.remove(event) };
  }

  between(low: number, high: number): number {
    return Math.floor(low + this.random() * (high - low + 1));
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  note(text: string): void {
    this.journal.push(`${String(this.#now - START).padStart(8)} ${text}`);
  }

  /** Runs events until `done` says so; false when `limit` milliseconds of virtual time have passed before. */
  async run(limit: number, done: () => boolean): Promise<boolean> {
    const end = this.#now + limit;
    await settle();
    while (!done()) {
      const next = this.#events.peek();
      if (!next || next.time > end) return false;
      this.#events.pop();
      this.#now = next.time;
      next.run();
      await settle();
    }
    return true;
  }
}

/** Lets every promise that can settle do so, before time goes on. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** One life of a process: when it dies, nothing of it ever runs again. */
export class Life {
  alive = true;
  readonly #deaths: (() => void)[] = [];

  constructor(
    readonly world: World,
    readonly name: string,
  ) {}

  onDeath(run: () => void): void {
    this.#deaths.push(run);
  }

  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    for (const run of this.#deaths.splice(0)) run();
  }

  readonly clock: Clock = {
    now: () => Math.floor(this.world.now),
    monotonic: () => this.world.now,
    after: (delay, run) => this.world.at(delay, () => this.alive && run()),
    endOfTick: (run) => void this.world.at(0, () => this.alive && run()),
  };
}
