import type { BackoffFunction } from './define-job.js';
import { feedbackId, FIRST_FEEDBACK } from './feedback-record.js';
import { jobInfo } from './job.js';
import type { FeedbackRecord } from './feedback-record.js';
import type { BackoffData, ErrorData, StoredJob } from './job.js';
import { expiredError } from './job-expiry.js';
import { nextLife } from './job-life.js';
import type { JobOutcome } from './job-outcome.js';
import type { FinalStatus } from './job-status.js';
import { attemptsLeft, retryDelay } from './retry-policy.js';

/** What decides about the next attempt, put together from enqueue, definition and defaults. */
export interface RetryPolicy {
  /** Undefined: the default. */
  maxAttempts: number | null | undefined;
  backoff: BackoffData | BackoffFunction | undefined;
}

/** Everything a transition needs beside the job; handed in, so that the same input always gives the same result. */
export interface TransitionContext {
  now: number;
  /** Name of the node. */
  node: string;
  random: () => number;
  /** Asked for only where an attempt has failed. */
  policy: () => RetryPolicy;
}

/**
 * What an outcome makes of a job. `again`: it goes back to the scheduler, with a feedback when a run of a periodic job
 * succeeded. `end`: its status is final. The change is to be written with the fence the job had before.
 */
export interface Transition {
  kind: 'again' | 'end';
  job: StoredJob;
  feedback?: FeedbackRecord;
}

/** An attempt begins. */
export function begin(job: StoredJob, now: number): StoredJob {
  return { ...job, status: 'running', attempt: job.attempt + 1, fence: job.fence + 1, startedAt: now };
}

/** The node stops before the attempt ended: it does not count. */
export function release(job: StoredJob): StoredJob {
  return { ...job, status: 'queued', attempt: job.attempt - 1, fence: job.fence + 1 };
}

/** The handler wants to be called later: the attempt does not count. */
export function snooze(job: StoredJob, delay: number, now: number): StoredJob {
  const status = job.attempt > 1 ? 'retrying' : 'queued';
  return { ...job, status, attempt: job.attempt - 1, fence: job.fence + 1, dueAt: now + delay };
}

/** Whether a failed attempt will be followed by another. */
export function willRetry(job: StoredJob, policy: RetryPolicy, unrecoverable: boolean): boolean {
  return !unrecoverable && attemptsLeft(policy.maxAttempts, job.attempt, job.options.period !== undefined) > 0;
}

/**
 * Whether the next attempt of a job that ran in a process that died is to have the node to itself: one more death would
 * end the job, and it must not be a neighbour's doing. A job that has not met a crash is never held back for one.
 */
export function isLastChance(job: StoredJob, maxCrashes: number, policy: RetryPolicy): boolean {
  if (job.crashes === 0) return false;
  return job.crashes + 1 >= maxCrashes || !willRetry({ ...job, attempt: job.attempt + 1 }, policy, false);
}

/** The only loop: what follows from the outcome of an attempt. */
export function conclude(job: StoredJob, outcome: JobOutcome, context: TransitionContext): Transition {
  switch (outcome.kind) {
    case 'succeeded':
      return job.options.period === undefined ? succeed(job, outcome, context) : nextRun(job, outcome, context);
    case 'failed':
      return fail({ ...job, lastError: outcome.error, failedAt: context.now }, outcome, context);
    case 'cancelled':
      return cancel(job, outcome.reason, outcome.side, context, outcome.args);
    case 'snoozed':
      return { kind: 'again', job: snooze(job, outcome.delay, context.now) };
    case 'interrupted':
      return { kind: 'again', job: release(job) };
  }
}

/** A cancel, from inside or outside. */
export function cancel(
  job: StoredJob,
  reason: string,
  side: 'success' | 'error',
  context: { now: number; node: string },
  args = job.args,
): Transition {
  const error: ErrorData = { name: 'CancelJob', message: reason, code: 'JOB_CANCELLED' };
  return end(job, 'cancelled', context, { error, side, args });
}

/** It was not started by the time it expires at: no attempt was spent, and nobody on the node is asked. */
export function expire(job: StoredJob, context: { now: number; node: string }, where: string): Transition {
  const error = expiredError(job.options, where);
  return end({ ...job, lastError: error, failedAt: context.now }, 'failed', context, { error, side: 'error' });
}

