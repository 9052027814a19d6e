import type { Clock, ClockTimer } from '../clock.js';
import { StartRate, type Rate } from './start-rate.js';

/** How many may run at once, and how many may begin within a time. */
export interface StartLimits {
  concurrency?: number;
  rate?: Rate;
}

/** Counts what runs and what began against such limits. */
export class StartLimit {
  readonly #concurrency: number;
  readonly #rate: StartRate | null;
  #running = 0;
  /** Rings when its rate has room again. */
  timer: ClockTimer | undefined;

  constructor({ concurrency = Infinity, rate }: StartLimits, clock: Clock) {
    this.#concurrency = concurrency;
    this.#rate = rate ? new StartRate(rate, clock) : null;
  }

  /** How many more may start now. */
  get room(): number {
    return Math.min(this.#concurrency - this.#running, this.#rate?.left ?? Infinity);
  }

  /** Milliseconds until the rate has room; 0: it has. */
  get wait(): number {
    return this.#rate?.wait ?? 0;
  }

  /** As one that was just made. */
  get isIdle(): boolean {
    return this.#running === 0 && !this.timer && (this.#rate?.isIdle ?? true);
  }

  began(): void {
    this.#running++;
    this.#rate?.began();
  }

  ended(): void {
    this.#running--;
  }
}
