import type { Clock } from '../clock.js';
import type { FrameDecoder } from '../protocol/frame-decoder.js';
import { Patience } from './patience.js';

/** Tells when the beginning of a frame has waited too long for its end. */
export class FrameWatch {
  readonly #patience: Patience;
  #frame = 0;

  constructor(
    private readonly frames: FrameDecoder,
    clock: Clock,
    timeout: number,
    late: () => void,
  ) {
    this.#patience = new Patience(() => frames.partial, clock, timeout, late);
  }

  /** To be called after each chunk. */
  look(): void {
    const { frames } = this;
    if (!frames.partial || (frames.frames === this.#frame && this.#patience.running)) return;
    this.#frame = frames.frames;
    this.#patience.begin();
  }

  stop(): void {
    this.#patience.stop();
  }
}
