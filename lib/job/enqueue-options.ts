import type { Backoff, Duration, JobDefaults, JobDefinition } from './define-job.js';
import { parseDuration, parsePositiveDuration } from './duration.js';
import type { Feedback } from './feedback.js';
import type { AttemptOptions, JobOptions } from './job.js';
import { settingsToDefaults } from './job-settings.js';
import {
  describeValue,
  readBoolean,
  readName,
  readNames,
  readObject,
  refuse,
  refuseUnknown,
  type UnknownRecord,
} from './read-option.js';
import { readKey, type KeyConflict, type KeyOptions } from './job-key.js';
import { readExpires } from './read-expires.js';
import type { TransactionManager } from './transaction-manager.js';
import { readTime } from './read-time.js';

/** What one enqueue can say of its job. It overrules `@Job` and the definition, which overrule `forRoot({ jobs })`. */
export interface EnqueueOptions<D = unknown> {
  /** A UUID. Enqueueing it again is harmless for `jobs.retention.dedupRetention` (7 days). Default: a new UUIDv7. */
  id?: string;
  /** Run after this time from now. Default 0. Not together with `runAt`. */
  after?: Duration;
  /** Run at this time: a Date, milliseconds since the epoch, or an ISO text with its offset. One that is past runs now. */
  runAt?: Date | number | string;
  /**
   * The job is `failed` with JOB_EXPIRED unless it has begun by then: a duration from now, a Date, or an ISO text with
   * its offset. Concerns the first start alone, not retries or later runs of a periodic job. Default: never.
   */
  expires?: Duration | Date;
  /** Run again this long after each completion. The first run is now, or as `after` or `runAt` say. Default: one run. */
  period?: Duration;
  /** Nodes preferred for it, one name or several: others take it only when none of these is connected and capable. */
  node?: string | readonly string[];
  /** Nodes that must not run it, one name or several. */
  notNode?: string | readonly string[];
  /** `node` is required, not preferred. Default false, or `jobs.strictNode`. */
  strictNode?: boolean;
  /**
   * Whom it is for, such as a tenant, a text of 1 to 200 characters: groups take turns, however many jobs one of them has.
   * What is said `perGroup` of the handler holds for each. Default: none; all jobs without one take turns as one group.
   */
  group?: string;
  /**
   * Of the jobs of this name one at a time has this key: when another has it, nothing is enqueued and that job is what
   * enqueue() answers. A text, or an object that says for how long and what happens to the other. Not together with `id`.
   * Default: none.
   */
  key?: string | KeyOptions;
  /** Attempts before it is `failed`, at least 1; `null`: unlimited. Default 10; unlimited for a periodic job. */
  maxAttempts?: number | null;
  /** The wait between attempts. Default: `attempt * 5 s`. */
  backoff?: Backoff;
  /** Longest time one attempt may take, its callbacks included. Default: none. */
  timeout?: Duration;
  /**
   * Run in a worker thread (true) or in the main one (false). With true it waits for a node that has `node.threads`.
   * Default: what `@Job` or the node's definition says, else false.
   */
  thread?: boolean;
  /** Among jobs that wait, the higher goes first. A whole number of 32 bits. Default 0. */
  priority?: number;
  /**
   * When enqueue() resolves. `accepted`: when the distributor has the job, committed if its outbox is a database.
   * `stored`: after the COMMIT of a node. Default `accepted`.
   */
  confirm?: 'accepted' | 'stored';
  /**
   * The EntityManager of a TypeORM transaction: the job is enqueued if that commits, and not if it rolls back. The
   * distributor's outbox has to be in the same PostgreSQL, MySQL or MariaDB. Default: none.
   */
  manager?: TransactionManager;
  /** In a node process: name of the distributor to submit to. Default: the process's own, else the first connected. */
  distributor?: string;
  /** Called in this process when a run succeeded or the job was cancelled; lost with the process. */
  onSuccess?: (feedback: Feedback<D>) => unknown;
  /** Called in this process when the job has failed for good; lost with the process. */
  onError?: (feedback: Feedback<D>) => unknown;
}

