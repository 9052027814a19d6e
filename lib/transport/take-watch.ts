import type { Clock } from '../clock.js';
import { Patience } from './patience.js';

/** Tells when the other side has taken nothing for too long of what waits for it. */
export class TakeWatch {
  readonly #patience: Patience;

  constructor(
    private readonly waits: () => boolean,
    clock: Clock,
    timeout: number,
    late: () => void,
  ) {
    this.#patience = new Patience(waits, clock, timeout, late);
  }

  /** To be called when something was handed over and not taken at once. */
  look(): void {
    if (!this.#patience.running && this.waits()) this.#patience.begin();
  }

  /** Something was taken. */
  taken(): void {
    if (this.#patience.running) this.#patience.begin();
  }

  stop(): void {
    this.#patience.stop();
  }
}
