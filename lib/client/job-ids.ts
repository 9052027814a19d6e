import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

const POOL = 4096;
const NEEDED = 16;

/**
 * New ids, UUIDv7, each greater than the one before it as long as the clock is not set back. Random bytes are asked for
 * by the page: for 16 at a time the asking costs more than all the rest of an id.
 */
export class JobIds {
  readonly #pool = new Uint8Array(POOL);
  #at = POOL;
  #sequence: number;

  constructor() {
    // Where one process begins to count is for no other to know.
    this.#sequence = new DataView(this.#random().buffer).getUint32(0);
  }

  /** @param now milliseconds since the epoch */
  next(now: number): string {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return v7({ msecs: now, seq: this.#sequence, random: this.#random() });
  }

  #random(): Uint8Array {
    if (this.#at === POOL) {
      randomFillSync(this.#pool);
      this.#at = 0;
    }
    return this.#pool.subarray(this.#at, (this.#at += NEEDED));
  }
}
