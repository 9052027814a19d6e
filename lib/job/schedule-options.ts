import type { AnyJob } from './any-job.js';
import { CronTimes } from './cron-times.js';
import { isJobDefinition } from './define-job.js';
import { parsePositiveDuration, type Duration } from './duration.js';
import { OF_A_RUN, readEnqueueOptions, type EnqueueDefaults, type EnqueueOptions } from './enqueue-options.js';
import { describeValue, readName, readObject, readWhole, refuse, refuseUnknown } from './read-option.js';
import { readTime } from './read-time.js';
import { SHORTEST_EVERY, type MissedSlots, type NewSchedule, type ScheduleRule } from './schedule.js';
import { TimeZone } from './time-zone.js';

/** What an enqueue can say of a job and a schedule of each of its runs. */
type RunOptions = Pick<EnqueueOptions<never>, (typeof OF_A_RUN)[number]>;

/** What can be said of a schedule beside its rhythm. */
export interface ScheduleSettings extends RunOptions {
  /** Which schedule it is: the same key again changes it. Default: the job's name. */
  key?: string;
  /** The time zone `cron` is meant in, such as 'Europe/Berlin'. Default 'UTC'. */
  timezone?: string;
  /** No run before this time; `every` counts from it. Default: from now on. */
  start?: Date | number | string;
  /** No run after this time. Default: none. */
  end?: Date | number | string;
  /** Runs after which it is over. Default: none. */
  limit?: number;
  /**
   * What becomes of times that passed while no process could enqueue the job: `skip` them, make up for all of them by
   * `once`, or run `all` of them, the newest 100. Default `once`.
   */
  missed?: MissedSlots;
  /** A run is `failed` with JOB_EXPIRED unless it begins so soon after it was enqueued. Default: never. */
  expires?: Duration;
}

/** What `client.schedule()` takes: a rhythm, by `cron` or by `every`, and what else there is to say. */
export interface ScheduleOptions extends ScheduleSettings {
  /** Five fields, or six with the seconds before them. Not together with `every`. */
  cron?: string;
  /** So often, at least 1 s; counted from `start`, else from when the schedule was made. Not together with `cron`. */
  every?: Duration;
}

const KNOWN = [...OF_A_RUN, 'key', 'cron', 'timezone', 'every', 'start', 'end', 'limit', 'missed', 'expires'];
/** Of enqueue(), and without a meaning here. */
const OF_ENQUEUE: Record<string, string> = {
  after: '`start` says when it begins',
  runAt: '`start` says when it begins',
  period: '`every` says how often it runs',
  id: 'each run has an id of its own; `key` says which schedule it is',
  manager: 'it is kept at once, and not in your transaction',
  confirm: 'nobody waits for its runs',
  distributor: 'it is kept by the distributor of this process',
  onSuccess: 'closures end with the process. Declare `@OnSuccessFeedback`',
  onError: 'closures end with the process. Declare `@OnErrorFeedback`',
};
const MISSED: readonly unknown[] = ['skip', 'once', 'all'] satisfies MissedSlots[];

/**
 * Validates what is said of a schedule. `args` are serialised; null: they are made for each run.
 * @throws {JobReactorError} INVALID_JOB
 */
export function readSchedule(
  job: AnyJob,
  args: string | null,
  given: ScheduleOptions,
  now: number,
  jobs?: EnqueueDefaults,
): NewSchedule {
  const definition = isJobDefinition(job) ? job : undefined;
  const name = definition ? definition.name : readName(job, 'The job', 'INVALID_JOB');
  const record = readObject(given, 'The options of a schedule', 'INVALID_JOB');
  for (const [option, why] of Object.entries(OF_ENQUEUE)) {
    if (record[option] !== undefined)
      refuse('INVALID_JOB', `\`${option}\` is of enqueue() and not of a schedule: ${why}.`);
  }
  refuseUnknown(record, [...KNOWN, ...Object.keys(OF_ENQUEUE)], '', 'INVALID_JOB');
  const key = given.key === undefined ? name : readName(given.key, 'key', 'INVALID_JOB');
  const rule = readRule(given, now);
  const run = Object.fromEntries(
    OF_A_RUN.filter((option) => given[option] !== undefined).map((one) => [one, given[one]]),
  );
  const { options, priority } = readEnqueueOptions(run, definition, now, jobs);
  const expires = given.expires === undefined ? null : parsePositiveDuration(given.expires, 'expires', 'INVALID_JOB');
  return { key, rule, job: { name, args, options, priority, expires } };
}

function readRule(given: ScheduleOptions, now: number): ScheduleRule {
  const { cron, every, timezone, missed = 'once' } = given;
  if ((cron === undefined) === (every === undefined)) {
    refuse('INVALID_JOB', 'A schedule needs either `cron` or `every`: when is it to run?');
  }
  if (every !== undefined && timezone !== undefined) {
    refuse(
      'INVALID_JOB',
      '`timezone` is where `cron` is meant; `every` counts the time that passes, the same everywhere.',
    );
  }
  if (!MISSED.includes(missed)) {
    refuse('INVALID_JOB', `missed must be 'skip', 'once' or 'all', not ${describeValue(missed)}.`);
  }
  const start = given.start === undefined ? null : readTime(given.start, 'start');
  const end = given.end === undefined ? null : readTime(given.end, 'end');
  if (start !== null && end !== null && end < start) {
    refuse('INVALID_JOB', `end: the schedule would be over before it starts (${new Date(start).toISOString()}).`);
  }
  const limit =
    given.limit === undefined ? null : readWhole(given.limit, 'limit', 'INVALID_JOB', 1, Number.MAX_SAFE_INTEGER);
  const both = { start, end, limit, missed };
  if (every !== undefined) return { cron: null, timezone: null, every: readEvery(every), ...both };
  return { ...readCron(cron, timezone ?? 'UTC', now), every: null, ...both };
}

function readEvery(given: Duration): number {
  const every = parsePositiveDuration(given, 'every', 'INVALID_JOB');
  if (every >= SHORTEST_EVERY) return every;
  return refuse('INVALID_JOB', `every: ${describeValue(given)} is too short; a schedule runs once a second at most.`);
}

function readCron(given: unknown, timezone: unknown, now: number): { cron: string; timezone: string } {
  if (typeof timezone !== 'string' || !isZone(timezone)) {
    const example = "Give a name such as 'Europe/Berlin' or 'UTC'.";
    refuse('INVALID_JOB', `timezone: ${describeValue(timezone)} is no time zone that is known here. ${example}`);
  }
  const example =
    "Give five fields (minute, hour, day of the month, month, day of the week) such as '0 3 * * *', or six with seconds first.";
  if (typeof given !== 'string' || given.length > 200) {
    refuse('INVALID_JOB', `cron: ${describeValue(given)} is no cron expression. ${example}`);
  }
  const cron = given.trim().replaceAll(/\s+/g, ' ');
  let first: number | null;
  try {
    first = new CronTimes(cron, timezone).next(now);
  } catch (error) {
    const why = String((error as Error)?.message ?? error).replace(/^CronPattern: /, '');
    refuse('INVALID_JOB', `cron: ${describeValue(given)} is no cron expression: ${why} ${example}`);
  }
  if (first === null) refuse('INVALID_JOB', `cron: ${describeValue(given)} has no time at all: there is no such day.`);
  return { cron, timezone };
}

function isZone(name: string): boolean {
  try {
    return new TimeZone(name) instanceof TimeZone;
  } catch {
    return false;
  }
}
