import type { Clock } from '../clock.js';
import { DELIVERED_ANEW } from '../job/feedback-delivery.js';
import type { KeptFeedback } from '../job/feedback-record.js';
import { parkedFeedback, type ParkedDone, type ParkedPage, type ParkedPageQuery } from '../job/parked-feedback.js';
import type { FeedbackRows } from './feedback-rows.js';

export interface ParkedParts {
  /** Name of the node that keeps them; null: a distributor does. */
  node: string | null;
  rows: FeedbackRows;
  clock: Clock;
  /** Milliseconds for which a job is remembered that its outbox may send again. */
  dedupRetention: number;
  /** These are to be sent again. */
  again: (feedbacks: readonly KeptFeedback[]) => void;
}

/** Rows of one commit. */
const AT_ONCE = 500;

/** The parked feedbacks of one storage: looked at, sent again or dropped, a page at a time. */
export class ParkedFeedbacks {
  readonly #parts: ParkedParts;

  constructor(parts: ParkedParts) {
    this.#parts = parts;
  }

  /** @throws STORAGE */
  async page(query: ParkedPageQuery): Promise<ParkedPage> {
    const { rows, after } = await this.#rows(query, query.limit);
    return { feedbacks: rows.map((row) => parkedFeedback(row, this.#parts.node)), after };
  }

  /** With all its deliveries. It is written down first. @throws STORAGE */
  async redeliver(query: ParkedPageQuery): Promise<ParkedDone> {
    const { rows, after } = await this.#rows(query, Math.min(query.limit, AT_ONCE));
    await Promise.all(rows.map((row) => this.#parts.rows.save(row, DELIVERED_ANEW)));
    this.#parts.again(rows.map((row) => ({ ...row, ...DELIVERED_ANEW })));
    return { count: rows.length, after };
  }

  /** @throws STORAGE */
  async drop(query: ParkedPageQuery): Promise<ParkedDone> {
    const { rows, after } = await this.#rows(query, Math.min(query.limit, AT_ONCE));
    const until = this.#parts.clock.now() + this.#parts.dedupRetention;
    // Its row has stood for the job so far: an outbox that still has that must find that it has ended.
    const ended = rows.filter(({ final, origin }) => final && origin.storage !== null);
    const tombstones = ended.map(({ jobId }) => ({ id: jobId, until }));
    if (rows.length > 0)
      await this.#parts.rows.forget(
        rows.map(({ id }) => id),
        tombstones,
      );
    return { count: rows.length, after };
  }

  async #rows(
    { id, name, after }: ParkedPageQuery,
    limit: number,
  ): Promise<{ rows: KeptFeedback[]; after: string | null }> {
    const { rows: from } = this.#parts;
    const fits = (row: KeptFeedback): boolean => row.dueAt === null && (name === undefined || row.name === name);
    if (id?.includes(':')) return { rows: (await from.get([id])).filter(fits), after: null };
    // Those of one job stand together: its id is what theirs begin with.
    const start = id !== undefined && (after === null || after < id) ? `${id}:` : after;
    const page = await from.page({ after: start, limit, dueBy: null, ...(name === undefined ? {} : { name }) });
    const rows = page.filter((row) => id === undefined || row.jobId === id);
    const isLast = page.length < limit || rows.length < page.length;
    return { rows, after: isLast ? null : (rows.at(-1)?.id ?? null) };
  }
}
