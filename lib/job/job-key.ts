import type { Duration } from './define-job.js';
import { parsePositiveDuration } from './duration.js';
import type { JobKeyScope, JobOptions } from './job.js';
import { describeValue, readObject, refuse, refuseUnknown, type UnknownRecord } from './read-option.js';

/** What happens to a job that is enqueued with a key which another job of its name has. */
export type KeyConflict = 'keep' | 'replace' | 'reschedule';

/** One job at a time for each job name and `value`. */
export interface KeyOptions {
  /** A text of 1 to 255 characters; upper and lower case are two keys. */
  value: string;
  /**
   * Until when it is the job's: `'ended'`, its final state, retries and all runs of a periodic job included; `'started'`,
   * the start of its first attempt; or this long from the enqueue, whatever becomes of the job. Default `'ended'`.
   */
  until?: 'started' | 'ended' | Duration;
  /**
   * When another job has the key nothing is enqueued, and that job is what `enqueue()` answers. `keep`: it stays as it is.
   * `replace`: it takes the args and the time of this enqueue, `reschedule`: the time alone, unless it has begun.
   * Default `'keep'`.
   */
  onConflict?: KeyConflict;
}

/** The same, validated. */
export interface KeyRequest {
  key: JobKeyScope;
  onConflict: KeyConflict;
}

/** A key and the jobs it is about. */
export interface JobKey {
  /** Of the job. */
  name: string;
  value: string;
}

const LONGEST_KEY = 255;
const CONFLICTS: readonly unknown[] = ['keep', 'replace', 'reschedule'];

/**
 * What the options of an enqueue say of its key.
 * @throws {JobReactorError} INVALID_JOB
 */
export function readKey({ key, id, manager }: UnknownRecord): KeyRequest {
  const request = readKeyOptions(key);
  if (id !== undefined)
    refuse(
      'INVALID_JOB',
      '`id` and `key` both say when an enqueue is a repeat. Give one: with a key the id is that of the job that has it.',
    );
  if (manager !== undefined && request.onConflict !== 'keep') {
    const why = `key.onConflict: '${request.onConflict}' would change the other job at once, whatever becomes of your transaction.`;
    refuse('INVALID_JOB', `${why} With \`manager\` leave it out, or enqueue after the commit.`);
  }
  return request;
}

function readKeyOptions(given: unknown): KeyRequest {
  if (typeof given === 'string')
    return { key: { value: readKeyValue(given, 'key'), until: 'ended' }, onConflict: 'keep' };
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    refuse('INVALID_JOB', `key must be a text or { value, until, onConflict }, not ${describeValue(given)}.`);
  const record = readObject(given, 'key', 'INVALID_JOB');
  refuseUnknown(record, ['value', 'until', 'onConflict'], 'key.', 'INVALID_JOB');
  const { value, until = 'ended', onConflict = 'keep' } = record;
  if (!CONFLICTS.includes(onConflict))
    refuse(
      'INVALID_JOB',
      `key.onConflict must be 'keep', 'replace' or 'reschedule', not ${describeValue(onConflict)}.`,
    );
  return {
    key: { value: readKeyValue(value, 'key.value'), until: readUntil(until) },
    onConflict: onConflict as KeyConflict,
  };
}

/** @throws {JobReactorError} INVALID_JOB */
export function readKeyValue(value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '')
    refuse('INVALID_JOB', `${what} must be a text of 1 to ${LONGEST_KEY} characters, not ${describeValue(value)}.`);
  if (value.length > LONGEST_KEY) {
    const why = `${what} is ${value.length} characters long; ${LONGEST_KEY} are allowed. Take a hash of it.`;
    refuse('INVALID_JOB', why);
  }
  // Databases differ in what they keep of these, and two keys must not become one.
  if (/[\p{Cc}\p{Cs}]/u.test(value)) {
    refuse('INVALID_JOB', `${what} holds control characters or half of a surrogate pair: ${describeValue(value)}.`);
  }
  return value;
}

function readUntil(until: unknown): JobKeyScope['until'] {
  if (until === 'started' || until === 'ended') return until;
  if (typeof until !== 'string' && typeof until !== 'number')
    refuse('INVALID_JOB', `key.until must be 'started', 'ended' or a duration, not ${describeValue(until)}.`);
  return parsePositiveDuration(until, "key.until ('started', 'ended' or a duration)", 'INVALID_JOB');
}

/** Whether the key is free once the job has ended, and not before. Who hears of the end has to be told in any case. */
export const freesKey = ({ key }: JobOptions): boolean => key !== undefined && typeof key.until !== 'number';
