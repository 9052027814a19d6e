import { ChurningMap } from '../churning-map.js';
import type { FeedbackRecord } from '../job/feedback-record.js';
import { resultBytes } from '../protocol/result-messages.js';
import type { DistributorLink } from './distributor-link.js';

/** Bytes of feedbacks in memory above which no job starts: what they would have to tell has no place. */
export const MOST_UNHEARD = 64 * 1024 * 1024;

/**
 * The bytes of feedbacks that are nowhere but in this process: all that a storage in memory keeps, and with any storage
 * those that are sent once and wait for credit.
 */
export class UnheardBytes {
  /** Of those in a storage in memory, by feedback id. */
  readonly #kept = new ChurningMap<string, number>();
  readonly #waiting = new Map<DistributorLink, FeedbackRecord[]>();
  readonly #durable: boolean;
  readonly #heardMore: () => void;
  #bytes = 0;

  /** `heardMore` is called when it is full no more. */
  constructor(durable: boolean, heardMore: () => void) {
    this.#durable = durable;
    this.#heardMore = heardMore;
  }

  get isFull(): boolean {
    return this.#bytes >= MOST_UNHEARD;
  }

  /** It has a row. */
  add(feedback: FeedbackRecord): void {
    if (this.#durable) return;
    const bytes = resultBytes(feedback);
    this.#change(bytes - (this.#kept.get(feedback.id) ?? 0));
    this.#kept.set(feedback.id, bytes);
  }

  /** Its row is gone. */
  forget(ids: readonly string[]): void {
    if (this.#durable) return;
    let bytes = 0;
    for (const id of ids) {
      bytes += this.#kept.get(id) ?? 0;
      this.#kept.delete(id);
    }
    this.#change(-bytes);
  }

  /** It has none, and waits for credit. */
  wait(link: DistributorLink, feedback: FeedbackRecord): void {
    const waiting = this.#waiting.get(link);
    if (waiting) waiting.push(feedback);
    else this.#waiting.set(link, [feedback]);
    this.#change(resultBytes(feedback));
  }

  /** Sends those that may go now. */
  flush(): void {
    for (const [link, waiting] of this.#waiting) {
      let sent = 0;
      let bytes = 0;
      while (sent < waiting.length && link.report(waiting[sent]!)) bytes += resultBytes(waiting[sent++]!);
      if (sent === waiting.length) this.#waiting.delete(link);
      else waiting.splice(0, sent);
      this.#change(-bytes);
    }
  }

  /** What was to be sent on it once is not sent any more. */
  lost(link: DistributorLink): void {
    const waiting = this.#waiting.get(link) ?? [];
    this.#waiting.delete(link);
    this.#change(-waiting.reduce((sum, feedback) => sum + resultBytes(feedback), 0));
  }

  #change(bytes: number): void {
    const wasFull = this.isFull;
    this.#bytes += bytes;
    if (wasFull && !this.isFull) this.#heardMore();
  }
}
