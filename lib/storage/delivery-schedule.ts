import { ChurningSet } from '../churning-set.js';
import { ChurningMap } from '../churning-map.js';
import type { Clock, ClockTimer } from '../clock.js';
import { deliveryFailed } from '../job/feedback-delivery.js';
import type { KeptFeedback } from '../job/feedback-record.js';
import type { ErrorData } from '../job/job.js';
import type { EmitEvent } from '../job-reactor.events.js';
import { TimerQueue } from '../timer-queue.js';
import type { FeedbackRows } from './feedback-rows.js';

export interface ScheduleParts {
  /** Whose feedbacks, for the log: `node 'gpu'`. */
  role: string;
  rows: FeedbackRows;
  maxDeliveries: number;
  clock: Clock;
  emit: EmitEvent;
  /** These may be sent. One may be told more than once. */
  due: (feedbacks: readonly KeptFeedback[]) => void;
}

const PAGE = 1_000;
/** Milliseconds until a read that failed is tried again. */
const AGAIN_AFTER = 1_000;
/** Feedbacks whose time is known here, without what they say; of more than these it is read when they have become few. */
const MOST = 100_000;

/**
 * When feedbacks are sent again whose methods threw: any number of them over one timer, and no look at the storage
 * before one is due. What it knows of them is in their rows as well, and found there by the next process.
 */
export class DeliverySchedule {
  readonly #parts: ScheduleParts;
  readonly #timers: TimerQueue;
  readonly #deferred = new ChurningMap<string, ClockTimer>();
  /** What came of their delivery is on its way into their rows, so what the rows say is out of date. */
  readonly #saving = new ChurningSet<string>();
  #due: string[] = [];
  #moreInStorage = false;
  #scanning = false;
  #scanAgain = false;
  #again: ClockTimer | undefined;
  #stopped = false;

  constructor(parts: ScheduleParts) {
    this.#parts = parts;
    this.#timers = new TimerQueue(parts.clock, 'wall', false);
  }

  /** True when it is not to be sent now. */
  has(id: string): boolean {
    return (this.#deferred.size > 0 && this.#deferred.has(id)) || (this.#saving.size > 0 && this.#saving.has(id));
  }

  /** The application's methods threw. Resolves when that is written down, as far as the storage takes it. */
  async failed(feedback: KeptFeedback, error: ErrorData): Promise<void> {
    const { rows, clock, maxDeliveries, role, emit } = this.#parts;
    const { id, jobId, name } = feedback;
    const delivery = deliveryFailed(feedback, error, clock.now(), maxDeliveries);
    this.#saving.add(id);
    await rows.save(feedback, delivery).catch((failure: unknown) => this.#failed(failure));
    this.#saving.delete(id);
    const { failures, dueAt } = delivery;
    if (dueAt !== null) return this.defer({ id, dueAt });
    emit({ event: 'feedback parked', role, feedback: id, id: jobId, name, failures, error });
  }

  /** It is due later. */
  defer({ id, dueAt }: { id: string; dueAt: number }): void {
    if (this.#stopped) return;
    this.#deferred.get(id)?.cancel();
    if (this.#deferred.size >= MOST && !this.#deferred.has(id)) return void (this.#moreInStorage = true);
    this.#deferred.set(
      id,
      this.#timers.at(dueAt, () => this.#fire(id)),
    );
  }

  /** It is sent now, or gone. */
  forget(id: string): void {
    if (this.#deferred.size === 0) return;
    this.#deferred.get(id)?.cancel();
    this.#deferred.delete(id);
  }

  /** Looks through all rows that are not parked: gives those that are due, and takes the times of the others. */
  async scan(): Promise<void> {
    // What has come meanwhile may be behind the place where a scan is.
    if (this.#scanning) return void (this.#scanAgain = true);
    this.#scanning = true;
    do {
      this.#scanAgain = false;
      await this.#scan();
    } while (this.#scanAgain && !this.#stopped);
    this.#scanning = false;
  }

  stop(): void {
    this.#stopped = true;
    this.#timers.stop();
    this.#again?.cancel();
  }

  async #scan(): Promise<void> {
    const { rows, clock, due } = this.#parts;
    this.#moreInStorage = false;
    try {
      for (let after: string | null = null; !this.#stopped;) {
        const page: KeptFeedback[] = await rows.page({ after, limit: PAGE, dueBy: Number.MAX_SAFE_INTEGER });
        if (this.#stopped) return;
        const now = clock.now();
        const fresh = page.filter(({ id }) => !this.has(id));
        for (const { id, dueAt } of fresh) if (dueAt !== null && dueAt > now) this.defer({ id, dueAt });
        due(fresh.filter(({ dueAt }) => dueAt !== null && dueAt <= now));
        if (page.length < PAGE) return;
        after = page.at(-1)?.id ?? null;
      }
    } catch (error) {
      this.#failed(error);
      if (!this.#stopped) this.#again = clock.after(AGAIN_AFTER, () => void this.scan(), false);
    }
  }

  #fire(id: string): void {
    this.#deferred.delete(id);
    if (this.#due.push(id) === 1) this.#parts.clock.endOfTick(() => void this.#load());
  }

  async #load(): Promise<void> {
    const { rows, clock, due } = this.#parts;
    const ids = this.#due;
    this.#due = [];
    try {
      for (let from = 0; from < ids.length && !this.#stopped; from += PAGE) {
        const page = await rows.get(ids.slice(from, from + PAGE));
        const now = clock.now();
        for (const { id, dueAt } of page) if (dueAt !== null && dueAt > now) this.defer({ id, dueAt });
        due(page.filter(({ id, dueAt }) => dueAt !== null && dueAt <= now && !this.has(id)));
      }
    } catch (error) {
      this.#failed(error);
      for (const id of ids) this.defer({ id, dueAt: clock.now() + AGAIN_AFTER });
    }
    if (this.#moreInStorage && this.#deferred.size < MOST / 2) await this.scan();
  }

  #failed(error: unknown): void {
    const { emit, role } = this.#parts;
    if (!this.#stopped) emit({ event: 'storage failed', role, error });
  }
}
