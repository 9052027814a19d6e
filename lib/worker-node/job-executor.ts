import type { Clock } from '../clock.js';
import { JobContext } from '../handlers/job-context.js';
import type { JobAttempt, JobHandler } from '../handlers/job-handler.js';
import { CancelJob, errorData, JobTimeout, Snooze } from '../job/job.errors.js';
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
    try {
      return this.#attempt(order);
    } catch (thrown) {
      return Promise.resolve(failure(order, thrown));
    }
  }

  #attempt(order: AttemptOrder): Promise<JobOutcome> {
    const { running } = order;
    const { job } = running;
    // Its start took so long to commit that it was cancelled, or the lease lost, before it began.
    if (running.aborted) return Promise.resolve({ kind: 'interrupted' });
    const context = new JobContext({
      job: () => jobInfo(job, this.#node),
      fence: job.fence,
      readArgs: () => deserialise(job.args),
      signal: () => running.signal(),
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
    return new Promise((resolve) => {
      const ended = (outcome: JobOutcome): void => {
        this.#watch.ended(job);
        deadline?.cancel();
        resolve(outcome);
      };
      // Not assigned at once: V8 puts a function that is written as the value of a property among the old objects,
      // where it keeps all of its job from the collections of young ones.
      const aborted = (reason: Error): void => {
        if (!inThread) this.#watch.left(job, work);
        void this.#aborted(order, attempt, context, inThread, reason).then(ended);
      };
      running.whenAborted = aborted;
      work.then(
        (outcome) => {
          if (running.aborted) return; // The abort came first, and nobody waits for this.
          running.whenAborted = undefined;
          ended(outcome);
        },
        (thrown: unknown) => running.aborted ?? ended(failure(order, thrown)),
      );
    });
  }

  /** The handler is not waited for. */
  async #aborted(
    order: AttemptOrder,
    attempt: JobAttempt,
    context: JobContext,
    inThread: Promise<ThreadAnswer> | undefined,
    reason: Error,
  ): Promise<JobOutcome> {
    if (!(reason instanceof JobTimeout)) return { kind: 'interrupted' };
    // A thread ends in any case, so the next attempt never meets this one; a handler here may go on.
    if (inThread) await this.#inThread(inThread, context).catch(() => undefined);
    return this.#failed(order, attempt, context, reason).catch((thrown: unknown) => failure(order, thrown));
  }

  #deadline(order: AttemptOrder): { cancel(): void } | undefined {
    const { timeout, running } = order;
    return timeout === undefined
      ? undefined
      : this.#deadlines.after(timeout, () => running.abort(new JobTimeout(timeout)));
  }

  /** No promise more than there has to be: every job gets here. It rejects only when the attempt was aborted. */
  #perform(
    order: AttemptOrder,
    attempt: JobAttempt,
    context: JobContext,
    inThread: Promise<ThreadAnswer> | undefined,
  ): Promise<Ended> {
    const { handler, running } = order;
    const failed = (error: unknown): Promise<Ended> => {
      // After an abort nobody waits here; errbacks are then run by whoever aborted.
      if (running.aborted) throw error;
      return this.#failed(order, attempt, context, error);
    };
    const done = (value: unknown): Ended | Promise<Ended> => {
      try {
        const result = inThread ? (value as string) : serialise(value, `the result of job ${handler.name}`);
        if (handler.callbacks > 0) return this.#callbacks(order, attempt, context, result).catch(failed);
        return { kind: 'succeeded', result, args: this.#argsAfter(order, context) };
      } catch (error) {
        return failed(error);
      }
    };
    try {
      return (inThread ? this.#inThread(inThread, context) : this.#here(order, attempt)).then(done, failed);
    } catch (error) {
      return failed(error);
    }
  }

  #here({ handler, running }: AttemptOrder, attempt: JobAttempt): Promise<unknown> {
    const payload = readPayload(handler, running.job.args);
    return handler.schema
      ? (payload as Promise<unknown>).then((checked) => attempt.job(checked))
      : attempt.job(payload);
  }

  async #callbacks(order: AttemptOrder, attempt: JobAttempt, context: JobContext, result: string): Promise<Ended> {
    for (let index = 0; index < order.handler.callbacks; index++) {
      if (order.running.aborted) throw order.running.aborted;
      await attempt.onSuccess(index, snapshot(context));
    }
    return { kind: 'succeeded', result, args: this.#argsAfter(order, context) };
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

/** What went wrong outside of the handler, too, is its attempt's failure. */
function failure({ running }: AttemptOrder, thrown: unknown): JobOutcome {
  return { kind: 'failed', error: errorData(thrown), thrown, unrecoverable: false, args: running.job.args };
}

/** Callbacks and errbacks get a copy: only changes to `ctx.args` count. */
function snapshot(context: JobContext): unknown {
  return deserialise(serialise(context.args, 'ctx.args'));
}
