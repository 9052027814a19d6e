import { isUtf8 } from 'node:buffer';

import type { Message } from './message.js';
import { ProtocolError } from './protocol.error.js';
import { type Rule, ruleOfNumber } from './rules.js';

/*
 * Message <-> payload. A payload is, for each part of the message, a u32 byte length; then the header as JSON; then the
 * parts. The lengths of the parts come first, and the header's length is what remains: so a job's args are copied as
 * they are, and a side that only stores them never parses them.
 */

const LONE_SURROGATE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;

/** The header of a message; '' for one without fields. */
export function headerText(rule: Rule, message: Message): string {
  if (rule.pick !== null) return JSON.stringify(rule.pick(message));
  if (rule.empty) return '';
  const header: Record<string, unknown> = { ...message, type: undefined };
  for (const part of rule.parts) header[part] = undefined;
  return JSON.stringify(header);
}

/** The parts of a message, ready to be written as UTF-8. */
export function partTexts(rule: Rule, message: Message): string[] {
  return rule.parts.map((part) => wellFormed((message as unknown as Record<string, string>)[part] ?? ''));
}

/**
 * UTF-8 has no lone surrogates. Parts are JSON, where one can only stand inside a string, so its escape means the same.
 */
function wellFormed(text: string): string {
  // In Node since version 20; the ES2023 library types do not know it yet.
  if ((text as string & { isWellFormed(): boolean }).isWellFormed()) return text;
  return text.replace(LONE_SURROGATE, (one) => `\\u${one.charCodeAt(0).toString(16)}`);
}

/** @throws {ProtocolError} when no message has this number */
export function ruleOfFrame(number: number): Rule {
  const rule = ruleOfNumber(number);
  if (rule === undefined) throw new ProtocolError(`There is no message number ${number}.`);
  return rule;
}

/**
 * The message in `bytes` from `start` to `end`. Nothing of the bytes is kept.
 * @throws {ProtocolError} when it is not what the table says
 */
export function decodePayload(rule: Rule, bytes: Buffer, start: number, end: number): Message {
  const { type, parts } = rule;
  const headerStart = start + 4 * parts.length;
  if (headerStart > end) throw new ProtocolError(`${type}: the frame ends within the lengths of its parts.`);
  let partsLength = 0;
  for (let at = start; at < headerStart; at += 4) partsLength += bytes.readUInt32BE(at);
  const headerEnd = end - partsLength;
  if (headerEnd < headerStart) throw new ProtocolError(`${type}: its parts are longer than the frame.`);

  const message = parseHeader(type, headerStart === headerEnd ? '' : utf8(type, bytes, headerStart, headerEnd));
  const wrong = rule.header.check(message);
  if (wrong !== null) throw new ProtocolError(`${type}${wrong}.`);

  rule.read?.(message as never);
  message['type'] = type;
  let partStart = headerEnd;
  for (let i = 0; i < parts.length; i++) {
    const partEnd = partStart + bytes.readUInt32BE(start + 4 * i);
    message[parts[i] as string] = partStart === partEnd ? '' : utf8(type, bytes, partStart, partEnd);
    partStart = partEnd;
  }
  return message as unknown as Message;
}

function parseHeader(type: string, text: string): Record<string, unknown> {
  if (text === '') return {};
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    // V8's message quotes what it could not read, and that may be a job's data.
    throw new ProtocolError(`${type}: its header is not JSON.`);
  }
}

function utf8(type: string, bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString('utf8', start, end);
  // Bytes that are no UTF-8 become U+FFFD, but U+FFFD may also have been sent: only then is a second look needed.
  if (text.includes('\uFFFD') && !isUtf8(bytes.subarray(start, end))) {
    throw new ProtocolError(`${type}: its text is not UTF-8.`);
  }
  return text;
}
