import type { ErrorData } from '../../job/job.js';
import {
  CancelJob,
  EnqueueUnknown,
  errorData,
  JobCancelled,
  JobInterrupted,
  JobRejected,
  JobTimeout,
  Snooze,
  UnrecoverableError,
} from '../../job/job.errors.js';
import { JobReactorError } from '../../job-reactor.error.js';
import type { ThreadAnswer } from './job-threads.js';
import type { AbortReason, GatewayError, ThreadOutcome } from './thread-messages.js';

/*
 * Errors on their way between threads. Classes do not survive it, and the application's own are never rebuilt; of ours
 * those come back whose class means something to whoever catches them.
 */

/** What a handler threw in its thread, as the main thread throws it on: name, message, code and stack as they were. */
export function thrownInThread({ name, message, code, stack }: ErrorData, unrecoverable: boolean): Error {
  const error = unrecoverable ? new UnrecoverableError(message) : new Error(message);
  const own = { name, ...(code === undefined ? {} : { code }), ...(stack === undefined ? {} : { stack }) };
  for (const [key, value] of Object.entries(own)) {
    Object.defineProperty(error, key, { value, configurable: true, writable: true, enumerable: key === 'code' });
  }
  return error;
}

export function threadDied(cause: unknown): JobReactorError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const hint =
    'Only this attempt is lost; look for process.exit, memory (node.threads.resourceLimits), an uncaught error.';
  return new JobReactorError('THREAD_DIED', `The worker thread ended during the attempt: ${why}. ${hint}`, { cause });
}

export function abortData(reason: unknown): AbortReason {
  if (reason instanceof JobTimeout) return { kind: 'timeout', timeout: reason.timeout };
  if (!(reason instanceof JobCancelled)) return { kind: 'interrupted' };
  return { kind: 'cancelled', id: reason.jobId, name: reason.jobName, reason: reason.reason };
}

export function abortReason(reason: AbortReason): Error {
  switch (reason.kind) {
    case 'timeout':
      return new JobTimeout(reason.timeout);
    case 'cancelled':
      return new JobCancelled(reason.id, reason.name, reason.reason);
    case 'interrupted':
      return new JobInterrupted();
  }
}

export function gatewayErrorData(thrown: unknown): GatewayError {
  const data = errorData(thrown);
  if (thrown instanceof EnqueueUnknown) return { ...data, kind: 'EnqueueUnknown', id: thrown.id };
  if (thrown instanceof JobRejected) return { ...data, kind: 'JobRejected' };
  return { ...data, kind: thrown instanceof JobReactorError ? 'JobReactorError' : 'Error' };
}

export function gatewayError({ kind, id = '', ...data }: GatewayError): Error {
  const code = data.code as JobReactorError['code'];
  if (kind === 'EnqueueUnknown') return new EnqueueUnknown(id);
  if (kind === 'JobRejected') return new JobRejected(code, data.message);
  return kind === 'JobReactorError' ? new JobReactorError(code, data.message) : thrownInThread(data, false);
}

/** How an attempt ended, with what was thrown as an error again. */
export function answerFrom(outcome: ThreadOutcome): ThreadAnswer {
  const { args } = outcome;
  switch (outcome.kind) {
    case 'returned':
      return { kind: 'returned', result: outcome.result, args };
    case 'cancelled':
      return { kind: 'threw', thrown: new CancelJob(outcome.reason), args };
    case 'snoozed':
      return { kind: 'threw', thrown: new Snooze(outcome.delay), args };
    case 'failed':
      return { kind: 'threw', thrown: thrownInThread(outcome.error, outcome.unrecoverable), args };
  }
}
