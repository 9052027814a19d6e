import type { Clock, ClockTimer } from '../clock.js';
import type { FrameDecoder } from '../protocol/frame-decoder.js';

/** A timer this late says that this process stood still, and nothing of the other side. */
const STALL = 1000;

/** Tells when the beginning of a frame has waited too long for its end. One timer at most, and none at rest. */
export class FrameWatch {
  #timer: ClockTimer | null = null;
  #frame = 0;
  #since = 0;

  constructor(
    private readonly frames: FrameDecoder,
    private readonly clock: Clock,
    private readonly timeout: number,
    private readonly late: () => void,
  ) {}

  /** To be called after each chunk. */
  look(): void {
    const { frames } = this;
    if (!frames.partial || (frames.frames === this.#frame && this.#timer !== null)) return;
    this.#frame = frames.frames;
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
    if (!this.frames.partial) return;
    const now = this.clock.monotonic();
    const left = this.#since + this.timeout - now;
    if (now - due > STALL) this.#arm(this.timeout);
    else if (left > 0) this.#arm(left);
    else this.late();
  }
}
