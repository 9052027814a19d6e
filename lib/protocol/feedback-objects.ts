import { feedbackId, type FeedbackRecord } from '../job/feedback-record.js';
import type { ErrorData, JobInfo, Listeners } from '../job/job.js';
import type { TraceCarrier } from '../job/trace-carrier.js';
import type { ParkedFeedback, ParkedPageQuery } from '../job/parked-feedback.js';
import {
  type Check,
  feedbackIdField,
  type Field,
  flag,
  integer,
  nullable,
  oneOf,
  optional,
  record,
  row,
  text,
  uuid,
} from './field.js';
import {
  assignment,
  count,
  error,
  fieldsOfJob,
  info,
  listeners,
  name,
  names,
  type OriginRow,
  originRow,
  pickError,
  pickOrigin,
  readOrigin,
} from './objects.js';

/*
 * The objects about the end of a job: see objects.ts for what a pick does.
 */

/** Of a job that ended, what its feedback does not say already. */
const fieldsOfEnded = { attempt: count, node: name, ...fieldsOfJob };
type Ended = Omit<JobInfo, 'id' | 'name' | 'run' | 'distributor'>;
const ended = row<Ended>('an ended job row', fieldsOfEnded);

const fieldsOfFeedback = {
  jobId: uuid,
  run: integer(1),
  name,
  origin: originRow,
  listeners,
  assignment,
  status: oneOf<FeedbackRecord['status']>('succeeded', 'failed', 'cancelled', 'dead'),
  final: flag,
  side: oneOf<FeedbackRecord['side']>('success', 'error'),
  error: nullable(error),
  job: ended,
};
export type SentFeedback = Omit<FeedbackRecord, 'args' | 'result'>;
type FeedbackRow = Omit<SentFeedback, 'id' | 'job'> & { run: number; job: Ended };
/** Its type is that of what is read from it. */
export const feedback = row<FeedbackRow>('a feedback row', fieldsOfFeedback) as unknown as Field<SentFeedback>;

const fieldsOfParked = {
  id: feedbackIdField,
  status: oneOf<FeedbackRecord['status']>('succeeded', 'failed', 'cancelled', 'dead'),
  job: info,
  error: nullable(error),
  failures: count,
  lastError: nullable(error),
  node: nullable(name),
};
export const parkedFeedback = record<ParkedFeedback>('a parked feedback object', fieldsOfParked);

const fieldsOfParkedFilter = {
  node: optional(nullable(names)),
  name: optional(name),
  id: optional(text(53, 36)),
  after: nullable(text(53, 36)),
  limit: integer(1, 1000),
};
export const parkedFilter = record<ParkedPageQuery>('a parked filter object', fieldsOfParkedFilter);

/** For the specification: these objects by the name their section has there. */
export const FEEDBACK_OBJECTS: ReadonlyMap<string, Readonly<Record<string, Check>>> = new Map<
  string,
  Record<string, Check>
>([
  ['feedback row', fieldsOfFeedback],
  ['ended job row', fieldsOfEnded],
  ['parked feedback', fieldsOfParked],
  ['parked filter', fieldsOfParkedFilter],
]);

type FeedbackWire = [
  string,
  number,
  string,
  OriginRow,
  Listeners,
  number,
  FeedbackRecord['status'],
  boolean,
  FeedbackRecord['side'],
  ErrorData | null,
  EndedWire,
];
type EndedWire = [
  ...always: [number, string, number, number, number, number | null, number | null, ErrorData | null, number | null],
  group?: string | null | undefined,
  key?: string | null | undefined,
  trace?: TraceCarrier | null | undefined,
];

export function pickFeedback(from: SentFeedback): FeedbackWire {
  return [
    from.jobId,
    from.job.run,
    from.name,
    pickOrigin(from.origin),
    from.listeners,
    from.assignment,
    from.status,
    from.final,
    from.side,
    pickError(from.error),
    pickEnded(from.job),
  ];
}

/** By index: a pattern would go through the list's iterator. */
export function readFeedback(row: FeedbackWire): SentFeedback {
  const origin = readOrigin(row[3]);
  return {
    id: feedbackId(row[0], row[1]),
    jobId: row[0],
    name: row[2],
    origin,
    listeners: row[4],
    assignment: row[5],
    status: row[6],
    final: row[7],
    side: row[8],
    error: row[9],
    job: readEnded(row[10], row[0], row[2], row[1], origin.distributor),
  };
}

function pickEnded(job: JobInfo): EndedWire {
  const { attempt, node, priority, enqueuedAt, runAt, startedAt, failedAt, lastError, period } = job;
  const row: EndedWire = [
    attempt,
    node,
    priority,
    enqueuedAt,
    runAt,
    startedAt,
    failedAt,
    pickError(lastError),
    period,
  ];
  const { group, key, trace: carrier } = job;
  if (group !== undefined || key !== undefined || carrier !== undefined) row.push(group, key, carrier);
  return row;
}

function readEnded(row: EndedWire, id: string, jobName: string, run: number, distributor: string): JobInfo {
  const info: JobInfo = {
    id,
    name: jobName,
    attempt: row[0],
    run,
    node: row[1],
    distributor,
    priority: row[2],
    enqueuedAt: row[3],
    runAt: row[4],
    startedAt: row[5],
    failedAt: row[6],
    lastError: row[7],
    period: row[8],
  };
  if (row[9]) info.group = row[9];
  if (row[10]) info.key = row[10];
  if (row[11]) info.trace = row[11];
  return info;
}

export function pickParked(from: ParkedFeedback): ParkedFeedback {
  const job = from.job.lastError === null ? from.job : { ...from.job, lastError: pickError(from.job.lastError) };
  return { ...from, job, error: pickError(from.error), lastError: pickError(from.lastError) };
}
