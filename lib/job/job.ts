import type { JobStatus } from './job-status.js';
import type { TraceCarrier } from './trace-carrier.js';

/** An error as data. Classes are never rebuilt from it. */
export interface ErrorData {
  name: string;
  message: string;
  code?: string;
  stack?: string;
}

/** Who wants to hear of the end: closures or promises of one enqueue, declared methods, or nobody. */
export type Listeners = 'closures' | 'declared' | 'none';

/** Where a job came from and where its feedback goes. */
export interface JobOrigin {
  /** Name of the distributor that accepted it: the label its replicas share. */
  distributor: string;
  /** Instance id of the distributor that accepted it. */
  instance: string;
  /** Storage id of its outbox, null for memory: another instance with the same one is that application restarted. */
  storage: string | null;
  /** Instance id of the node that submitted it, null when it was the application itself. */
  submitter: string | null;
  /** Made by the distributor for each send: who brings it back has had the job. */
  mac?: string;
}

/** A backoff that can cross the wire; a function can't, so it lives in definitions and `forRoot` only. */
export type BackoffData = number | { type: 'linear' | 'exponential'; delay: number; max?: number; jitter?: boolean };

/** What can be said of a job's attempts in several places, one before the other. */
export interface AttemptOptions {
  maxAttempts?: number | null; // null: unlimited
  backoff?: BackoffData;
  timeout?: number;
}

/** A key, and until when it is the job's: its first start, its end, or so many milliseconds from the enqueue. */
export interface JobKeyScope {
  value: string;
  until: 'started' | 'ended' | number;
}

/**
 * What was said of this one job where it was enqueued. A field that is absent is decided by the node. Durations are
 * milliseconds, times are milliseconds since the epoch.
 */
export interface JobOptions extends AttemptOptions {
  /**
   * From the application's definition and its `forRoot`. The node's own `@Job` and definition come before: it may know a
   * definition that the enqueue, by a plain name, did not.
   */
  defaults?: AttemptOptions;
  period?: number;
  /** Not to be started any more from this time on; it concerns the first start alone. */
  expires?: number;
  thread?: boolean;
  node?: string[];
  notNode?: string[];
  strictNode?: boolean;
  /** Whom it is for, such as a tenant: groups take turns. */
  group?: string;
  /** Of the jobs of its name none else has this key at the same time. */
  key?: JobKeyScope;
  /** The trace its enqueue was part of. */
  trace?: TraceCarrier;
}

/** A job as enqueue made it: pure data that never changes again. */
export interface JobSpec {
  id: string; // UUID
  name: string;
  args: string; // serialised
  options: JobOptions;
  priority: number; // higher is sooner
  enqueuedAt: number;
  runAt: number; // when it is due for the first time
  origin: JobOrigin;
  listeners: Listeners;
  /** The caller gave the id: repeating it must be harmless for as long as tombstones are kept. */
  givenId: boolean;
}

/** A job as a storage keeps it. */
export interface StoredJob extends JobSpec {
  /** Rises with every send to another node. */
  assignment: number;
  /**
   * In an outbox: storage id of the node it was sent to, null while none was chosen. In a node's storage: id of the node
   * that claimed the row, which nobody else has then; null while the outbox it came from may send it again.
   */
  holder: string | null;
  /** Rises whenever the owner or the attempt changes; a write that expects an older one is refused. */
  fence: number;
  status: JobStatus;
  /** 1 for the first run, one more for every further run of a periodic job. */
  run: number;
  /** Attempts begun in this run, the current one included; for a periodic job the failures in a row and the current one. */
  attempt: number;
  /** How often the process died while this job ran. */
  crashes: number;
  /** When the next attempt may start. */
  dueAt: number;
  startedAt: number | null;
  failedAt: number | null;
  finishedAt: number | null;
  lastError: ErrorData | null;
  result: string | null; // serialised
}

/** What changes on a row after it was inserted. `fence` is the new fence. */
export type JobChange = Omit<StoredJob, Exclude<keyof JobSpec, 'args'>>;

/** What `ctx.job` and a feedback's `job` tell. Times are milliseconds since the epoch. */
export interface JobInfo {
  id: string;
  name: string;
  /** 1 for the first attempt of a run. */
  attempt: number;
  /** 1, and one more for each further run of a periodic job. */
  run: number;
  node: string;
  distributor: string;
  priority: number;
  enqueuedAt: number;
  /** When this attempt was due. */
  runAt: number;
  startedAt: number | null;
  failedAt: number | null;
  lastError: ErrorData | null;
  /** Milliseconds from the end of one run to the start of the next, or null. */
  period: number | null;
  /** Whom it is for; absent where that was not said. */
  group?: string;
  /** The key it was enqueued with; absent where there was none. */
  key?: string;
  /** The trace its enqueue was part of, as headers by name; absent where there was none. */
  trace?: TraceCarrier;
}

