import { JobReactorError } from '../job-reactor.error.js';
import { encode } from './serialise-encode.js';
import { revive } from './serialise-revive.js';
import { isPlainInstance, isWellFormed, MAX_DEPTH, TAG } from './serialise-rules.js';

/** A frame is 1 MiB; the rest of the job and a result's args have to fit as well. */
export const DEFAULT_TEXT_LIMIT = 900 * 1024;

/**
 * Args or a result as JSON. Date, BigInt, Map, Set, Uint8Array and undefined are carried as tagged objects, for instance
 * `{"$type":"Date","value":"2026-11-01T12:00:00.000Z"}`; class instances become plain data of their own enumerable
 * properties; an object with toJSON is carried as what that gives. `-0` becomes 0, a hole in an array undefined.
 * Properties under a symbol and extra properties of an array are left out, as in JSON.
 * `what` is the root of the path in messages; `limit` is in bytes of UTF-8.
 * @throws {JobReactorError} SERIALIZATION, with the path of the value that can't be carried
 */
export function serialise(value: unknown, what: string, limit = DEFAULT_TEXT_LIMIT): string {
  const text = plainText(value, limit) ?? encode(value, what, limit);
  // A UTF-16 unit takes at most three bytes, so most texts need no counting.
  if (text.length * 3 > limit) {
    const size = Buffer.byteLength(text);
    if (size > limit) {
      const hint = 'Keep large data elsewhere and pass a reference to it.';
      throw new JobReactorError('SERIALIZATION', `${what} takes ${size} bytes; ${limit} are allowed. ${hint}`);
    }
  }
  return text;
}

/**
 * What `serialise` made a text of; a Buffer comes back as Uint8Array. The text may come from outside: nothing in it can
 * set a prototype.
 * @throws {JobReactorError} SERIALIZATION when it is no such text
 */
export function deserialise(text: string): unknown {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (cause) {
    throw new JobReactorError('SERIALIZATION', 'The text is not JSON.', { cause });
  }
  // The last test finds texts that spell the first two with escapes; in honest ones it finds control characters.
  const plain = !text.includes(`"${TAG}"`) && !text.includes('__proto__') && !text.includes('\\u00');
  return plain ? data : revive(data);
}

/** The fast path; undefined when something is special or too much, and the tagged way will carry or refuse it. */
function plainText(value: unknown, limit: number): string | undefined {
  try {
    return walk(value, 0, limit) >= 0 ? JSON.stringify(value) : undefined;
  } catch {
    return undefined; // a getter threw; the tagged way finds out where
  }
}

/**
 * Walks a value that JSON carries as it is, without allocating. Answers what is left of `budget`, a lower
 * bound of the text's size which also ends the walk of data that refers to the same objects over and over; negative
 * means that it is not plain or too much.
 */
function walk(value: unknown, depth: number, budget: number): number {
  switch (typeof value) {
    case 'string':
      return isWellFormed(value) ? budget - value.length : -1;
    case 'number':
      return Number.isFinite(value) ? budget - 1 : -1;
    case 'boolean':
      return budget - 1;
    case 'object':
      break;
    default:
      return -1;
  }
  if (value === null) return budget - 1;
  if (depth >= MAX_DEPTH || typeof (value as { toJSON?: unknown }).toJSON === 'function') return -1;
  let left = budget - 1;

  if (Array.isArray(value)) {
    for (let i = 0; i < value.length && left >= 0; i++) left = walk(value[i], depth + 1, left);
    return left;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null && !isPlainInstance(value)) return -1;
  for (const key in value) {
    if (!Object.hasOwn(value, key)) continue;
    if (key === TAG || key === '__proto__' || !isWellFormed(key)) return -1;
    left = walk((value as Record<string, unknown>)[key], depth + 1, left - key.length);
    if (left < 0) return -1;
  }
  return left;
}
