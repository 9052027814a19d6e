import { COUNTED_HEAD, FRAME_HEAD, HANDSHAKE_FRAME } from './frame.js';
import { ProtocolError } from './protocol.error.js';

const SMALLEST_ROOM = 1024;

/**
 * Bytes to frames. `push` a chunk, then call `next` until it says false, and only then push again.
 *
 * A frame that lies whole in its chunk is read where it lies. Of a frame that doesn't, the bytes are copied into a
 * buffer that doubles as they come: memory follows what was received, not what a length field claims, and neither a
 * byte at a time nor a long frame costs more than a few copies of each byte.
 */
export class FrameDecoder {
  /** Longest frame taken. May be changed between two frames. */
  limit = HANDSHAKE_FRAME;

  /** The frame `next` found; good until the next call of anything. */
  type = 0;
  bytes: Buffer = Buffer.alloc(0);
  payloadStart = 0;
  payloadEnd = 0;

  /** How many frames were found so far. */
  frames = 0;

  #sequence: number;
  #chunk: Buffer = this.bytes;
  #at = 0;
  #partial: Buffer = this.bytes;
  #held = 0;

  /** @param firstSequence other than 0 only in tests */
  constructor(firstSequence = 0) {
    this.#sequence = firstSequence;
  }

  /** True while the beginning of a frame waits for its end. */
  get partial(): boolean {
    return this.#held > 0;
  }

  /** Bytes of memory that it takes meanwhile. */
  get held(): number {
    return this.#held > 0 ? this.#partial.length : 0;
  }

  push(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** @throws {ProtocolError} after which nothing more can be read */
  next(): boolean {
    const left = this.#chunk.length - this.#at;
    if (this.#held === 0 && left >= 4) {
      const end = this.#at + 4 + this.#checkLength(this.#chunk.readUInt32BE(this.#at));
      if (end <= this.#chunk.length) {
        const start = this.#at;
        this.#at = end;
        return this.#found(this.#chunk, start, end);
      }
    }
    return left > 0 && this.#collect();
  }

  #collect(): boolean {
    if (this.#held < 4) {
      this.#take(4);
      if (this.#held < 4) return false;
    }
    const end = 4 + this.#checkLength(this.#partial.readUInt32BE(0));
    this.#take(end);
    if (this.#held < end) return false;
    const bytes = this.#partial;
    this.#held = 0;
    this.#partial = Buffer.alloc(0);
    return this.#found(bytes, 0, end);
  }

  /** Copies from the chunk until `wanted` bytes are held, or the chunk is used up. */
  #take(wanted: number): void {
    const held = Math.min(wanted, this.#held + this.#chunk.length - this.#at);
    if (held > this.#partial.length) {
      const larger = Buffer.allocUnsafe(Math.max(held, Math.min(wanted, 2 * this.#partial.length), SMALLEST_ROOM));
      this.#partial.copy(larger, 0, 0, this.#held);
      this.#partial = larger;
    }
    this.#at += this.#chunk.copy(this.#partial, this.#held, this.#at, this.#at + held - this.#held);
    this.#held = held;
  }

  #checkLength(length: number): number {
    if (length < COUNTED_HEAD) throw new ProtocolError(`A frame of ${length} bytes is too short.`);
    if (length > this.limit) {
      throw new ProtocolError(`A frame of ${length} bytes is longer than the ${this.limit} allowed.`, 'TOO_LARGE');
    }
    return length;
  }

  #found(bytes: Buffer, start: number, end: number): true {
    const flags = bytes[start + 5];
    if (flags !== 0) throw new ProtocolError(`The flags of a frame must be 0, not ${flags}.`);
    const sequence = bytes.readUInt32BE(start + 6);
    if (sequence !== this.#sequence) {
      throw new ProtocolError(`Frame ${this.#sequence} was due, and ${sequence} came.`);
    }
    this.#sequence = (sequence + 1) >>> 0;
    this.frames++;
    this.type = bytes[start + 4] as number;
    this.bytes = bytes;
    this.payloadStart = start + FRAME_HEAD;
    this.payloadEnd = end;
    return true;
  }
}
