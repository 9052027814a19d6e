import type { Clock } from '../clock.js';

/** So many starts within any time of so many milliseconds. */
export interface Rate {
  max: number;
  per: number;
}

/** Counts starts, by the monotonic clock. */
export class StartRate {
  readonly #rate: Rate;
  readonly #clock: Clock;
  /** When the last ones were, the oldest first from `#from` on. */
  #starts: number[] = [];
  #from = 0;

  constructor(rate: Rate, clock: Clock) {
    this.#rate = rate;
    this.#clock = clock;
  }

  /** How many may start now. */
  get left(): number {
    this.#forget();
    return this.#rate.max - (this.#starts.length - this.#from);
  }

  /** Nothing began within the time that counts. */
  get isIdle(): boolean {
    return this.left === this.#rate.max;
  }

  /** Milliseconds until one more may start; 0: now. */
  get wait(): number {
    if (this.left > 0) return 0;
    return this.#starts[this.#from]! + this.#rate.per - this.#clock.monotonic();
  }

  began(): void {
    this.#starts.push(this.#clock.monotonic());
  }

  #forget(): void {
    const since = this.#clock.monotonic() - this.#rate.per;
    while (this.#from < this.#starts.length && this.#starts[this.#from]! <= since) this.#from++;
    if (this.#from * 2 <= this.#starts.length) return;
    this.#starts = this.#starts.slice(this.#from);
    this.#from = 0;
  }
}
