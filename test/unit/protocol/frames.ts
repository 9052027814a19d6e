import { decodePayload, ruleOfFrame } from '../../../lib/protocol/codec.js';
import { DEFAULT_FRAME } from '../../../lib/protocol/frame.js';
import { FrameDecoder } from '../../../lib/protocol/frame-decoder.js';
import { FrameEncoder } from '../../../lib/protocol/frame-encoder.js';
import type { Message } from '../../../lib/protocol/message.js';

export function encode(messages: readonly Message[], limit = DEFAULT_FRAME): Buffer {
  const encoder = new FrameEncoder();
  encoder.limit = limit;
  for (const message of messages) encoder.add(message);
  return Buffer.concat(encoder.take());
}

/** All messages in the chunks, whatever their direction and state. */
export function decode(chunks: readonly Buffer[], limit = DEFAULT_FRAME): Message[] {
  const decoder = new FrameDecoder();
  decoder.limit = limit;
  const messages: Message[] = [];
  for (const chunk of chunks) {
    decoder.push(chunk);
    while (decoder.next()) {
      const rule = ruleOfFrame(decoder.type);
      messages.push(decodePayload(rule, decoder.bytes, decoder.payloadStart, decoder.payloadEnd));
    }
  }
  return messages;
}

/** A frame made by hand: the header as text, the parts as bytes. */
export function frame(
  number: number,
  header: string,
  parts: readonly Buffer[] = [],
  change: { length?: number; flags?: number; sequence?: number; partLengths?: number[] } = {},
): Buffer {
  const lengths = change.partLengths ?? parts.map((part) => part.length);
  const payload = Buffer.concat([...lengths.map(u32), Buffer.from(header), ...parts]);
  const head = Buffer.concat([
    u32(change.length ?? payload.length + 6),
    Buffer.from([number, change.flags ?? 0]),
    u32(change.sequence ?? 0),
  ]);
  return Buffer.concat([head, payload]);
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
