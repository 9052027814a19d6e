import { JobReactorError } from '../job-reactor.error.js';
import { MAX_DEPTH, TAG } from './serialise-rules.js';

/**
 * Puts back what tagged objects stand for, in place, in data fresh from JSON.parse. The data may come from outside, so
 * every shape is checked.
 * @throws {JobReactorError} SERIALIZATION
 */
export function revive(data: unknown, depth = 0): unknown {
  if (typeof data !== 'object' || data === null) return data;
  if (depth > MAX_DEPTH) refuse(`is nested deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(data)) {
    for (let i = 0; i < data.length; i++) data[i] = revive(data[i], depth + 1);
    return data;
  }
  const object = data as Record<string, unknown>;
  return Object.hasOwn(object, TAG) ? reviveTagged(object, depth) : reviveProperties(object, depth);
}

function reviveProperties(object: Record<string, unknown>, depth: number): unknown {
  for (const key of Object.keys(object)) {
    if (key === '__proto__') refuse('holds the key __proto__');
    object[key] = revive(object[key], depth + 1);
  }
  return object;
}

function reviveTagged(object: Record<string, unknown>, depth: number): unknown {
  const type = object[TAG];
  const value = object['value'];
  switch (type) {
    case 'undefined':
      return undefined;
    case 'Date': {
      const date = new Date(typeof value === 'string' ? value : NaN);
      return Number.isNaN(date.getTime()) ? refuse('holds a Date that is none') : date;
    }
    case 'BigInt':
      return typeof value === 'string' && /^-?\d+$/.test(value) ? BigInt(value) : refuse('holds a BigInt that is none');
    case 'Uint8Array':
      // A view of its own memory: small Buffers share a pool with strangers.
      return typeof value === 'string' ? Uint8Array.from(Buffer.from(value, 'base64')) : refuse('holds no bytes');
    case 'Set':
      return new Set(list(value).map((item) => revive(item, depth + 1)));
    case 'Map':
      return new Map(list(value).map((entry) => reviveEntry(list(entry), depth + 1)));
    case 'Object':
      if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse('holds an Object that is none');
      return reviveProperties(value as Record<string, unknown>, depth);
    default:
      return refuse(`holds the type ${JSON.stringify(type)?.slice(0, 60)}, which this version does not know`);
  }
}

function reviveEntry(entry: unknown[], depth: number): [unknown, unknown] {
  return [revive(entry[0], depth), revive(entry[1], depth)];
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : refuse('holds a list that is none');
}

function refuse(why: string): never {
  throw new JobReactorError('SERIALIZATION', `The text ${why}.`);
}