/** The same, validated: times in milliseconds since the epoch, durations in milliseconds. */
export interface EnqueueRequest {
  id?: string;
  runAt: number;
  priority: number;
  /** What has to travel with the job: of these options, else the definition's, else the application's. */
  options: JobOptions;
  /** What happens to the job that has its key. Absent: nothing. */
  onConflict?: Exclude<KeyConflict, 'keep'>;
  confirm: 'accepted' | 'stored';
  distributor?: string;
  manager?: TransactionManager;
  onSuccess?: (feedback: Feedback) => unknown;
  onError?: (feedback: Feedback) => unknown;
}

/** What `forRoot({ jobs })` says of jobs that this process enqueues. */
export interface EnqueueDefaults {
  defaults: JobDefaults;
  strictNode: boolean;
}

/** What one run of a schedule can have as well. */
export const OF_A_RUN = [
  'node',
  'notNode',
  'strictNode',
  'group',
  'maxAttempts',
  'backoff',
  'timeout',
  'thread',
  'priority',
] as const;
const KNOWN = [
  'id',
  'after',
  'runAt',
  'expires',
  'period',
  'key',
  ...OF_A_RUN,
  'confirm',
  'distributor',
  'manager',
  'onSuccess',
  'onError',
];
const UUID = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i;
const NOTHING: JobDefaults = {};
const NO_JOBS: EnqueueDefaults = { defaults: {}, strictNode: false };

/**
 * Validates the options of one enqueue and fills in what the definition and the application say.
 * `now` is the wall clock in milliseconds since the epoch.
 * @throws {JobReactorError} INVALID_JOB
 */
export function readEnqueueOptions<D>(
  given: EnqueueOptions<D> | undefined,
  definition: JobDefinition | undefined,
  now: number,
  jobs: EnqueueDefaults = NO_JOBS,
): EnqueueRequest {
  if (given === undefined) return plainRequest(definition, now, jobs);
  const record = readObject(given, 'The options of enqueue()', 'INVALID_JOB');
  if (Object.keys(record).length === 0) return plainRequest(definition, now, jobs);
  refuseUnknown(record, KNOWN, '', 'INVALID_JOB');
  if (typeof given.backoff === 'function') {
    const why = "A function can't be sent to a node. Put it in defineJob, which the node imports as well";
    refuse('INVALID_JOB', `backoff: ${why}, or give a duration or { type, delay }.`);
  }
  const routing = readRouting(given, jobs.strictNode);
  const period = given.period === undefined ? undefined : parsePositiveDuration(given.period, 'period', 'INVALID_JOB');
  const own = settingsToDefaults(record, '', 'INVALID_JOB');
  const settings = inherit(own, definition, jobs, period !== undefined);
  const runAt = readRunAt(given, now);
  const due = given.after === undefined && given.runAt === undefined ? undefined : runAt;
  const expires = given.expires === undefined ? undefined : readExpires(given.expires, now, due);
  const keyed = given.key === undefined ? undefined : readKey(record);
  return {
    ...readReply(record),
    ...(keyed && keyed.onConflict !== 'keep' ? { onConflict: keyed.onConflict } : {}),
    ...(given.id === undefined ? {} : { id: readId(given.id) }),
    runAt,
    priority: settings.priority,
    options: {
      ...settings.options,
      ...routing,
      ...(period === undefined ? {} : { period }),
      ...(expires === undefined ? {} : { expires }),
      ...(keyed ? { key: keyed.key } : {}),
    },
  };
}

/** Of an enqueue that says nothing of its own. */
function plainRequest(definition: JobDefinition | undefined, now: number, jobs: EnqueueDefaults): EnqueueRequest {
  const { priority, options } = inherit(NOTHING, definition, jobs, false);
  return { priority, options, runAt: now, confirm: 'accepted' };
}

/** A field that nobody gave stays absent, so that the node may still decide. */
function inherit(
  own: JobDefaults,
  definition: JobDefinition | undefined,
  jobs: EnqueueDefaults,
  periodic: boolean,
): { priority: number; options: JobOptions } {
  const inherited = { ...jobs.defaults, ...definition?.defaults };
  // A number meant for jobs that run once must not end a periodic one.
  if (periodic && definition?.defaults.maxAttempts === undefined) delete inherited.maxAttempts;
  const options: JobOptions = attemptOptions(own);
  // That of the definition does not travel: where a job runs is a matter of the node, unless this enqueue insists.
  if (own.thread !== undefined) options.thread = own.thread;
  const defaults = attemptOptions(inherited);
  if (Object.keys(defaults).length > 0) options.defaults = defaults;
  return { priority: own.priority ?? inherited.priority ?? 0, options };
}

