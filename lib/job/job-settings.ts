import { parseDuration, parsePositiveDuration, type Duration } from './duration.js';
import type { BackoffData, ErrorData } from './job.js';
import {
  describeValue,
  readBoolean,
  readObject,
  readWhole,
  refuse,
  refuseUnknown,
  type RefusalCode,
} from './read-option.js';

/** How long to wait before the next attempt. Default: `attempt * 5 s`. */
export type Backoff =
  /** The same wait each time. */
  | Duration
  | {
      /** linear: `attempt * delay`; exponential: `delay * 2 ** (attempt - 1)`. */
      type: 'linear' | 'exponential';
      delay: Duration;
      /** Upper bound of one wait. Default: 1 day. */
      max?: Duration;
      /** Full jitter: a random wait between 0 and the computed one. Default: true for exponential, false for linear. */
      jitter?: boolean;
    };

/** Milliseconds to wait after `attempt` (1 for the first) failed with `error`. */
export type BackoffFunction = (attempt: number, error: ErrorData) => number;

/** So many starts within a time. */
export interface RateLimit {
  /** From 1 to 1,000,000. */
  max: number;
  /** Any time of this length. */
  per: Duration;
}

/** What a definition, `@Job` or `forRoot({ jobs })` can say of jobs; enqueue options overrule it. */
export interface JobSettings {
  /** Attempts before the job is `failed`. `null`: unlimited. Default 10; unlimited for periodic jobs. */
  maxAttempts?: number | null;
  /** Default: `{ type: 'linear', delay: '5s' }`. */
  backoff?: Backoff | BackoffFunction;
  /** Longest time one attempt may take, its callbacks included. Default: none. */
  timeout?: Duration;
  /** Among jobs that wait, the higher goes first. A whole number; said where the job is enqueued. Default 0. */
  priority?: number;
  /** Run `@Job` in a worker thread of the node, which needs `node.threads`. Default false. */
  thread?: boolean;
  /**
   * So many jobs of this name run at once on one node; the others wait there and let other names pass. Said where the
   * handler is. Default: as many as the node has slots.
   */
  concurrency?: number;
  /**
   * So many jobs of this name run at once on all nodes together that share a PostgreSQL, MySQL or MariaDB; on a node with a
   * storage of its own, on that node. Said where the handler is, the same on each node. Default: no limit.
   */
  globalConcurrency?: number;
  /**
   * So many attempts at jobs of this name begin on one node within any time of `per`; the others wait there and let other
   * names pass. Said where the handler is. Default: no limit.
   */
  rate?: RateLimit;
  /**
   * The same for the jobs of each `group`, beside what holds for all of the name. Said where the handler is. Default: no
   * limit.
   */
  perGroup?: StartSettings;
}

type StartSetting = (typeof START_SETTINGS)[number];

/** How many jobs run at once, and how many begin within a time. */
export type StartSettings = Pick<JobSettings, StartSetting>;

/** The same, validated, with durations as milliseconds: what the roles work with. */
export interface JobDefaults {
  maxAttempts?: number | null;
  backoff?: BackoffData | BackoffFunction;
  timeout?: number;
  priority?: number;
  thread?: boolean;
  concurrency?: number;
  globalConcurrency?: number;
  rate?: { max: number; per: number };
  perGroup?: Pick<JobDefaults, StartSetting>;
}

/** What is said of a handler alone, and not for all jobs of an application or a node. */
export type HandlerSetting = 'thread' | StartSetting | 'perGroup';
/** What limits how many start. */
export const START_SETTINGS = ['concurrency', 'globalConcurrency', 'rate'] as const;
/** What is said of jobs wherever something is. */
export const GENERAL_SETTINGS = ['maxAttempts', 'backoff', 'timeout', 'priority'] as const;
export const JOB_SETTINGS = [...GENERAL_SETTINGS, 'thread', ...START_SETTINGS, 'perGroup'] as const;

