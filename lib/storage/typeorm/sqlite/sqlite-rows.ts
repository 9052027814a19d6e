import type { ErrorData, FeedbackRecord, StoredJob } from '../../../job/job.js';
import { isFinal } from '../../../job/job-status.js';
import type { JobChange } from '../../job-storage.js';
import type { SqliteValue } from './sqlite-connection.js';

/** What makes a StoredJob, in the order of `jobValues`. */
export const JOB_COLUMNS =
  'id, name, args, options, priority, enqueued_at, run_at, origin, listeners, given_id, ' +
  'assignment, holder, owner, fence, status, run, attempt, crashes, due_at, ' +
  'started_at, failed_at, finished_at, last_error, result, unfinished';

/** Columns of job_reactor_jobs in the order of `changeValues`. */
export const CHANGE_COLUMNS =
  'assignment, holder, owner, fence, status, run, attempt, crashes, due_at, args, ' +
  'started_at, failed_at, finished_at, last_error, result, unfinished';

/** Columns of job_reactor_feedbacks in the order of `feedbackValues`. */
export const FEEDBACK_COLUMNS =
  'id, job_id, name, origin, listeners, assignment, status, final, side, args, result, error, job';

export function jobValues(job: StoredJob): SqliteValue[] {
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
    job.owner,
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
  ];
}

export function changeValues(change: JobChange): SqliteValue[] {
  return [
    change.assignment,
    change.holder,
    change.owner,
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

export function feedbackValues(feedback: FeedbackRecord): SqliteValue[] {
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

/** A row of `JOB_COLUMNS` as it comes out of any driver. */
export interface JobRow {
  id: string;
  name: string;
  args: string;
  options: string;
  priority: number;
  enqueued_at: number;
  run_at: number;
  origin: string;
  listeners: StoredJob['listeners'];
  given_id: number;
  assignment: number;
  holder: string | null;
  owner: string | null;
  fence: number;
  status: StoredJob['status'];
  run: number;
  attempt: number;
  crashes: number;
  due_at: number;
  started_at: number | null;
  failed_at: number | null;
  finished_at: number | null;
  last_error: string | null;
  result: string | null;
}

export function toStoredJob(row: JobRow): StoredJob {
  return {
    id: row.id,
    name: row.name,
    args: row.args,
    options: JSON.parse(row.options),
    priority: row.priority,
    enqueuedAt: row.enqueued_at,
    runAt: row.run_at,
    origin: JSON.parse(row.origin),
    listeners: row.listeners,
    givenId: row.given_id === 1,
    assignment: row.assignment,
    holder: row.holder,
    owner: row.owner,
    fence: row.fence,
    status: row.status,
    run: row.run,
    attempt: row.attempt,
    crashes: row.crashes,
    dueAt: row.due_at,
    startedAt: row.started_at,
    failedAt: row.failed_at,
    finishedAt: row.finished_at,
    lastError: row.last_error === null ? null : (JSON.parse(row.last_error) as ErrorData),
    result: row.result,
  };
}

const errorText = (error: ErrorData | null): string | null => (error === null ? null : JSON.stringify(error));
