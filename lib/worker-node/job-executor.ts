import type { Clock } from '../clock.js';
import { JobContext } from '../handlers/job-context.js';
import type { JobAttempt, JobHandler } from '../handlers/job-handler.js';
import { CancelJob, errorData, JobInterrupted, JobTimeout, Snooze } from '../job/job.errors.js';
import type { JobOutcome } from '../job/job-outcome.js';
import { jobInfo, type StoredJob } from '../job/job.js';
import { willRetry, type RetryPolicy } from '../job/job-transitions.js';
import { deserialise, serialise } from '../job/serialise.js';
import type { EmitEvent } from '../job-reactor.events.js';
import { TimerQueue } from '../timer-queue.js';
import { isUnrecoverable, readPayload } from './attempt-payload.js';
import { HandlerWatch } from './handler-watch.js';
import type { RunningJob } from './running-jobs.js';
import type { JobThreads, ThreadAnswer } from './threads/job-threads.js';

/** What the executor is told of one attempt beside the job. */
export interface AttemptOrder {
  running: RunningJob;
  handler: JobHandler;
  /** Asked for when it has failed. */
  policy: () => RetryPolicy;
  timeout: number | undefined;
  progress: (value: string) => void;
  /** Where the `@Job` method runs, with a thread reserved for it; null: here. */
  threads: JobThreads | null;
}

/** Something that wants to know of attempts, and to run them in a context of its own. Gives on what `run` gives. */
export type AroundAttempt = (job: StoredJob, run: () => Promise<JobOutcome>) => Promise<JobOutcome>;

type Ended = Exclude<JobOutcome, { kind: 'interrupted' }>;

/**
 * Runs one attempt and says how it ended; decides nothing about the job. In order:
 * 1. the args are read and, where the definition has a schema, checked;
 * 2. `@Job`, here or in a worker thread, where step 1 is done as well;
 * 3. the `@OnSuccess` callbacks, one after another;
 * 4. if any of these threw or took too long: the `@OnError` errbacks; not for a `Snooze`.
 */
export class JobExecutor {
  readonly #node: string;
  readonly #emit: EmitEvent;
  readonly #deadlines: TimerQueue;
  readonly #watch: HandlerWatch;
  readonly #around: AroundAttempt | undefined;

  constructor(parts: { node: string; clock: Clock; emit: EmitEvent; around?: AroundAttempt }) {
    this.#node = parts.node;
    this.#emit = parts.emit;
    this.#deadlines = new TimerQueue(parts.clock, 'monotonic');
    this.#watch = new HandlerWatch(parts);
    this.#around = parts.around;
  }

  /** Never rejects: whatever goes wrong is the attempt's failure. */
  execute(order: AttemptOrder): Promise<JobOutcome> {
    return this.#around ? this.#around(order.running.job, () => this.#execute(order)) : this.#execute(order);
  }