/** A job that has ended runs again, from the args its last attempt began with, as a new run in a new life. */
export function retry(job: StoredJob, now: number): StoredJob {
  return {
    ...job,
    assignment: nextLife(job.assignment),
    fence: job.fence + 1,
    status: 'queued',
    run: job.run + 1,
    attempt: 0,
    crashes: 0,
    dueAt: now,
    startedAt: null,
    finishedAt: null,
    result: null,
  };
}

/** The process died while the job ran: the attempt is spent and a crash counted. */
export function crash(job: StoredJob, maxCrashes: number, context: TransitionContext): Transition {
  const error: ErrorData = {
    name: 'JobInterrupted',
    message: `The process of node ${context.node} died during attempt ${job.attempt}.`,
    code: 'JOB_INTERRUPTED',
  };
  const crashed = { ...job, crashes: job.crashes + 1, lastError: error, failedAt: context.now };
  if (crashed.crashes >= maxCrashes) {
    const dead = {
      ...error,
      code: 'JOB_DEAD',
      message: `${error.message} That was crash ${crashed.crashes} of ${maxCrashes}.`,
    };
    return end({ ...crashed, lastError: dead }, 'dead', context, { error: dead, side: 'error' });
  }
  if (!willRetry(crashed, context.policy(), false)) return end(crashed, 'failed', context, { error, side: 'error' });
  return { kind: 'again', job: { ...crashed, status: 'retrying', fence: job.fence + 1, dueAt: context.now } };
}

function succeed(job: StoredJob, outcome: { result: string; args: string }, context: TransitionContext): Transition {
  return end({ ...job, args: outcome.args, result: outcome.result }, 'succeeded', context, {
    error: null,
    side: 'success',
  });
}

/** A periodic job runs again one period after this run ended, with the args as this run left them. */
function nextRun(job: StoredJob, outcome: { result: string; args: string }, context: TransitionContext): Transition {
  const ran = { ...job, args: outcome.args, result: outcome.result };
  const next: StoredJob = {
    ...ran,
    status: 'queued',
    run: job.run + 1,
    attempt: 0,
    crashes: 0,
    fence: job.fence + 1,
    dueAt: context.now + (job.options.period as number),
    result: null,
  };
  return {
    kind: 'again',
    job: next,
    feedback: feedback(ran, 'succeeded', false, context, { error: null, side: 'success' }),
  };
}

function fail(
  job: StoredJob,
  outcome: { error: ErrorData; unrecoverable: boolean; args: string },
  context: TransitionContext,
): Transition {
  const policy = context.policy();
  if (!willRetry(job, policy, outcome.unrecoverable)) {
    // The row keeps the args this attempt began with: what it left is for the feedback, not for a retry from outside.
    return end(job, 'failed', context, { error: outcome.error, side: 'error', args: outcome.args });
  }
  // A periodic job's failed run waits for its next period, whatever the backoff says.
  const delay = job.options.period ?? retryDelay(policy.backoff, job.attempt, outcome.error, context.random);
  return { kind: 'again', job: { ...job, status: 'retrying', fence: job.fence + 1, dueAt: context.now + delay } };
}

interface Told {
  error: ErrorData | null;
  side: 'success' | 'error';
  /** As the run left them, where the row keeps others. */
  args?: string;
}

function end(job: StoredJob, status: FinalStatus, context: { now: number; node: string }, told: Told): Transition {
  const ended: StoredJob = { ...job, status, fence: job.fence + 1, finishedAt: context.now };
  return { kind: 'end', job: ended, feedback: feedback(ended, status, true, context, told) };
}

function feedback(
  job: StoredJob,
  status: FinalStatus,
  final: boolean,
  context: { node: string },
  told: Told,
): FeedbackRecord {
  return {
    ...FIRST_FEEDBACK,
    id: feedbackId(job.id, job.run),
    jobId: job.id,
    name: job.name,
    origin: job.origin,
    listeners: job.listeners,
    assignment: job.assignment,
    status,
    final,
    side: told.side,
    args: told.args ?? job.args,
    result: status === 'succeeded' ? job.result : null,
    error: told.error,
    job: jobInfo(job, context.node),
  };
}
