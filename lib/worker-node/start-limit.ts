import type { Clock, ClockTimer } from '../clock.js';
import type { Place } from './place.js';
import { StartRate, type Rate } from './start-rate.js';

/** How many may run at once, and how many may begin within a time. */
export interface StartLimits {
  concurrency?: number;
  /** The same over all nodes. */
  globalConcurrency?: number;
  rate?: Rate;
}

/** Where places of a limit over all nodes come from; null: no other node could count them, so all of them are here. */
export type PlacesOf = (limit: number) => Place | null;

/** Counts what runs and what began against such limits. */
export class StartLimit {
  readonly #concurrency: number;
  readonly #rate: StartRate | null;
  readonly #place: Place | null;
  #running = 0;
  /** Rings when its rate has room again. */
  timer: ClockTimer | undefined;

  constructor({ concurrency = Infinity, globalConcurrency, rate }: StartLimits, clock: Clock, placesOf: PlacesOf) {
    this.#place = globalConcurrency === undefined ? null : placesOf(globalConcurrency);
    const all = this.#place ? Infinity : (globalConcurrency ?? Infinity);
    this.#concurrency = Math.min(concurrency, all);
    this.#rate = rate ? new StartRate(rate, clock) : null;
  }

  /** How many more may start now. */
  get room(): number {
    const own = Math.min(this.#concurrency - this.#running, this.#rate?.left ?? Infinity);
    return this.#place ? Math.min(own, this.#place.room) : own;
  }

  /** Milliseconds until the rate has room; 0: it has. */
  get wait(): number {
    return this.#rate?.wait ?? 0;
  }

  /** As one that was just made. */
  get isIdle(): boolean {
    return this.#running === 0 && !this.timer && (this.#rate?.isIdle ?? true) && (this.#place?.isIdle ?? true);
  }

  /** Where there is a limit over all nodes: that this one may run some at all. */
  get hasPlace(): boolean {
    return this.#place === null || this.#place.held > 0;
  }

  /** A job has to wait for it. */
  want(): void {
    this.#place?.want();
  }

  began(): void {
    this.#running++;
    this.#place?.began();
    this.#rate?.began();
  }

  ended(): void {
    this.#running--;
    this.#place?.ended();
  }
}
