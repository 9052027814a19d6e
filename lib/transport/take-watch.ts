import type { Clock, ClockTimer } from '../clock.js';

/** A timer this late says that this process stood still, and nothing of the other side. */
const STALL = 1000;

/** Tells when the other side has taken nothing for too long of what waits for it. One timer at most, and none at rest. */
export class TakeWatch {
  #timer: ClockTimer | null = null;
  #since = 0;

  constructor(
    private readonly waits: () => boolean,
    private readonly clock: Clock,
    private readonly timeout: number,
    private readonly late: () => void,
  ) {}

  /** To be called when something was handed over and not taken at once. */
  look(): void {
    if (this.#timer !== null || !this.waits()) return;
    this.#since = this.clock.monotonic();
    this.#arm(this.timeout);
  }

  /** Something was taken. */
  taken(): void {
    if (this.#timer !== null) this.#since = this.clock.monotonic();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #arm(delay: number): void {
    const due = this.clock.monotonic() + delay;
    this.#timer = this.clock.after(delay, () => this.#check(due), false);
  }

  #check(due: number): void {
    this.#timer = null;
    if (!this.waits()) return;
    const now = this.clock.monotonic();
    const left = this.#since + this.timeout - now;
    if (now - due > STALL) this.#arm(this.timeout);
    else if (left > 0) this.#arm(left);
    else this.late();
  }
}