/**
 * Validates what `defineJob`, `@Job` or `forRoot({ jobs })` says of jobs. Options of other kinds in the same object are
 * the caller's to check. `path` stands before option names in messages, such as `jobs.`.
 * @throws {JobReactorError} INVALID_OPTIONS, or the code given
 */
export function settingsToDefaults(
  settings: JobSettings,
  path = '',
  code: RefusalCode = 'INVALID_OPTIONS',
): JobDefaults {
  const { maxAttempts, backoff, timeout, priority, thread, perGroup } = settings;
  const defaults: JobDefaults = {};
  if (maxAttempts !== undefined) {
    defaults.maxAttempts =
      maxAttempts === null ? null : readWhole(maxAttempts, `${path}maxAttempts`, code, 1, Number.MAX_SAFE_INTEGER);
  }
  if (backoff !== undefined) {
    defaults.backoff = typeof backoff === 'function' ? backoff : readBackoff(backoff, `${path}backoff`, code);
  }
  if (timeout !== undefined) defaults.timeout = parsePositiveDuration(timeout, `${path}timeout`, code);
  if (priority !== undefined) defaults.priority = readPriority(priority, `${path}priority`, code);
  if (thread !== undefined) defaults.thread = readBoolean(thread, `${path}thread`, code);
  Object.assign(defaults, readLimits(settings, path, code));
  if (perGroup !== undefined) {
    refuseUnknown(readObject(perGroup, `${path}perGroup`, code), START_SETTINGS, `${path}perGroup.`, code);
    defaults.perGroup = readLimits(perGroup, `${path}perGroup.`, code);
  }
  return defaults;
}

function readLimits(
  { concurrency, globalConcurrency, rate }: StartSettings,
  path: string,
  code: RefusalCode,
): Pick<JobDefaults, StartSetting> {
  const slots = (value: number, name: string): number => readWhole(value, `${path}${name}`, code, 1, MOST_SLOTS);
  return {
    ...(concurrency === undefined ? {} : { concurrency: slots(concurrency, 'concurrency') }),
    ...(globalConcurrency === undefined ? {} : { globalConcurrency: slots(globalConcurrency, 'globalConcurrency') }),
    ...(rate === undefined ? {} : { rate: readRate(rate, `${path}rate`, code) }),
  };
}

function readRate(value: unknown, what: string, code: RefusalCode): { max: number; per: number } {
  const { max, per, ...rest } = readObject(value, what, code);
  refuseUnknown(rest, ['max', 'per'], `${what}.`, code);
  return {
    max: readWhole(max, `${what}.max`, code, 1, MOST_SLOTS),
    per: parsePositiveDuration(per as Duration, `${what}.per`, code),
  };
}

/** As many as a node may have. */
const MOST_SLOTS = 1_000_000;

/** Every storage keeps a priority as a 32-bit integer. */
function readPriority(value: unknown, what: string, code: RefusalCode): number {
  return readWhole(value, what, code, -(2 ** 31), 2 ** 31 - 1);
}

const BACKOFF_FIELDS = ['type', 'delay', 'max', 'jitter'] as const;

export function readBackoff(value: Backoff, what: string, code: RefusalCode): BackoffData {
  if (typeof value === 'number' || typeof value === 'string') return parseDuration(value, what, code);
  refuseUnknown(readObject(value, what, code), BACKOFF_FIELDS, `${what}.`, code);
  const { type, delay, max, jitter } = value;
  if (type !== 'linear' && type !== 'exponential') {
    refuse(code, `${what}.type must be 'linear' or 'exponential', not ${describeValue(type)}.`);
  }
  if (delay === undefined)
    refuse(code, `${what}.delay is missing: how long to wait after the first failure, such as '5s'.`);
  return {
    type,
    delay: parseDuration(delay, `${what}.delay`, code),
    ...(max === undefined ? {} : { max: parseDuration(max, `${what}.max`, code) }),
    ...(jitter === undefined ? {} : { jitter: readBoolean(jitter, `${what}.jitter`, code) }),
  };
}
