import type { Clock } from '../clock.js';

/** Waits until nothing runs any more. */
export class IdleWait {
  readonly #clock: Clock;
  readonly #isIdle: () => boolean;
  #whenIdle: (() => void) | undefined;

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
}
