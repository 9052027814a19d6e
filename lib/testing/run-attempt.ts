import { randomUUID } from 'node:crypto';
import type { Type } from '@nestjs/common';
import { MetadataScanner } from '@nestjs/core';
import type { AnyJob } from '../job/any-job.js';
import type { Clock } from '../clock.js';
import type { JobHandler } from '../handlers/job-handler.js';
import { rolesOf } from '../handlers/job-metadata.js';
import { didYouMean } from '../job/did-you-mean.js';
import { isJobDefinition } from '../job/define-job.js';
import type { JobInfo } from '../job/job.js';
import { jobInfo, newStoredJob } from '../job/job.js';
import { CancelJob, Snooze } from '../job/job.errors.js';
import { begin } from '../job/job-transitions.js';
import { deserialise, serialise } from '../job/serialise.js';
import { JobReactorError } from '../job-reactor.error.js';
import { JobExecutor } from '../worker-node/job-executor.js';
import { RunningJob } from '../worker-node/running-jobs.js';
import { nameOf } from './enqueued-jobs.js';

export interface RunJobOptions {
  /** Which attempt `ctx.job.attempt` says it is, at least 1. Default 1. */
  attempt?: number;
  /** Default: that of `@Job` or its definition, else 10. */
  maxAttempts?: number | null;
  /** Aborts `ctx.signal`, as a cancel from outside does. */
  signal?: AbortSignal;
}

/** What one attempt did that succeeded. */
export interface JobRun<Args = unknown, Result = unknown> {
  result: Result;
  /** The args as the job and its callbacks left them. */
  args: Args;
  /** What was told by `ctx.progress()`, in its order. */
  progress: unknown[];
  /** What the handler saw as `ctx.job`. */
  job: JobInfo;
}

/** One attempt as on a node, with nothing before and nothing after it. Rejects with what the handler threw. */
export async function runAttempt(
  handler: JobHandler,
  given: unknown,
  { attempt = 1, maxAttempts = handler.defaults.maxAttempts, signal }: RunJobOptions,
  clock: Clock,
): Promise<JobRun> {
  if (!Number.isInteger(attempt) || attempt < 1) {
    throw new JobReactorError('INVALID_OPTIONS', `runJob() attempt: a whole number from 1 on, not ${String(attempt)}.`);
  }
  const now = clock.now();
  const origin = { distributor: 'test', instance: randomUUID(), storage: null, submitter: null };
  const spec = { id: randomUUID(), name: handler.name, args: serialise(given, 'args'), options: {}, priority: 0 };
  const times = { enqueuedAt: now, runAt: now };
  const stored = newStoredJob({ ...spec, ...times, origin, listeners: 'none', givenId: false }, 1);
  const running = new RunningJob(begin({ ...stored, attempt: attempt - 1 }, now), true);
  const abort = (): void => running.abort(new CancelJob(String(signal?.reason ?? 'aborted')));
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort, { once: true });
  const progress: unknown[] = [];
  const executor = new JobExecutor({ node: 'test', clock, emit: () => undefined });
  const outcome = await executor.execute({
    running,
    handler,
    policy: () => ({ maxAttempts, backoff: handler.defaults.backoff }),
    timeout: handler.defaults.timeout,
    progress: (value) => progress.push(deserialise(value)),
    threads: null,
  });
  signal?.removeEventListener('abort', abort);
  if (outcome.kind === 'failed') throw outcome.thrown;
  if (outcome.kind === 'cancelled') throw new CancelJob(outcome.reason);
  if (outcome.kind === 'snoozed') throw new Snooze(outcome.delay);
  if (outcome.kind === 'interrupted') throw running.aborted ?? new CancelJob('interrupted');
  const job = jobInfo(running.job, 'test');
  return { result: deserialise(outcome.result), args: deserialise(outcome.args), progress, job };
}

/** The job that is meant: by its definition or name, or by a class that has one `@Job`. */
export function jobNameOf(job: AnyJob | Type<unknown>): string {
  if (typeof job !== 'function') return isJobDefinition(job) ? job.name : nameOf(job);
  const prototype = job.prototype as Record<string, object>;
  const names = new MetadataScanner()
    .getAllMethodNames(prototype)
    .flatMap((method) => rolesOf(prototype[method]!))
    .flatMap(({ kind, name }) => (kind === 'job' ? [name] : []));
  if (names.length === 1) return names[0]!;
  const found = names.length === 0 ? 'no @Job' : `several: ${names.join(', ')}`;
  throw new JobReactorError('INVALID_JOB', `runJob(${job.name}): the class has ${found}. Say which job by its name.`);
}

export function unknownJob(name: string, known: readonly string[]): JobReactorError {
  const near = didYouMean(name, known);
  const hint = near ? `Did you mean '${near}'?` : `It has ${known.length === 0 ? 'none' : known.join(', ')}.`;
  return new JobReactorError('INVALID_JOB', `The modules of this test have no @Job('${name}'). ${hint}`);
}
