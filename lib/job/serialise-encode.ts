import { types } from 'node:util';
import { JobReactorError } from '../job-reactor.error.js';
import { isPlainInstance, isWellFormed, MAX_DEPTH, TAG } from './serialise-rules.js';

/**
 * The JSON of a value that holds something JSON does not have, or a refusal with the path of what can't be carried. It
 * builds a copy with tagged objects first, so it costs several times the fast path.
 */
export function encode(value: unknown, what: string, limit: number): string {
  return JSON.stringify(encodeValue(value, { what, limit, size: 0, path: [], ancestors: [] }));
}

interface Walk {
  readonly what: string;
  readonly limit: number;
  /** Lower bound of the text's size so far. */
  size: number;
  /** The way from the root to the current value, as it is written in a message. */
  readonly path: string[];
  readonly ancestors: object[];
}

function encodeValue(value: unknown, walk: Walk): unknown {
  if (++walk.size > walk.limit) {
    refuse(walk, `is where the data exceeds the ${walk.limit} bytes that are allowed`);
  }
  switch (typeof value) {
    case 'string':
      if (!isWellFormed(value)) refuse(walk, 'is a text with half of a surrogate pair');
      walk.size += value.length;
      return value;
    case 'number':
      return Number.isFinite(value) ? value : refuse(walk, `is ${value}, which JSON can't carry`);
    case 'boolean':
      return value;
    case 'undefined':
      return { [TAG]: 'undefined' };
    case 'bigint':
      return tagged('BigInt', value.toString());
    case 'object':
      break;
    default:
      return refuse(walk, `is a ${typeof value}; only data can be carried`);
  }
  if (value === null) return null;
  if (walk.ancestors.includes(value)) refuse(walk, 'refers back to an object that contains it');
  if (walk.ancestors.length >= MAX_DEPTH) refuse(walk, `is nested deeper than ${MAX_DEPTH} levels`);
  walk.ancestors.push(value);
  const encoded = encodeObject(value, walk);
  walk.ancestors.pop();
  return encoded;
}

function encodeObject(value: object, walk: Walk): unknown {
  if (Array.isArray(value)) return encodeList(value, walk, '');
  // These stand before toJSON: a Date and a Buffer have one, and it would lose what they are.
  if (types.isDate(value)) {
    if (Number.isNaN(value.getTime())) refuse(walk, 'is an invalid Date');
    return tagged('Date', Date.prototype.toISOString.call(value));
  }
  if (types.isMap(value)) return tagged('Map', encodeEntries(value, walk));
  if (types.isSet(value)) return tagged('Set', encodeList(value, walk, '.values()'));
  if (types.isUint8Array(value)) {
    walk.size += value.byteLength;
    return tagged('Uint8Array', Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64'));
  }
  const toJSON = read(value, 'toJSON', walk);
  if (typeof toJSON === 'function') {
    const data: unknown = guarded(walk, 'has a toJSON that throws', () => toJSON.call(value, ''));
    // As in JSON.stringify, what toJSON gives is taken as it is, even if it has a toJSON itself.
    return typeof data === 'object' && data !== null ? encodeReplacement(data, walk) : encodeValue(data, walk);
  }
  if (!isPlainInstance(value)) {
    refuse(walk, `is of the type ${Object.prototype.toString.call(value).slice(8, -1)}, which can't be carried`);
  }
  return encodeProperties(value, walk);
}

/** Keeps an endless chain of toJSON from being followed, and `return this` from being taken for a cycle. */
function encodeReplacement(data: object, walk: Walk): unknown {
  const own = types.isDate(data) || types.isMap(data) || types.isSet(data) || types.isUint8Array(data);
  return own || Array.isArray(data) || !isPlainInstance(data) ? encodeObject(data, walk) : encodeProperties(data, walk);
}

function encodeProperties(value: object, walk: Walk): unknown {
  const copy: Record<string, unknown> = {};
  let hasTag = false;
  for (const key of Object.keys(value)) {
    walk.path.push(/^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`);
    if (key === '__proto__') refuse(walk, 'is a key that could poison a prototype');
    if (!isWellFormed(key)) refuse(walk, 'is a key with half of a surrogate pair');
    walk.size += key.length;
    hasTag ||= key === TAG;
    copy[key] = encodeValue(read(value, key, walk), walk);
    walk.path.pop();
  }
  return hasTag ? tagged('Object', copy) : copy;
}

function encodeList(list: Iterable<unknown>, walk: Walk, before: string): unknown[] {
  // Array.from visits the holes of an array too, as undefined.
  return Array.from(list, (item, i) => encodeAt(`${before}[${i}]`, item, walk));
}

function encodeEntries(map: ReadonlyMap<unknown, unknown>, walk: Walk): unknown[] {
  return Array.from(map, ([key, item], i) => {
    const named = typeof key === 'string' || typeof key === 'number';
    return [
      encodeAt(`.keys()[${i}]`, key, walk),
      encodeAt(named ? `.get(${JSON.stringify(key)})` : `.values()[${i}]`, item, walk),
    ];
  });
}

function encodeAt(step: string, value: unknown, walk: Walk): unknown {
  walk.path.push(step);
  const encoded = encodeValue(value, walk);
  walk.path.pop();
  return encoded;
}

function tagged(type: string, value: unknown): unknown {
  return { [TAG]: type, value };
}

function read(value: object, key: string, walk: Walk): unknown {
  return guarded(walk, 'has a getter that throws', () => (value as Record<string, unknown>)[key]);
}

function guarded(walk: Walk, why: string, run: () => unknown): unknown {
  try {
    return run();
  } catch (cause) {
    return refuse(walk, why, cause);
  }
}

function refuse(walk: Walk, why: string, cause?: unknown): never {
  const options = cause === undefined ? undefined : { cause };
  throw new JobReactorError('SERIALIZATION', `${walk.what}${walk.path.join('')} ${why}.`, options);
}
