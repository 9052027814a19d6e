import type { FeedbackDelivery, FeedbackRecord, KeptFeedback } from '../../job/feedback-record.js';
import type { ErrorData, StoredJob } from '../../job/job.js';
import { isFinal } from '../../job/job-status.js';
import type { JobChange } from '../job-storage.js';

/** What a column can be given. */
export type RowValue = string | number | null;

/** What a job has to say that has not run yet, in the order of `newJobValues`. */
export const NEW_JOB_COLUMNS =
  'id, name, args, options, priority, enqueued_at, run_at, origin, listeners, given_id, assignment, holder';

/** What makes a StoredJob, in the order of `jobValues`. */
export const JOB_COLUMNS =
  `${NEW_JOB_COLUMNS}, fence, status, run, attempt, crashes, due_at, ` +
  'started_at, failed_at, finished_at, last_error, result, unfinished';

/** Columns of job_reactor_jobs in the order of `changeValues`. */
export const CHANGE_COLUMNS =
  'assignment, holder, fence, status, run, attempt, crashes, due_at, args, ' +
  'started_at, failed_at, finished_at, last_error, result, unfinished';

/** Columns of job_reactor_feedbacks in the order of `feedbackValues`. */
export const FEEDBACK_COLUMNS =
  'id, job_id, name, origin, listeners, assignment, status, final, side, args, result, error, job';

/** More columns of job_reactor_feedbacks, in the order of `deliveryValues`. A new row has the defaults of the schema. */
export const DELIVERY_COLUMNS = 'failures, due_at, last_error';

export function newJobValues(job: StoredJob): RowValue[] {
  return [
    job.id,
    job.name,
    job.args,
    JSON.stringify(job.options),
    job.priority,
    job.enqueuedAt,
    job.runAt,
    JSON.stringify(job.origin),
    job.listeners,
    job.givenId ? 1 : 0,
    job.assignment,
    job.holder,
  ];
}

export function jobValues(job: StoredJob): RowValue[] {
  const values = newJobValues(job);
  values.push(
    job.fence,
    job.status,
    job.run,
    job.attempt,
    job.crashes,
    job.dueAt,
    job.startedAt,
    job.failedAt,
    job.finishedAt,
    errorText(job.lastError),
    job.result,
    isFinal(job.status) ? 0 : 1,
  );
  return values;
}

export function changeValues(change: JobChange): RowValue[] {
  return [
    change.assignment,
    change.holder,
    change.fence,
    change.status,
    change.run,
    change.attempt,
    change.crashes,
    change.dueAt,
    change.args,
    change.startedAt,
    change.failedAt,
    change.finishedAt,
    errorText(change.lastError),
    change.result,
    isFinal(change.status) ? 0 : 1,
  ];
}

export function feedbackValues(feedback: FeedbackRecord): RowValue[] {
  return [
    feedback.id,
    feedback.jobId,
    feedback.name,
    JSON.stringify(feedback.origin),
    feedback.listeners,
    feedback.assignment,
    feedback.status,
    feedback.final ? 1 : 0,
    feedback.side,
    feedback.args,
    feedback.result,
    errorText(feedback.error),
    JSON.stringify(feedback.job),
  ];
}

export function deliveryValues({ failures, dueAt, lastError }: FeedbackDelivery): RowValue[] {
  return [failures, dueAt, errorText(lastError)];
}

/** A row as it comes out of a driver: integers as numbers or texts, booleans as themselves or as 0 and 1. */
export type Row = Record<string, string | number | boolean | null>;

export function toStoredJob(row: Row): StoredJob {
  return {
    id: row['id'] as string,
    name: row['name'] as string,
    args: row['args'] as string,
    options: JSON.parse(row['options'] as string),
    priority: Number(row['priority']),
    enqueuedAt: Number(row['enqueued_at']),
    runAt: Number(row['run_at']),
    origin: JSON.parse(row['origin'] as string),
    listeners: row['listeners'] as StoredJob['listeners'],
    givenId: Boolean(row['given_id']),
    assignment: Number(row['assignment']),
    holder: row['holder'] as string | null,
    fence: Number(row['fence']),
    status: row['status'] as StoredJob['status'],
    run: Number(row['run']),
    attempt: Number(row['attempt']),
    crashes: Number(row['crashes']),
    dueAt: Number(row['due_at']),
    startedAt: timeOf(row['started_at']),
    failedAt: timeOf(row['failed_at']),
    finishedAt: timeOf(row['finished_at']),
    lastError: errorOf(row['last_error']),
    result: row['result'] as string | null,
  };
}

export function toFeedback(row: Row): KeptFeedback {
  return {
    id: row['id'] as string,
    jobId: row['job_id'] as string,
    name: row['name'] as string,
    origin: JSON.parse(row['origin'] as string),
    listeners: row['listeners'] as FeedbackRecord['listeners'],
    assignment: Number(row['assignment']),
    status: row['status'] as FeedbackRecord['status'],
    final: Boolean(row['final']),
    side: row['side'] as FeedbackRecord['side'],
    args: row['args'] as string,
    result: row['result'] as string | null,
    error: errorOf(row['error']),
    job: JSON.parse(row['job'] as string),
    failures: Number(row['failures']),
    dueAt: timeOf(row['due_at']),
    lastError: errorOf(row['last_error']),
  };
}

const timeOf = (value: Row[string] | undefined): number | null =>
  value === null || value === undefined ? null : Number(value);

const errorOf = (text: Row[string] | undefined): ErrorData | null =>
  typeof text === 'string' ? (JSON.parse(text) as ErrorData) : null;

const errorText = (error: ErrorData | null): string | null => (error === null ? null : JSON.stringify(error));

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** What the id of every job is. PostgreSQL refuses a whole statement for anything else. */
export const isUuid = (id: string): boolean => UUID.test(id);
