import type { Clock } from '../clock.js';

/** Waits until nothing runs any more. */
export class IdleWait {
  readonly #clock: Clock;
  readonly #isIdle: () => boolean;
  #whenIdle: (() => void) | undefined;
  #patience: 'patient' | 'hurried' | 'over' = 'patient';

  constructor(clock: Clock, isIdle: () => boolean) {
    this.#clock = clock;
    this.#isIdle = isIdle;
  }

  /** To be called whenever something has ended. */
  look(): void {
    if (this.#isIdle()) this.#whenIdle?.();
  }

  /** Resolves when all is idle, or after `timeout` milliseconds. */
  within(timeout: number): Promise<void> {
    if (this.#isIdle()) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#clock.after(timeout, resolve);
      this.#whenIdle = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  /** The same, but no longer than until somebody is in a hurry. */
  async patiently(timeout: number): Promise<void> {
    if (this.#patience === 'patient') await this.within(timeout);
    this.#patience = 'over';
  }

  /** False when nobody would wait patiently any more. */
  hurry(): boolean {
    if (this.#patience !== 'patient') return false;
    this.#patience = 'hurried';
    this.#whenIdle?.();
    return true;
  }
}
