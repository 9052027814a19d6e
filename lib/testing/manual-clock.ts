import { systemClock, type Clock, type ClockTimer } from '../clock.js';

interface Timer {
  due: number;
  order: number;
  run: (() => void) | null;
  keepAlive: boolean;
}

export interface ManualClockOptions {
  /** Wall clock at the start. Default: 2026-01-01. */
  now?: number;
  /** `microtask` (default): a tick ends by itself once the synchronous work is done. `manual`: only by `endTick()`. */
  ticks?: 'microtask' | 'manual';
}

/**
 * A clock that stands still until it is told to move. Timers fire in the order of their time, and of their making where
 * the time is the same; so a run can be repeated exactly.
 */
export class ManualClock implements Clock {
  #elapsed = 0;
  #wall: number;
  #order = 0;
  readonly #timers: Timer[] = []; // a binary heap
  #tick: (() => void)[] = [];
  #tickDue = false;
  readonly #manualTicks: boolean;

  constructor(options: ManualClockOptions = {}) {
    this.#wall = options.now ?? Date.UTC(2026, 0, 1);
    this.#manualTicks = options.ticks === 'manual';
  }

  now = (): number => Math.floor(this.#wall + this.#elapsed);
  monotonic = (): number => this.#elapsed;
  until = (time: number): number => time - this.#wall - this.#elapsed;

  after = (delay: number, run: () => void, keepAlive = true): ClockTimer => {
    if (!Number.isFinite(delay)) throw new RangeError(`A timer needs a finite delay, not ${delay}.`);
    const timer: Timer = { due: this.#elapsed + Math.max(delay, 0), order: this.#order++, run, keepAlive };
    this.#push(timer);
    return { cancel: () => void (timer.run = null) };
  };

  endOfTick = (run: () => void): void => {
    this.#tick.push(run);
    if (this.#manualTicks || this.#tickDue) return;
    this.#tickDue = true;
    queueMicrotask(() => this.endTick());
  };

  /** Timers that are set and not cancelled. */
  get pending(): number {
    return this.#timers.filter((timer) => timer.run !== null).length;
  }

  /** Those of them that would keep a process running. */
  get pendingKeepAlive(): number {
    return this.#timers.filter((timer) => timer.run !== null && timer.keepAlive).length;
  }

  /** When the next timer is due, on the monotonic clock; null when there is none. */
  get nextDue(): number | null {
    this.#dropCancelled();
    return this.#timers[0]?.due ?? null;
  }

  /** Runs what waits for the end of the tick; what that adds belongs to the next one. */
  endTick(): void {
    this.#tickDue = false;
    const batch = this.#tick;
    this.#tick = [];
    for (const run of batch) run();
  }

  /**
   * Moves time and fires each timer at its own moment, those included that are set meanwhile. Promises that timers
   * resolve are not waited for: see `advanceAsync`.
   */
  advance(milliseconds: number): void {
    const end = this.#elapsed + milliseconds;
    while (this.#fireNext(end));
    this.#elapsed = end;
  }

  /** The same, and after each timer everything that promises and I/O callbacks have ready is run first. */
  async advanceAsync(milliseconds: number): Promise<void> {
    const end = this.#elapsed + milliseconds;
    await settled();
    while (this.#fireNext(end)) await settled();
    this.#elapsed = end;
  }

  /** The process stands still: time moves first, and everything that became due meanwhile fires late. */
  stall(milliseconds: number): void {
    this.#elapsed += milliseconds;
    while (this.#fireNext(this.#elapsed));
  }

  /** Somebody sets the wall clock; timers and the monotonic clock are not affected. */
  shiftWall(milliseconds: number): void {
    this.#wall += milliseconds;
  }

  #fireNext(end: number): boolean {
    this.#dropCancelled();
    const timer = this.#timers[0];
    if (timer === undefined || timer.due > end) return false;
    this.#pop();
    this.#elapsed = Math.max(this.#elapsed, timer.due);
    const run = timer.run;
    timer.run = null;
    run?.();
    // Each timer is a turn of its own.
    if (!this.#manualTicks) this.endTick();
    return true;
  }

  #dropCancelled(): void {
    while (this.#timers.length > 0 && this.#timers[0]?.run === null) this.#pop();
  }

  #push(timer: Timer): void {
    const heap = this.#timers;
    let at = heap.push(timer) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (before(heap[parent]!, timer)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = timer;
  }

  #pop(): void {
    const heap = this.#timers;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (before(last, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}

function before(a: Timer, b: Timer): boolean {
  return a.due < b.due || (a.due === b.due && a.order < b.order);
}

/** Resolves when microtasks and what the event loop has ready have run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => systemClock.endOfTick(resolve));
}
