import type { Clock, ClockTimer } from './clock.js';
import { Heap, type HeapEntry } from './heap.js';

interface Deadline extends HeapEntry {
  time: number;
  order: number;
  run: () => void;
}

/**
 * The wall clock may be set, and a sleeping machine's timers stand still; so a wait for a wall-clock time is checked at
 * least this often while there is something to wait for. No storage is asked.
 */
const LONGEST_WALL_CLOCK_WAIT = 60_000;

/** Milliseconds. */
const SHORTEST_WAIT = 1 / 64;

/** Any number of deadlines over one timer of the clock. */
export class TimerQueue {
  readonly #clock: Clock;
  readonly #wall: boolean;
  readonly #keepAlive: boolean;
  readonly #heap = new Heap<Deadline>((a, b) => a.time < b.time || (a.time === b.time && a.order < b.order));
  #timer: ClockTimer | undefined;
  #armedFor = Infinity;
  #order = 0;

  /** `wall` deadlines are times of day, `monotonic` ones are unmoved by a clock that is set. */
  constructor(clock: Clock, kind: 'wall' | 'monotonic', keepAlive = true) {
    this.#clock = clock;
    this.#wall = kind === 'wall';
    this.#keepAlive = keepAlive;
  }

  /** Calls `run` at `time` or later, never before. */
  at(time: number, run: () => void): ClockTimer {
    const deadline: Deadline = { time, order: this.#order++, run, position: -1 };
    this.#heap.push(deadline);
    this.#arm();
    return {
      cancel: () => {
        if (this.#heap.remove(deadline)) this.#arm();
      },
    };
  }

  after(delay: number, run: () => void): ClockTimer {
    return this.at(this.#now() + delay, run);
  }

  stop(): void {
    while (this.#heap.pop());
    this.#arm();
  }

  #now(): number {
    return this.#wall ? this.#clock.now() : this.#clock.monotonic();
  }

  #arm(): void {
    const next = this.#heap.peek();
    // An earlier timer than needed is left alone: re-arming for every change costs more than one idle wake-up.
    if (next && this.#timer && this.#armedFor <= next.time) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#armedFor = Infinity;
    if (!next) return;
    const wait = Math.max(0, this.#wall ? this.#untilTimeOfDay(next.time) : next.time - this.#clock.monotonic());
    this.#armedFor = next.time;
    this.#timer = this.#clock.after(
      this.#wall ? Math.min(wait, LONGEST_WALL_CLOCK_WAIT) : wait,
      () => this.#fire(),
      this.#keepAlive,
    );
  }

  /** To the fraction: a wait from one whole millisecond to another ends up to one too late. */
  #untilTimeOfDay(time: number): number {
    const wait = this.#clock.until(time);
    // What rounding left must not become a wait too short to move any clock.
    return wait > 0 ? Math.max(wait, SHORTEST_WAIT) : wait;
  }

  #fire(): void {
    this.#timer = undefined;
    const now = this.#now();
    for (let next = this.#heap.peek(); next && next.time <= now; next = this.#heap.peek()) {
      this.#heap.pop();
      next.run();
    }
    this.#arm();
  }
}
