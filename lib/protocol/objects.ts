import { HIGHEST_ASSIGNMENT } from '../job/job-life.js';
import type {
  AttemptOptions,
  BackoffData,
  ErrorData,
  JobInfo,
  JobKeyScope,
  JobOptions,
  JobOrigin,
  JobSpec,
  JobView,
  Listeners,
} from '../job/job.js';
import type { TraceCarrier } from '../job/trace-carrier.js';
import type { JobPageQuery } from '../job/job-query.js';
import { JOB_STATUSES, type JobStatus } from '../job/job-status.js';
import {
  bytes16,
  type Check,
  duration,
  type Field,
  flag,
  integer,
  list,
  nullable,
  numberOr,
  oneOf,
  optional,
  pair,
  record,
  row,
  text,
  uuid,
} from './field.js';

/*
 * The objects inside messages: what each may hold, and the functions that pick what is sent. A pick names every field,
 * because a caller may hand in a wider object (a stored row where a job is due), and it cuts what is only ever read by
 * people: a value past a limit would end the connection, and again after every reconnect.
 */

export const LONGEST_NAME = 255;
export const LONGEST_REMARK = 8192;
/** Most entries of one list of ids; a sender's longer list becomes several messages. */
export const MOST_ENTRIES = 10_000;
/** The last moment a JavaScript Date can hold. */
const LAST_MOMENT = 8.64e15;

export const name = text(LONGEST_NAME, 1);
export const remark = text(LONGEST_REMARK);
export const moment = integer(0, LAST_MOMENT);
export const count = integer(0);
export const assignment = integer(0, HIGHEST_ASSIGNMENT);
const priority = integer(-2147483648, 2147483647);
export const listeners: Field<Listeners> = oneOf('closures', 'declared', 'none');
export const names = list(name, 1000);
const trace: Field<TraceCarrier> = list(pair(name, remark), 16);

const fieldsOfBackoff = {
  type: oneOf('linear', 'exponential'),
  delay: duration,
  max: optional(duration),
  jitter: optional(flag),
};
export const backoff: Field<BackoffData> = numberOr(
  duration,
  record<Exclude<BackoffData, number>>('a backoff object', fieldsOfBackoff),
);

const fieldsOfDefaults = {
  maxAttempts: optional(nullable(integer(1))),
  backoff: optional(backoff),
  timeout: optional(duration),
};
const fieldsOfKey = { value: name, until: numberOr(duration, oneOf('started', 'ended')) };
const key = record<JobKeyScope>('a key object', fieldsOfKey);
const fieldsOfOptions = {
  ...fieldsOfDefaults,
  defaults: optional(record<AttemptOptions>('a defaults object', fieldsOfDefaults)),
  period: optional(duration),
  expires: optional(moment),
  thread: optional(flag),
  node: optional(names),
  notNode: optional(names),
  strictNode: optional(flag),
  group: optional(name),
  key: optional(key),
  trace: optional(trace),
};
const options = record<JobOptions>('an options object', fieldsOfOptions);

const parties = { distributor: name, instance: uuid, storage: nullable(uuid), submitter: nullable(uuid) };
const fieldsOfOrigin = { ...parties, mac: optional(bytes16) };
export const origin = record<JobOrigin>('an origin object', fieldsOfOrigin);
export const originRow = row<JobOrigin>('an origin row', fieldsOfOrigin);

const fieldsOfError = {
  name: text(LONGEST_NAME),
  message: remark,
  code: optional(text(LONGEST_NAME)),
  stack: optional(remark),
};
export const error = record<ErrorData>('an error object', fieldsOfError);

const fieldsOfSubmittedJob = {
  id: uuid,
  name,
  options,
  priority,
  enqueuedAt: moment,
  runAt: moment,
  listeners,
  givenId: flag,
};
type SubmittedJob = Omit<JobSpec, 'args' | 'origin'>;
export const submittedJob = record<SubmittedJob>('a submitted job object', fieldsOfSubmittedJob);

const fieldsOfSentJob = { ...fieldsOfSubmittedJob, origin: originRow };
type SentJob = Omit<JobSpec, 'args'>;
export const sentJob = row<SentJob>('a job row', fieldsOfSentJob);