  #execute(order: AttemptOrder): Promise<JobOutcome> {
    return this.#attempt(order).catch((thrown: unknown) => {
      const { args } = order.running.job;
      return { kind: 'failed', error: errorData(thrown), thrown, unrecoverable: false, args };
    });
  }

  async #attempt(order: AttemptOrder): Promise<JobOutcome> {
    const { running } = order;
    const { job } = running;
    // Its start took so long to commit that it was cancelled, or the lease lost, before it began.
    if (running.aborted) return { kind: 'interrupted' };
    const context = new JobContext({
      job: jobInfo(job, this.#node),
      fence: job.fence,
      readArgs: () => deserialise(job.args),
      signal: running.signal,
      progress: (value) => order.progress(serialise(value, 'progress')),
    });
    const attempt = order.handler.attempt(context);
    this.#watch.began(job);
    const deadline = this.#deadline(order);
    const inThread = order.threads?.run({
      job: context.job,
      fence: context.fence,
      args: job.args,
      signal: running.signal(),
      progress: order.progress,
    });
    const work = this.#perform(order, attempt, context, inThread);
    try {
      return await running.race(work);
    } catch (error) {
      // Only an abort gets here: `perform` turns everything else into an outcome.
      if (!inThread) this.#watch.left(job, work);
      if (error instanceof JobInterrupted || !(error instanceof JobTimeout)) return { kind: 'interrupted' };
      // A thread ends in any case, so the next attempt never meets this one; a handler here may go on.
      if (inThread) await this.#inThread(inThread, context).catch(() => undefined);
      return await this.#failed(order, attempt, context, error);
    } finally {
      this.#watch.ended(job);
      deadline?.cancel();
    }
  }

  #deadline(order: AttemptOrder): { cancel(): void } | undefined {
    const { timeout, running } = order;
    return timeout === undefined
      ? undefined
      : this.#deadlines.after(timeout, () => running.abort(new JobTimeout(timeout)));
  }

  async #perform(
    order: AttemptOrder,
    attempt: JobAttempt,
    context: JobContext,
    inThread: Promise<ThreadAnswer> | undefined,
  ): Promise<Ended> {
    try {
      const result = await (inThread ? this.#inThread(inThread, context) : this.#here(order, attempt));
      for (let index = 0; index < order.handler.callbacks; index++) {
        if (order.running.aborted) throw order.running.aborted;
        await attempt.onSuccess(index, snapshot(context));
      }
      return { kind: 'succeeded', result, args: this.#argsAfter(order, context) };
    } catch (error) {
      // After an abort the race is over and nobody waits here; errbacks are then run by whoever aborted.
      if (order.running.aborted) throw error;
      return await this.#failed(order, attempt, context, error);
    }
  }

  /** No promise more than there has to be: every job gets here. */
  #here({ handler, running: { job } }: AttemptOrder, attempt: JobAttempt): Promise<string> {
    const payload = readPayload(handler, job.args);
    const result = handler.schema
      ? (payload as Promise<unknown>).then((checked) => attempt.job(checked))
      : attempt.job(payload);
    return result.then((value) => serialise(value, `the result of job ${job.name}`));
  }

  /** Its callbacks, here, see `ctx.args` as the thread left them. */
  async #inThread(answering: Promise<ThreadAnswer>, context: JobContext): Promise<string> {
    const answer = await answering;
    if (answer.args !== null) context.args = deserialise(answer.args) as JobContext['args'];
    if (answer.kind === 'threw') throw answer.thrown;
    return answer.result;
  }

  async #failed(order: AttemptOrder, attempt: JobAttempt, context: JobContext, thrown: unknown): Promise<Ended> {
    const { job } = order.running;
    if (thrown instanceof CancelJob) return this.#cancelled(order, context, thrown, 'success');
    if (thrown instanceof Snooze) return { kind: 'snoozed', delay: thrown.delay };
    const unrecoverable = isUnrecoverable(thrown);
    context.error = thrown;
    context.willRetry = willRetry(job, order.policy(), unrecoverable);
    for (let index = 0; index < order.handler.errbacks; index++) {
      try {
        await this.#withinTimeout(order, attempt.onError(index, snapshot(context)));
      } catch (error) {
        if (error instanceof CancelJob) return this.#cancelled(order, context, error, 'error');
        this.#emit({ event: 'errback failed', node: this.#node, id: job.id, name: job.name, error });
      }
    }
    const args = this.#argsAfterFailure(order, context);
    return { kind: 'failed', error: errorData(thrown), thrown, unrecoverable, args };
  }

  #cancelled(order: AttemptOrder, context: JobContext, cancel: CancelJob, side: 'success' | 'error'): Ended {
    return { kind: 'cancelled', reason: cancel.reason, side, args: this.#argsAfterFailure(order, context) };
  }

  /** An errback that never ends must not hold the slot for ever: it gets as long as the attempt had. */
  #withinTimeout(order: AttemptOrder, work: Promise<void>): Promise<void> {
    const { timeout } = order;
    if (timeout === undefined) return work;
    return new Promise((resolve, reject) => {
      const deadline = this.#deadlines.after(timeout, () => reject(new JobTimeout(timeout)));
      work.then(resolve, reject).finally(() => deadline.cancel());
    });
  }

  #argsAfter(order: AttemptOrder, context: JobContext): string {
    const { job } = order.running;
    return context.argsTouched ? serialise(context.args, `ctx.args of job ${job.name}`) : job.args;
  }

  /** What the failed attempt left; if that can't be carried the args as they were, since the failure itself must get through. */
  #argsAfterFailure(order: AttemptOrder, context: JobContext): string {
    try {
      return this.#argsAfter(order, context);
    } catch {
      return order.running.job.args;
    }
  }
}

/** Callbacks and errbacks get a copy: only changes to `ctx.args` count. */
function snapshot(context: JobContext): unknown {
  return deserialise(serialise(context.args, 'ctx.args'));
}
