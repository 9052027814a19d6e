import { JobReactorError } from '../job-reactor.error.js';
import { parsePositiveDuration, type Duration } from './duration.js';
import type { FeedbackRecord } from './feedback-record.js';
import type { ErrorData } from './job.js';

/** Thrown in a job, callback or errback: no retry, final status `cancelled`, a periodic job stops. */
export class CancelJob extends JobReactorError {
  constructor(readonly reason = 'cancelled by its handler') {
    super('JOB_CANCELLED', reason);
  }
}

/**
 * Thrown in a job or callback: not now, but again after `delay`. No attempt is spent, no errback called and nobody told;
 * the args stay as they were before the attempt. As often as it is thrown.
 * @throws {JobReactorError} INVALID_OPTIONS for a delay that is none
 */
export class Snooze extends JobReactorError {
  /** Milliseconds. */
  readonly delay: number;

  constructor(delay: Duration) {
    const milliseconds = parsePositiveDuration(delay, 'Snooze');
    super('JOB_SNOOZED', `The job is to run again after ${milliseconds} ms.`);
    this.delay = milliseconds;
  }
}

/** Thrown in a job or callback: the job fails at once, whatever attempts are left. */
export class UnrecoverableError extends JobReactorError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('JOB_FAILED', message, options);
  }
}

/** The attempt took longer than its `timeout`; also the reason of `ctx.signal`. */
export class JobTimeout extends JobReactorError {
  constructor(readonly timeout: number) {
    super('JOB_TIMEOUT', `The attempt took longer than its timeout of ${timeout} ms.`);
  }
}

/** The node is stopping; the reason of `ctx.signal`. The attempt is not counted and runs again. */
export class JobInterrupted extends JobReactorError {
  constructor(why = 'The node is stopping.') {
    super('JOB_INTERRUPTED', `${why} The attempt is not counted, the job runs again.`);
  }
}

/** What `job.result()` rejects with after the last failed attempt. `error` is the handler's error as data. */
export class JobFailed extends JobReactorError {
  constructor(
    readonly jobId: string,
    readonly jobName: string,
    readonly status: 'failed' | 'dead',
    readonly error: ErrorData,
    readonly attempts: number,
  ) {
    super('JOB_FAILED', `Job ${jobName} (${jobId}) is ${status}: ${error.name}: ${error.message}`);
  }
}

/** What `job.result()` rejects with when the job was cancelled, from inside or outside. */
export class JobCancelled extends JobReactorError {
  constructor(
    readonly jobId: string,
    readonly jobName: string,
    readonly reason: string,
  ) {
    super('JOB_CANCELLED', `Job ${jobName} (${jobId}) was cancelled: ${reason}`);
  }
}

/** `job.result({ timeout })` or `job.stored({ timeout })` waited long enough. The job itself goes on. */
export class ResultTimeout extends JobReactorError {
  constructor(jobId: string, timeout: number) {
    super(
      'RESULT_TIMEOUT',
      `Job ${jobId} did not answer within ${timeout} ms. It goes on; ask again or raise the timeout.`,
    );
  }
}

/** The job has ended or is unknown, and its result is no longer kept. */
export class ResultUnavailable extends JobReactorError {
  constructor(jobId: string, why: string) {
    super('RESULT_UNAVAILABLE', `The result of job ${jobId} is not available: ${why}`);
  }
}

/** enqueue() did not accept the job and it will not run. `code` tells why. */
export class JobRejected extends JobReactorError {}

/** enqueue() can't tell whether the job was accepted. Repeating it with the same id is harmless. */
export class EnqueueUnknown extends JobReactorError {
  constructor(
    readonly id: string,
    options?: { cause?: unknown },
  ) {
    super(
      'ENQUEUE_UNKNOWN',
      `It is not known whether job ${id} was accepted. Enqueue it again with this id: that is harmless.`,
      options,
    );
  }
}

/** An error as data, for storing and sending. Never holds more than 8 KB of stack. */
export function errorData(thrown: unknown): ErrorData {
  if (thrown instanceof Error) {
    const code = (thrown as { code?: unknown }).code;
    return {
      name: String(thrown.name),
      message: String(thrown.message).slice(0, 8192),
      ...(typeof code === 'string' || typeof code === 'number' ? { code: String(code) } : {}),
      ...(typeof thrown.stack === 'string' ? { stack: thrown.stack.slice(0, 8192) } : {}),
    };
  }
  let message: string;
  try {
    message = typeof thrown === 'string' ? thrown : (JSON.stringify(thrown) ?? String(thrown));
  } catch {
    message = Object.prototype.toString.call(thrown);
  }
  return { name: 'Error', message: message.slice(0, 8192) };
}

/** The error `result()` rejects with for a feedback that is no success. */
export function feedbackError(feedback: FeedbackRecord): JobReactorError {
  const error = feedback.error ?? { name: 'Error', message: 'unknown' };
  if (feedback.status === 'cancelled') return new JobCancelled(feedback.jobId, feedback.name, error.message);
  const status = feedback.status === 'dead' ? 'dead' : 'failed';
  return new JobFailed(feedback.jobId, feedback.name, status, error, feedback.job.attempt);
}
