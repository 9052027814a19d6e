import { randomFillSync } from 'node:crypto';
import { v7 } from 'uuid';

const POOL = 4096;
const NEEDED = 16;
const DIGITS = Buffer.from('0123456789abcdef');

/**
 * New ids, UUIDv7, each greater than the one before it as long as the clock is not set back. Random bytes are asked for
 * by the page: for 16 at a time the asking costs more than all the rest of an id. And the text is made in one piece: put
 * together of twenty, as the library does it, it is a kilobyte of garbage for each job.
 */
export class JobIds {
  readonly #pool = new Uint8Array(POOL);
  readonly #bytes = new Uint8Array(16);
  readonly #text = Buffer.from('00000000-0000-0000-0000-000000000000');
  #at = POOL;
  #sequence: number;

  constructor() {
    // Where one process begins to count is for no other to know.
    this.#sequence = new DataView(this.#random().buffer).getUint32(0);
  }

  /** @param now milliseconds since the epoch */
  next(now: number): string {
    this.#sequence = (this.#sequence + 1) >>> 0;
    v7({ msecs: now, seq: this.#sequence, random: this.#random() }, this.#bytes);
    const text = this.#text;
    for (let from = 0, to = 0; from < 16; from++, to += 2) {
      if (text[to] === 0x2d) to++;
      const byte = this.#bytes[from]!;
      text[to] = DIGITS[byte >> 4]!;
      text[to + 1] = DIGITS[byte & 15]!;
    }
    return text.toString('latin1');
  }

  #random(): Uint8Array {
    if (this.#at === POOL) {
      randomFillSync(this.#pool);
      this.#at = 0;
    }
    return this.#pool.subarray(this.#at, (this.#at += NEEDED));
  }
}
