import { inspect } from 'node:util';
import { JobReactorError, type JobReactorErrorCode } from '../job-reactor.error.js';
import { didYouMean } from './did-you-mean.js';

/** Whose fault a bad value is: of the set-up, of one enqueue, or of one question. */
export type RefusalCode = Extract<JobReactorErrorCode, 'INVALID_OPTIONS' | 'INVALID_JOB' | 'INVALID_QUERY'>;

export type UnknownRecord = Record<string, unknown>;

/** A value for a message: one line, never long. */
export function describeValue(value: unknown): string {
  const text = inspect(value, { depth: 0, breakLength: Infinity, maxStringLength: 60, maxArrayLength: 5 });
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

export function refuse(code: RefusalCode, message: string): never {
  throw new JobReactorError(code, message);
}

export function readObject(value: unknown, what: string, code: RefusalCode): UnknownRecord {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    refuse(code, `${what} must be an object with options, not ${describeValue(value)}.`);
  }
  return value as UnknownRecord;
}

/** Refuses options that do not exist, naming the nearest that does. `path` stands before the name, such as `node.`. */
export function refuseUnknown(given: UnknownRecord, known: readonly string[], path: string, code: RefusalCode): void {
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    const near = didYouMean(name, known);
    const hint = near ? `did you mean \`${path}${near}\`?` : `The options are ${known.join(', ')}.`;
    refuse(code, `There is no option \`${path}${name}\`${near ? ': ' : '. '}${hint}`);
  }
}

/** Routing labels and job names: short printable text. */
export function readName(value: unknown, what: string, code: RefusalCode): string {
  if (typeof value !== 'string' || value === '') {
    refuse(code, `${what} must be a name, a text of 1 to 200 characters, not ${describeValue(value)}.`);
  }
  if (value.length > 200) refuse(code, `${what} is ${value.length} characters long; 200 are allowed.`);
  if (/[\p{Cc}\p{Cs}]/u.test(value)) {
    refuse(code, `${what} holds control characters or half of a surrogate pair: ${describeValue(value)}.`);
  }
  return value;
}

/** One name or several; empty when absent. Each is kept once. */
export function readNames(value: unknown, what: string, code: RefusalCode): string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) return [readName(value, what, code)];
  return [...new Set(value.map((name, i) => readName(name, `${what}[${i}]`, code)))];
}

export function readWhole(value: unknown, what: string, code: RefusalCode, min: number, max: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
    refuse(code, `${what} must be a whole number ${range}, not ${describeValue(value)}.`);
  }
  return value === 0 ? 0 : value; // -0 becomes 0
}

export function readBoolean(value: unknown, what: string, code: RefusalCode): boolean {
  if (typeof value !== 'boolean') refuse(code, `${what} must be true or false, not ${describeValue(value)}.`);
  return value;
}
