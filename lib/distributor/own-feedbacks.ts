import { ChurningSet } from '../churning-set.js';
import type { Clock } from '../clock.js';
import { undelivered, type FeedbackRecord, type KeptFeedback } from '../job/feedback-record.js';
import { errorData } from '../job/job.errors.js';
import type { EmitEvent } from '../job-reactor.events.js';
import { DeliverySchedule } from '../storage/delivery-schedule.js';
import type { FeedbackRows } from '../storage/feedback-rows.js';
import type { Told } from './feedback-runner.js';

export interface OwnFeedbackParts {
  distributor: string;
  rows: FeedbackRows;
  /** Whether one of a job that ended here is among the rows. */
  keeps: (feedback: FeedbackRecord) => boolean;
  maxDeliveries: number;
  clock: Clock;
  emit: EmitEvent;
  tell: (feedback: FeedbackRecord) => Promise<Told>;
}

/** The feedbacks of jobs that ended here, before a node had them: told until they are heard, by this process or the next. */
export class OwnFeedbacks {
  readonly #parts: OwnFeedbackParts;
  readonly #schedule: DeliverySchedule;
  readonly #telling = new ChurningSet<string>();
  #stopped = false;

  constructor(parts: OwnFeedbackParts) {
    const { distributor, rows, maxDeliveries, clock, emit } = parts;
    this.#parts = parts;
    const role = `distributor '${distributor}'`;
    this.#schedule = new DeliverySchedule({
      role,
      rows,
      maxDeliveries,
      clock,
      emit,
      due: (feedbacks) => this.again(feedbacks),
    });
  }

  /** Takes up what the outbox has: left by an earlier process, or taken over from another. */
  scan(): void {
    void this.#schedule.scan();
  }

  /** Resolves when it has been told once, whatever came of it. */
  deliver(feedback: FeedbackRecord): Promise<void> {
    return this.#deliver(undelivered(feedback));
  }

  /** One that is kept here was told, and a method threw. */
  async toldInVain(feedback: FeedbackRecord, error: unknown): Promise<void> {
    if (this.#parts.keeps(feedback)) await this.#schedule.failed(undelivered(feedback), errorData(error));
  }

  again(feedbacks: readonly KeptFeedback[]): void {
    for (const feedback of feedbacks) {
      this.#schedule.forget(feedback.id);
      void this.#deliver(feedback);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#schedule.stop();
  }

  async #deliver(feedback: KeptFeedback): Promise<void> {
    const { id, name, listeners } = feedback;
    const { distributor, rows, keeps, emit, tell } = this.#parts;
    if (this.#telling.has(id) || this.#stopped) return;
    this.#telling.add(id);
    try {
      const told = await tell(feedback);
      if (!keeps(feedback)) return;
      if (told === 'undeclared' && listeners === 'declared') emit({ event: 'feedback waits', distributor, name });
      else if (typeof told === 'object') await this.#schedule.failed(feedback, errorData(told.failed));
      // Closures went with their process. Should this fail, it is told once more after the next start.
      else await rows.forget([id]).catch(() => undefined);
    } finally {
      this.#telling.delete(id);
    }
  }
}