/** What `find` tells across the wire: no handles, no options a program could not read. */
export interface JobView {
  id: string;
  name: string;
  status: JobStatus;
  /** Name of the node that holds it, null while it waits in a distributor. */
  node: string | null;
  distributor: string;
  priority: number;
  options: JobOptions;
  run: number;
  attempt: number;
  enqueuedAt: number;
  dueAt: number;
  startedAt: number | null;
  failedAt: number | null;
  finishedAt: number | null;
  lastError: ErrorData | null;
}

/**
 * Whether it takes a slot's credit on its way to a node, or only room in its storage. Both ends count by this rule, so it
 * depends on nothing but the job.
 */
export const isInstant = (spec: Pick<JobSpec, 'runAt' | 'enqueuedAt'>): boolean => spec.runAt <= spec.enqueuedAt;

/** Of a row in a node's storage: no outbox has this job any more, or could send it again. */
export const isSettled = ({ holder }: Pick<StoredJob, 'holder'>): boolean => holder !== null;

/** The first row of a job that has been accepted and not run yet. */
export const newStoredJob = (spec: JobSpec, assignment: number): StoredJob => receivedJob(spec, spec.args, assignment);

/**
 * What is the same in each new row. A row begins as a copy of it, and not as a literal: V8 makes literals old objects from
 * the start once many of them have lived long (docs/decisions.md, "What outlives its job").
 */
export const FIRST_ROW = {
  id: '',
  name: '',
  args: '',
  options: {},
  priority: 0,
  enqueuedAt: 0,
  runAt: 0,
  origin: { distributor: '', instance: '', storage: null, submitter: null },
  listeners: 'none',
  givenId: false,
  assignment: 0,
  holder: null,
  fence: 0,
  status: 'queued',
  run: 1,
  attempt: 0,
  crashes: 0,
  dueAt: 0,
  startedAt: null,
  failedAt: null,
  finishedAt: null,
  lastError: null,
  result: null,
} satisfies StoredJob;

/** The same of one whose args came apart from the rest. */
export function receivedJob(spec: Omit<JobSpec, 'args'>, args: string, assignment: number): StoredJob {
  // Every field by name: a spread with this many new fields makes slow objects on Node 20, ten times over.
  return {
    ...FIRST_ROW,
    id: spec.id,
    name: spec.name,
    args,
    options: spec.options,
    priority: spec.priority,
    enqueuedAt: spec.enqueuedAt,
    runAt: spec.runAt,
    origin: spec.origin,
    listeners: spec.listeners,
    givenId: spec.givenId,
    assignment,
    dueAt: spec.runAt,
  };
}

export const FIRST_INFO: JobInfo = {
  id: '',
  name: '',
  attempt: 0,
  run: 0,
  node: '',
  distributor: '',
  priority: 0,
  enqueuedAt: 0,
  runAt: 0,
  startedAt: null,
  failedAt: null,
  lastError: null,
  period: null,
};

export function jobInfo(job: StoredJob, node: string): JobInfo {
  const info: JobInfo = {
    ...FIRST_INFO,
    id: job.id,
    name: job.name,
    attempt: job.attempt,
    run: job.run,
    node,
    distributor: job.origin.distributor,
    priority: job.priority,
    enqueuedAt: job.enqueuedAt,
    runAt: job.dueAt,
    startedAt: job.startedAt,
    failedAt: job.failedAt,
    lastError: job.lastError,
    period: job.options.period ?? null,
  };
  const { group, key, trace } = job.options;
  if (group !== undefined) info.group = group;
  if (key) info.key = key.value;
  if (trace) info.trace = trace;
  return info;
}

export function jobView(job: StoredJob, node: string | null): JobView {
  return {
    id: job.id,
    name: job.name,
    status: job.status,
    node,
    distributor: job.origin.distributor,
    priority: job.priority,
    options: job.options,
    run: job.run,
    attempt: job.attempt,
    enqueuedAt: job.enqueuedAt,
    dueAt: job.dueAt,
    startedAt: job.startedAt,
    failedAt: job.failedAt,
    finishedAt: job.finishedAt,
    lastError: job.lastError,
  };
}
