import { JobReactorError } from '../job-reactor.error.js';
import { headerText, partTexts } from './codec.js';
import { COUNTED_HEAD, FRAME_HEAD, HANDSHAKE_FRAME } from './frame.js';
import type { Message } from './message.js';
import { MOST_ENTRIES } from './objects.js';
import { type Rule, ruleOf } from './rules.js';

/** Above this the exact length is counted first; below it, room for the worst case costs less than counting. */
const SHORT = 1024;
const SMALLEST_CHUNK = 1024;
const LARGEST_CHUNK = 256 * 1024;

/**
 * Messages to bytes. Everything added since the last `take` is one batch; it is written straight into one buffer that
 * is as large as the batch before needed, or into a few when it grows.
 */
export class FrameEncoder {
  /** Longest frame made. */
  limit = HANDSHAKE_FRAME;
  /** Bytes added since the last `take`. */
  length = 0;

  #sequence: number;
  #chunk: Buffer | null = null;
  #at = 0;
  #full: Buffer[] = [];
  #chunkSize = SMALLEST_CHUNK;

  /** @param firstSequence other than 0 only in tests */
  constructor(firstSequence = 0) {
    this.#sequence = firstSequence;
  }

  /** @throws {JobReactorError} SERIALIZATION when the message is longer than a frame may be; nothing was added then */
  add(message: Message): void {
    const rule = ruleOf(message.type);
    if (rule.split !== null) this.#addList(rule, rule.split, message);
    else this.#addFrame(rule, message);
  }

  /** The batch, in order. */
  take(): Buffer[] {
    const batch = this.#full;
    if (this.#chunk !== null) batch.push(this.#chunk.subarray(0, this.#at));
    // Nothing is kept between batches: a connection at rest holds no memory.
    this.#chunkSize = Math.min(Math.max(this.length + (this.length >> 2), SMALLEST_CHUNK), LARGEST_CHUNK);
    this.#chunk = null;
    this.#at = 0;
    this.#full = [];
    this.length = 0;
    return batch;
  }

  #addList(rule: Rule, field: string, message: Message): void {
    const entries = (message as unknown as Record<string, unknown[]>)[field] as unknown[];
    if (entries.length <= MOST_ENTRIES) return this.#addFrame(rule, message);
    for (let from = 0; from < entries.length; from += MOST_ENTRIES) {
      this.#addFrame(rule, { ...message, [field]: entries.slice(from, from + MOST_ENTRIES) } as Message);
    }
  }

  #addFrame(rule: Rule, message: Message): void {
    const header = headerText(rule, message);
    const parts = rule.parts.length === 0 ? NO_PARTS : partTexts(rule, message);
    let room = FRAME_HEAD + roomFor(header);
    for (const part of parts) room += 4 + roomFor(part);
    // `room` is exact for long texts, so what can't fit is refused before memory is asked for.
    if (room > this.limit + 2 * SHORT * (1 + parts.length) + FRAME_HEAD) this.#refuse(rule, room);

    const chunk = this.#reserve(room);
    const start = this.#at;
    let at = start + FRAME_HEAD + 4 * parts.length;
    at += chunk.write(header, at, 'utf8');
    for (let i = 0; i < parts.length; i++) {
      const written = chunk.write(parts[i] as string, at, 'utf8');
      chunk.writeUInt32BE(written, start + FRAME_HEAD + 4 * i);
      at += written;
    }
    const counted = at - start - FRAME_HEAD + COUNTED_HEAD;
    if (counted > this.limit) this.#refuse(rule, counted);
    chunk.writeUInt32BE(counted, start);
    chunk[start + 4] = rule.number;
    chunk[start + 5] = 0;
    chunk.writeUInt32BE(this.#sequence, start + 6);
    this.#sequence = (this.#sequence + 1) >>> 0;
    this.#at = at;
    this.length += at - start;
  }

  #reserve(room: number): Buffer {
    if (this.#chunk !== null) {
      if (this.#chunk.length - this.#at >= room) return this.#chunk;
      this.#full.push(this.#chunk.subarray(0, this.#at));
      this.#chunkSize = Math.min(2 * this.#chunkSize, LARGEST_CHUNK);
    }
    this.#at = 0;
    this.#chunk = Buffer.allocUnsafe(Math.max(room, this.#chunkSize));
    return this.#chunk;
  }

  #refuse(rule: Rule, bytes: number): never {
    throw new JobReactorError(
      'SERIALIZATION',
      `A ${rule.type} message of ${bytes} bytes is longer than the ${this.limit} a frame may have. ` +
        `Send large data by reference, or raise the frame limit on both sides.`,
    );
  }
}

const NO_PARTS: string[] = [];

/** Bytes the text can need at most; exact for long ones. */
function roomFor(text: string): number {
  return text.length <= SHORT ? 3 * text.length : Buffer.byteLength(text, 'utf8');
}
