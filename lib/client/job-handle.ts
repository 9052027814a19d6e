import { Observable } from 'rxjs';
import type { Clock } from '../clock.js';
import { AsyncMoment } from '../job/async-context.js';
import { endOf } from '../job/found-job.js';
import type { ResultOf } from '../job/define-job.js';
import { parseDuration } from '../job/duration.js';
import type { Duration } from '../job/define-job.js';
import type { CancelAnswer } from '../job/job-control.js';
import type { JobGateway } from '../job/job-gateway.js';
import type { JobInterest } from '../job/job-listeners.js';
import { feedbackError, ResultTimeout, ResultUnavailable } from '../job/job.errors.js';
import type { FeedbackRecord } from '../job/feedback-record.js';
import { readObject, refuseUnknown } from '../job/read-option.js';
import { deserialise } from '../job/serialise.js';

/** Jobs enqueued by a plain name have results of any shape. */
export type ResultOfJob<D> = D extends string ? unknown : ResultOf<D>;

export interface WaitOptions {
  /** Longest wait; milliseconds or text such as `'30s'`. Default: none. */
  timeout?: Duration;
}

/** One enqueued job, in the process that enqueued it. */
export class JobHandle<D = unknown> {
  readonly #gateway: JobGateway;
  readonly #clock: Clock;
  readonly #interest: JobInterest;
  #ended: Promise<FeedbackRecord> | undefined;
  #looking: Promise<FeedbackRecord | null> | undefined;

  constructor(
    readonly id: string,
    readonly name: string,
    /** True when the job was there before: its id was known, or it has the `key` of this enqueue, and then `id` is its id. */
    readonly duplicate: boolean,
    parts: { gateway: JobGateway; clock: Clock; interest: JobInterest },
  ) {
    this.#gateway = parts.gateway;
    this.#clock = parts.clock;
    this.#interest = parts.interest;
  }

  /**
   * The job's result, of a periodic job that of its last run.
   * @throws {JobFailed} after the last attempt failed, or the job killed its process too often
   * @throws {JobCancelled} when it was cancelled
   * @throws {ResultTimeout} when `timeout` is over; the job goes on
   * @throws {ResultUnavailable} when it ended and its result is no longer kept
   */
  async result(options: WaitOptions = {}): Promise<ResultOfJob<D>> {
    const feedback = await this.#within(options, () => this.#end());
    if (feedback.status !== 'succeeded') throw feedbackError(feedback);
    return (feedback.result === null ? undefined : deserialise(feedback.result)) as ResultOfJob<D>;
  }

  /** Resolves when a node has committed the job to its storage. @throws {ResultTimeout} */
  stored(options: WaitOptions = {}): Promise<void> {
    return this.#within(options, () => new Promise((resolve) => this.#whenStored(resolve)));
  }

  /** Commits `cancelled`, then aborts the handler's signal if it runs. See {@link CancelAnswer} for the four answers. */
  cancel(reason = 'cancelled by the application'): Promise<CancelAnswer> {
    return this.#gateway.cancel(this.id, reason);
  }

  /**
   * What the handler tells with `ctx.progress(value)` from the time of subscription on: the latest value, at most every
   * 100 ms, and the last one before an attempt ends. A value that is lost with a connection is not told again. Completes
   * when the job ends, however it ends, and when its end can't be learnt any more.
   */
  get progress$(): Observable<unknown> {
    return new Observable((subscriber) => {
      const { listeners } = this.#gateway;
      const here = new AsyncMoment();
      const complete = (): void => subscriber.complete();
      this.#end().then(complete, complete);
      const listen = (): void => {
        if (subscriber.closed || !listeners.has(this.id)) return;
        subscriber.add(listeners.onProgress(this.id, (value) => here.run(() => subscriber.next(deserialise(value)))));
      };
      if (this.#looking) void this.#looking.then(listen, complete);
      else listen();
    });
  }

  #whenStored(stored: () => void): void {
    const { listeners } = this.#gateway;
    // Who is no longer listened for has ended.
    if (this.#interest.isStored || !listeners.has(this.id)) stored();
    else listeners.onStored(this.id, stored);
  }

  #end(): Promise<FeedbackRecord> {
    this.#ended ??= new Promise<FeedbackRecord>((resolve, reject) => {
      const { listeners } = this.#gateway;
      const wait = (): void => listeners.onEnd(this.id, resolve, (why) => reject(new ResultUnavailable(this.id, why)));
      if (this.#interest.end) {
        resolve(this.#interest.end);
      } else if (listeners.has(this.id)) {
        wait();
      } else {
        this.#looking = this.#look();
        this.#looking.then((end) => (end ? resolve(end) : wait()), reject);
      }
    });
    return this.#ended;
  }

  /**
   * Nobody listened when it ended, so only what its node still keeps can answer; null when it goes on, and is listened
   * for from now on.
   */
  async #look(): Promise<FeedbackRecord | null> {
    const found = await this.#gateway.find(this.id);
    if (!found) throw new ResultUnavailable(this.id, 'it has ended and was removed.');
    const end = endOf(found);
    if (!end) this.#gateway.listeners.register(this.id);
    return end;
  }

  /** Bad options reject before anything is asked. */
  async #within<T>(options: WaitOptions, work: () => Promise<T>): Promise<T> {
    refuseUnknown(readObject(options, 'The options', 'INVALID_OPTIONS'), ['timeout'], '', 'INVALID_OPTIONS');
    const { timeout } = options;
    if (timeout === undefined) return work();
    const wait = parseDuration(timeout, 'timeout');
    return new Promise<T>((resolve, reject) => {
      const timer = this.#clock.after(wait, () => reject(new ResultTimeout(this.id, wait)));
      work()
        .then(resolve, reject)
        .finally(() => timer.cancel());
    });
  }
}