function attemptOptions({ maxAttempts, backoff, timeout }: JobDefaults): AttemptOptions {
  const options: AttemptOptions = {};
  if (maxAttempts !== undefined) options.maxAttempts = maxAttempts;
  if (timeout !== undefined) options.timeout = timeout;
  // A function stays where it was defined. The node has the definition; a plainer rule from here must not stand in for it.
  if (backoff !== undefined && typeof backoff !== 'function') options.backoff = backoff;
  return options;
}

function readId(id: unknown): string {
  if (typeof id !== 'string' || !UUID.test(id)) {
    refuse('INVALID_JOB', `id must be a UUID, not ${describeValue(id)}. Leave it out to get one.`);
  }
  return id.toLowerCase(); // two spellings of one UUID are one job
}

function readRunAt({ after, runAt }: EnqueueOptions<never>, now: number): number {
  if (after !== undefined && runAt !== undefined) {
    refuse('INVALID_JOB', '`after` and `runAt` both say when the job runs. Give one of them.');
  }
  if (after !== undefined) return now + parseDuration(after, 'after', 'INVALID_JOB');
  return runAt === undefined ? now : readTime(runAt, 'runAt');
}

function readRouting(given: EnqueueOptions<never>, strictByDefault: boolean): JobOptions {
  const node = readNames(given.node, 'node', 'INVALID_JOB');
  const notNode = readNames(given.notNode, 'notNode', 'INVALID_JOB');
  const both = node.find((name) => notNode.includes(name));
  if (both !== undefined) refuse('INVALID_JOB', `The node '${both}' is in both \`node\` and \`notNode\`.`);
  // Absent unless somebody here wants it: the distributor has a default of its own.
  let strictNode = strictByDefault ? true : undefined;
  if (given.strictNode !== undefined) strictNode = readBoolean(given.strictNode, 'strictNode', 'INVALID_JOB');
  return {
    ...(node.length > 0 ? { node, ...(strictNode === undefined ? {} : { strictNode }) } : {}),
    ...(notNode.length > 0 ? { notNode } : {}),
    ...(given.group === undefined ? {} : { group: readName(given.group, 'group', 'INVALID_JOB') }),
  };
}

function readManager({ manager, confirm, distributor }: UnknownRecord): Pick<EnqueueRequest, 'manager'> {
  if (manager === undefined) return {};
  const { query, dataSource } = (manager ?? {}) as Partial<TransactionManager>;
  if (typeof query !== 'function' || typeof dataSource !== 'object') {
    refuse('INVALID_JOB', `manager must be the EntityManager of a TypeORM transaction, not ${describeValue(manager)}.`);
  }
  if (confirm === 'stored') {
    refuse('INVALID_JOB', "confirm: 'stored' would wait for a node, which sees the job only after your transaction.");
  }
  if (distributor !== undefined) {
    refuse('INVALID_JOB', '`manager` goes with the outbox of this process, so `distributor` can not be another.');
  }
  return { manager: manager as TransactionManager };
}

function readReply(
  given: UnknownRecord,
): Pick<EnqueueRequest, 'confirm' | 'distributor' | 'manager' | 'onSuccess' | 'onError'> {
  const { confirm = 'accepted', distributor } = given;
  if (confirm !== 'accepted' && confirm !== 'stored') {
    refuse('INVALID_JOB', `confirm must be 'accepted' or 'stored', not ${describeValue(confirm)}.`);
  }
  return {
    confirm,
    ...(distributor === undefined ? {} : { distributor: readName(distributor, 'distributor', 'INVALID_JOB') }),
    ...readManager(given),
    ...readClosure(given, 'onSuccess'),
    ...readClosure(given, 'onError'),
  };
}

function readClosure<Name extends 'onSuccess' | 'onError'>(
  given: UnknownRecord,
  name: Name,
): { [N in Name]?: (feedback: Feedback) => unknown } {
  const closure = given[name];
  if (closure === undefined) return {};
  if (typeof closure !== 'function')
    refuse('INVALID_JOB', `${name} must be a function, not ${describeValue(closure)}.`);
  return { [name]: closure } as { [N in Name]: (feedback: Feedback) => unknown };
}
