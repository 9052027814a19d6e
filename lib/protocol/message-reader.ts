import { decodePayload, ruleOfFrame } from './codec.js';
import { DEFAULT_FRAME } from './frame.js';
import { FrameDecoder } from './frame-decoder.js';
import type { Message } from './message.js';
import type { Side } from './message-entry.js';
import { ProtocolError } from './protocol.error.js';
import type { Rule } from './rules.js';

/**
 * Bytes to the messages the other side may send now: frames are put together, decoded, and checked for direction and
 * state. Messages are taken one at a time, because handling one (the welcome) changes what the next one may be.
 */
export class MessageReader {
  readonly frames = new FrameDecoder();
  #established = false;
  readonly #once = new Set<number>();

  /** @param sender the side that the bytes come from */
  constructor(readonly sender: Side) {}

  established(limit = DEFAULT_FRAME): void {
    this.#established = true;
    this.frames.limit = limit;
  }

  /** Only after `next` said null. */
  push(chunk: Buffer): void {
    this.frames.push(chunk);
  }

  /** @throws {ProtocolError} after which nothing more can be read */
  next(): Message | null {
    const { frames } = this;
    if (!frames.next()) return null;
    const rule = ruleOfFrame(frames.type);
    this.#admit(rule);
    return decodePayload(rule, frames.bytes, frames.payloadStart, frames.payloadEnd);
  }

  #admit(rule: Rule): void {
    if (rule.from !== 'both' && rule.from !== this.sender) {
      throw new ProtocolError(`A ${this.sender} must not send ${rule.type}.`);
    }
    if (rule.state !== 'any' && (rule.state === 'after') !== this.#established) {
      throw new ProtocolError(`${rule.type} is not valid ${this.#established ? 'after' : 'before'} the welcome.`);
    }
    if (rule.once) {
      if (this.#once.has(rule.number)) throw new ProtocolError(`${rule.type} was sent twice.`);
      this.#once.add(rule.number);
    }
  }
}
