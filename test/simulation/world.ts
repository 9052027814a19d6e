import type { Clock, ClockTimer } from '../../lib/clock.js';
import { Heap, type HeapEntry } from '../../lib/heap.js';
import { seededRandom } from '../support/seeded-random.js';

interface WorldEvent extends HeapEntry {
  time: number;
  order: number;
  run: () => void;
}

const START = Date.UTC(2026, 0, 1);

/** Virtual time: whatever happens is an event in one queue, so a seed replays to the letter. */
export class World {
  readonly random: () => number;
  readonly journal: string[] = [];
  #now = START;
  #order = 0;
  #uuids = 0;
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

  /** New, and the same for the same seed. */
  uuid(): string {
    return `00000000-0000-4000-9000-${String(++this.#uuids).padStart(12, '0')}`;
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
    for (let events = 1; !done(); events++) {
      // The test runner wants to be heard of.
      if (events % 10_000 === 0) await new Promise((resolve) => setImmediate(resolve));
      const next = this.#events.peek();
      if (!next || next.time > end) {
        this.#now = end;
        return false;
      }
      this.#events.pop();
      this.#now = next.time;
      next.run();
      await settle();
    }
    return true;
  }
}

/** Lets every promise that can settle do so, before time goes on: `nextTick` comes when no microtask is left. */
function settle(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

/** One life of a process: when it dies, nothing of it ever runs again. */
export class Life {
  /** Of this process start. */
  readonly instance: string;
  alive = true;
  frozen = false;
  /** When it last stood still, or began to run again after that. */
  stoodStill = -Infinity;
  readonly #deaths: (() => void)[] = [];
  readonly #stops: (() => void)[] = [];
  #waiting: (() => void)[] = [];
  #offset = 0;
  /** The latest time its clock showed before it was set. */
  #shown = -Infinity;

  constructor(
    readonly world: World,
    readonly name: string,
  ) {
    this.instance = world.uuid();
  }

  /** How far its wall clock is from the world's. */
  get offset(): number {
    return this.#offset;
  }

  set offset(offset: number) {
    this.#shown = Math.max(this.#shown, this.clock.now());
    this.#offset = offset;
  }

  /** Whether that time has come here, be it before the clock was set back. */
  hasSeen(time: number): boolean {
    return Math.max(this.#shown, this.clock.now()) >= time;
  }

  onDeath(run: () => void): void {
    this.#deaths.push(run);
  }

  /** When what was open elsewhere is gone, as it was not heard of; and at the death. */
  onStop(run: () => void): void {
    this.#stops.push(run);
  }

  kill(): void {
    if (!this.alive) return;
    this.alive = false;
    this.#waiting = [];
    for (const run of [...this.#stops, ...this.#deaths.splice(0)]) run();
  }

  /**
   * Everything of it stands still, and then what was due meanwhile comes all at once: a busy loop, or SIGSTOP, of which
   * servers lose patience (`forgotten`) so that what was open there is gone.
   */
  freeze(milliseconds: number, forgotten: boolean): void {
    if (!this.alive || this.frozen) return;
    this.frozen = true;
    this.stoodStill = this.world.now;
    if (forgotten) for (const run of this.#stops) run();
    this.world.at(milliseconds, () => {
      this.frozen = false;
      this.stoodStill = this.world.now;
      for (const run of this.#waiting.splice(0)) this.world.at(0, () => this.run(run));
    });
  }

  /** What happens in this process: never when it is dead, later when it stands still. */
  run(run: () => void): void {
    if (!this.alive) return;
    if (this.frozen) this.#waiting.push(run);
    else run();
  }

  readonly clock: Clock = {
    now: () => Math.floor(this.world.now + this.#offset),
    monotonic: () => this.world.now,
    until: (time) => time - this.world.now - this.#offset,
    after: (delay, run) => this.#after(delay, run),
    endOfTick: (run) => void this.#after(0, run),
  };

  #after(delay: number, run: () => void): ClockTimer {
    let cancelled = false;
    const timer = this.world.at(delay, () => this.run(() => !cancelled && run()));
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }
}
