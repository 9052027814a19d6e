import type { Clock, ClockTimer } from '../clock.js';

/** A timer this late says that this process stood still, and nothing of the other side. */
const STALL = 1000;

/** Ends when something that is waited for has not come for too long. One timer at most, and none at rest. */
export class Patience {
  #timer: ClockTimer | null = null;
  #since = 0;

  /**
   * @param waits whether it is still waited for
   * @param timeout milliseconds
   */
  constructor(
    private readonly waits: () => boolean,
    private readonly clock: Clock,
    private readonly timeout: number,
    private readonly over: () => void,
  ) {}

  get running(): boolean {
    return this.#timer !== null;
  }

  /** The wait begins now, whether or not there was one. */
  begin(): void {
    this.#since = this.clock.monotonic();
    if (this.#timer === null) this.#arm(this.timeout);
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
    else this.over();
  }
}
