import { ChurningMap } from '../churning-map.js';
import { undelivered, type FeedbackDelivery, type FeedbackRecord, type KeptFeedback } from '../job/feedback-record.js';
import type { FeedbackPage, JobStorage, JobWrite, Tombstone } from './job-storage.js';

/** The feedbacks that a process keeps until they are acknowledged, wherever they lie. */
export interface FeedbackRows {
  /** In id order. @throws STORAGE */
  page(page: FeedbackPage): Promise<KeptFeedback[]>;
  /** In any order; unknown ids are left out. @throws STORAGE */
  get(ids: readonly string[]): Promise<KeptFeedback[]>;
  /** An unknown id is no error. @throws STORAGE */
  save(feedback: Pick<FeedbackRecord, 'id' | 'jobId'>, delivery: FeedbackDelivery): Promise<void>;
  /** Unknown ids are no error; `tombstones` takes the place of what may come again. @throws STORAGE */
  forget(ids: readonly string[], tombstones?: readonly Tombstone[]): Promise<void>;
}

/** Those in a storage. They come there with the ends of their jobs. */
export class StoredFeedbacks implements FeedbackRows {
  constructor(
    private readonly storage: JobStorage,
    private readonly write: (write: JobWrite) => Promise<unknown>,
  ) {}

  page(page: FeedbackPage): Promise<KeptFeedback[]> {
    return this.storage.feedbacks(page);
  }

  get(ids: readonly string[]): Promise<KeptFeedback[]> {
    return this.storage.getFeedbacks(ids);
  }

  async save({ id, jobId }: Pick<FeedbackRecord, 'id' | 'jobId'>, delivery: FeedbackDelivery): Promise<void> {
    await this.write({ kind: 'save-delivery', feedbackId: id, jobId, delivery });
  }

  async forget(ids: readonly string[], tombstones: readonly Tombstone[] = []): Promise<void> {
    await this.write({ kind: 'forget-feedback', ids, ...(tombstones.length > 0 ? { tombstones } : {}) });
  }
}

/** Those of a process without a storage: they go with it. */
export class FeedbacksInMemory implements FeedbackRows {
  private readonly rows = new ChurningMap<string, KeptFeedback>();

  add(feedback: FeedbackRecord): void {
    this.rows.set(feedback.id, undelivered(feedback));
  }

  async page({ after, limit, dueBy, name }: FeedbackPage): Promise<KeptFeedback[]> {
    const fits = (row: KeptFeedback): boolean =>
      (after === null || row.id > after) &&
      (name === undefined || row.name === name) &&
      (dueBy === undefined || (dueBy === null ? row.dueAt === null : row.dueAt !== null && row.dueAt <= dueBy));
    return [...this.rows.values()]
      .filter(fits)
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .slice(0, limit);
  }

  async get(ids: readonly string[]): Promise<KeptFeedback[]> {
    return ids.flatMap((id) => this.rows.get(id) ?? []);
  }

  async save({ id }: Pick<FeedbackRecord, 'id'>, delivery: FeedbackDelivery): Promise<void> {
    const row = this.rows.get(id);
    if (row) this.rows.set(id, { ...row, ...delivery });
  }

  async forget(ids: readonly string[]): Promise<void> {
    for (const id of ids) this.rows.delete(id);
  }
}