/** What is said of a job to whom its name and its run are known. */
export const fieldsOfJob = {
  priority,
  enqueuedAt: moment,
  runAt: moment,
  startedAt: nullable(moment),
  failedAt: nullable(moment),
  lastError: nullable(error),
  period: nullable(duration),
  group: optional(name),
  key: optional(name),
  trace: optional(trace),
};
const fieldsOfInfo = { id: uuid, name, attempt: count, run: count, node: name, distributor: name, ...fieldsOfJob };
export const info = record<JobInfo>('a job information object', fieldsOfInfo);

const fieldsOfView = {
  id: uuid,
  name,
  status: oneOf<JobStatus>(...JOB_STATUSES),
  node: nullable(name),
  distributor: name,
  priority,
  options,
  run: count,
  attempt: count,
  enqueuedAt: moment,
  dueAt: moment,
  startedAt: nullable(moment),
  failedAt: nullable(moment),
  finishedAt: nullable(moment),
  lastError: nullable(error),
};
export const view = record<JobView>('a job view object', fieldsOfView);

const fieldsOfFilter = {
  node: optional(nullable(names)),
  name: optional(name),
  status: optional(list(oneOf<JobStatus>(...JOB_STATUSES), JOB_STATUSES.length)),
  group: optional(name),
  after: nullable(uuid),
  limit: integer(1, 1000),
};
export const filter = record<JobPageQuery>('a filter object', fieldsOfFilter);

/** For the specification: these objects by the name their section has there. */
export const OBJECTS: ReadonlyMap<string, Readonly<Record<string, Check>>> = new Map<string, Record<string, Check>>([
  ['submitted job', fieldsOfSubmittedJob],
  ['job row', fieldsOfSentJob],
  ['options', fieldsOfOptions],
  ['defaults', fieldsOfDefaults],
  ['backoff', fieldsOfBackoff],
  ['key', fieldsOfKey],
  ['origin', fieldsOfOrigin],
  ['job information', fieldsOfInfo],
  ['error', fieldsOfError],
  ['job view', fieldsOfView],
  ['filter', fieldsOfFilter],
]);

export function cut(value: string, max: number): string {
  return value.length <= max ? value : value.slice(0, max);
}

export function pickSubmittedJob(job: SubmittedJob): SubmittedJob {
  return {
    id: job.id,
    name: job.name,
    options: job.options,
    priority: job.priority,
    enqueuedAt: job.enqueuedAt,
    runAt: job.runAt,
    listeners: job.listeners,
    givenId: job.givenId,
  };
}

/** An optional value that is absent. */
type Absent = null | undefined;
type JobRow = [...fields: [string, string, JobOptions, number, number, number, Listeners, boolean], origin: OriginRow];
export type OriginRow = [...parties: [string, string, string | null, string | null], mac?: string | Absent];

export function pickJob(job: SentJob): JobRow {
  return [
    job.id,
    job.name,
    job.options,
    job.priority,
    job.enqueuedAt,
    job.runAt,
    job.listeners,
    job.givenId,
    pickOrigin(job.origin),
  ];
}

/** By index: a pattern would go through the list's iterator. */
export function readJob(row: JobRow): SentJob {
  return {
    id: row[0],
    name: row[1],
    options: row[2],
    priority: row[3],
    enqueuedAt: row[4],
    runAt: row[5],
    listeners: row[6],
    givenId: row[7],
    origin: readOrigin(row[8]),
  };
}

export function pickOrigin({ distributor, instance, storage, submitter, mac }: JobOrigin): OriginRow {
  return mac === undefined
    ? [distributor, instance, storage, submitter]
    : [distributor, instance, storage, submitter, mac];
}

export function readOrigin(row: OriginRow): JobOrigin {
  return row[4]
    ? { distributor: row[0], instance: row[1], storage: row[2], submitter: row[3], mac: row[4] }
    : { distributor: row[0], instance: row[1], storage: row[2], submitter: row[3] };
}

export function pickView(from: JobView): JobView {
  return from.lastError === null ? from : { ...from, lastError: pickError(from.lastError) };
}

export function pickError(from: ErrorData | null): ErrorData | null {
  if (from === null) return null;
  const { code, stack } = from;
  return {
    name: cut(from.name, LONGEST_NAME),
    message: cut(from.message, LONGEST_REMARK),
    ...(code === undefined ? {} : { code: cut(code, LONGEST_NAME) }),
    ...(stack === undefined ? {} : { stack: cut(stack, LONGEST_REMARK) }),
  };
}
