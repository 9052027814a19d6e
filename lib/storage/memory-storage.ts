import { ChurningMap } from '../churning-map.js';
import { randomUUID } from 'node:crypto';
import type { Clock } from '../clock.js';
import { JobReactorError } from '../job-reactor.error.js';
import { feedbackId, undelivered, type FeedbackRecord, type KeptFeedback } from '../job/feedback-record.js';
import type { StoredJob } from '../job/job.js';
import { isFinal, type JobStatus } from '../job/job-status.js';
import { MemoryKeys } from './memory-keys.js';
import { MemorySchedules } from './memory-schedules.js';
import type {
  FeedbackPage,
  JobChange,
  JobPage,
  JobStorage,
  JobWrite,
  StorageOwner,
  WriteResult,
} from './job-storage.js';

const PRUNE_EVERY = 3_600_000;

/** Keeps jobs in this process and loses them with it. Same rules as a database: fences, tombstones, copies. */
export class MemoryStorage implements JobStorage {
  readonly durable = false;
  readonly inOrder = true;
  private isOpen = false;
  private readonly jobs = new ChurningMap<string, StoredJob>();
  private readonly feedbackRows = new ChurningMap<string, KeptFeedback>();
  /** How many a job has of later runs; of the first, which is all that most have, the id is known. */
  private readonly laterFeedbacks = new ChurningMap<string, number>();
  private readonly tombstones = new Map<string, number>();
  readonly keys = new MemoryKeys((job) => this.insert(job));
  readonly schedules = new MemorySchedules((job) => this.insert(job));
  private prunedAt = 0;

  constructor(private readonly clock: Clock) {}

  open(_owner: StorageOwner): Promise<{ id: string }> {
    this.isOpen = true;
    this.prunedAt = this.clock.now();
    return Promise.resolve({ id: randomUUID() });
  }

  async commit(writes: readonly JobWrite[]): Promise<WriteResult[]> {
    this.assertOpen();
    this.pruneTombstones();
    // Forgets come last, as in a database.
    const results = writes.map((write) => this.apply(write));
    for (const write of writes) {
      if (write.kind !== 'forget-feedback') continue;
      write.ids.forEach((id) => this.forget(id));
      for (const { id, until } of write.tombstones ?? []) this.tombstones.set(id, until);
    }
    return results;
  }

  async unfinished({ after, limit }: JobPage): Promise<StoredJob[]> {
    this.assertOpen();
    const wanted = function* (jobs: Iterable<StoredJob>): Iterable<StoredJob> {
      for (const job of jobs) if (!isFinal(job.status) && (!after || byDue(job, after) > 0)) yield job;
    };
    return smallest(wanted(this.jobs.values()), limit, byDue).map(copy);
  }

  async countUnfinished(): Promise<number> {
    this.assertOpen();
    let count = 0;
    for (const job of this.jobs.values()) if (!isFinal(job.status)) count++;
    return count;
  }

  async get(ids: readonly string[]): Promise<StoredJob[]> {
    this.assertOpen();
    return [...new Set(ids)].flatMap((id) => this.jobs.get(id) ?? []).map(copy);
  }

  async list(filter: { status?: JobStatus; name?: string; after?: string; limit: number }): Promise<StoredJob[]> {
    this.assertOpen();
    const { status, name, after, limit } = filter;
    const wanted = function* (jobs: Iterable<StoredJob>): Iterable<StoredJob> {
      for (const job of jobs) {
        if (status !== undefined && job.status !== status) continue;
        if (name !== undefined && job.name !== name) continue;
        if (after === undefined || job.id > after) yield job;
      }
    };
    return smallest(wanted(this.jobs.values()), limit, byId).map(copy);
  }

  async feedbacks({ after, limit, dueBy, name }: FeedbackPage): Promise<KeptFeedback[]> {
    this.assertOpen();
    const wanted = function* (rows: Iterable<KeptFeedback>): Iterable<KeptFeedback> {
      for (const row of rows) {
        if (dueBy === null ? row.dueAt !== null : dueBy !== undefined && !(row.dueAt !== null && row.dueAt <= dueBy))
          continue;
        if ((after === null || row.id > after) && (name === undefined || row.name === name)) yield row;
      }
    };
    return smallest(wanted(this.feedbackRows.values()), limit, byId).map(copy);
  }

  async getFeedbacks(ids: readonly string[]): Promise<KeptFeedback[]> {
    this.assertOpen();
    return [...new Set(ids)].flatMap((id) => this.feedbackRows.get(id) ?? []).map(copy);
  }

  close(): Promise<void> {
    this.isOpen = false;
    this.jobs.clear();
    this.feedbackRows.clear();
    this.laterFeedbacks.clear();
    this.tombstones.clear();
    this.schedules.clear();
    return Promise.resolve();
  }

  private apply(write: JobWrite): WriteResult {
    if (write.kind === 'insert') return this.insert(write.job);
    if (write.kind === 'claim') return 'stale';
    if (write.kind === 'forget-feedback') return 'done';
    if (write.kind === 'save-delivery') return this.saveDelivery(write);
    const row = this.jobs.get(write.id);
    if (!row || row.fence !== write.fence) return 'stale';
    if (write.kind === 'start') {
      if (isFinal(row.status)) return 'stale';
      applyStart(row, write.change);
    } else if (write.kind === 'delete') {
      this.jobs.delete(write.id);
      if (write.tombstoneUntil !== undefined) this.tombstones.set(write.id, write.tombstoneUntil);
    } else {
      if (!Number.isFinite(write.change.dueAt)) return refusedDueAt();
      applyChange(row, write.change);
    }
    if (write.kind !== 'start' && write.feedback) this.keepFeedback(write.feedback);
    return 'done';
  }

  private insert(job: StoredJob): WriteResult {
    const known = this.jobs.get(job.id);
    if (known) {
      known.assignment = Math.max(known.assignment, job.assignment);
      return 'duplicate';
    }
    if (this.hasFeedback(job.id)) return 'duplicate';
    if (this.tombstones.size > 0 && (this.tombstones.get(job.id) ?? -Infinity) > this.clock.now()) return 'duplicate';
    // A database has NOT NULL for this; here it would break the order of the pages.
    if (!Number.isFinite(job.dueAt)) return refusedDueAt();
    this.jobs.set(job.id, copy(job));
    return 'done';
  }

  private hasFeedback(jobId: string): boolean {
    if (this.feedbackRows.size === 0) return false;
    if (this.laterFeedbacks.size > 0 && this.laterFeedbacks.has(jobId)) return true;
    return this.feedbackRows.has(feedbackId(jobId, 1));
  }

  private keepFeedback(feedback: FeedbackRecord): void {
    const { id, jobId, job } = feedback;
    if (job.run !== 1 && !this.feedbackRows.has(id))
      this.laterFeedbacks.set(jobId, (this.laterFeedbacks.get(jobId) ?? 0) + 1);
    this.feedbackRows.set(id, undelivered(feedback));
  }

  private saveDelivery({ feedbackId, delivery }: Extract<JobWrite, { kind: 'save-delivery' }>): WriteResult {
    const row = this.feedbackRows.get(feedbackId);
    if (!row) return 'done';
    row.failures = delivery.failures;
    row.dueAt = delivery.dueAt;
    row.lastError = delivery.lastError;
    return 'done';
  }

  private forget(id: string): void {
    const feedback = this.feedbackRows.get(id);
    if (!feedback) return;
    this.feedbackRows.delete(id);
    if (feedback.job.run === 1) return;
    const left = (this.laterFeedbacks.get(feedback.jobId) ?? 1) - 1;
    if (left > 0) this.laterFeedbacks.set(feedback.jobId, left);
    else this.laterFeedbacks.delete(feedback.jobId);
  }

  private pruneTombstones(): void {
    const now = this.clock.now();
    if (now - this.prunedAt < PRUNE_EVERY) return;
    this.prunedAt = now;
    for (const [id, until] of this.tombstones) if (until <= now) this.tombstones.delete(id);
  }

  private assertOpen(): void {
    if (!this.isOpen) throw new JobReactorError('STORAGE', 'The memory storage is not open.');
  }
}

export const memoryStorage = (clock: Clock): JobStorage => new MemoryStorage(clock);

const copy = <T extends object>(value: T): T => ({ ...value });

const refusedDueAt = (): WriteResult => ({ error: new RangeError('dueAt has to be a finite number.') });

const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
const byDue = (a: { dueAt: number; id: string }, b: { dueAt: number; id: string }): number =>
  a.dueAt - b.dueAt || byId(a, b);

/** The first `limit` items in order, without sorting all of them: a page of a million jobs must stay cheap. */
function smallest<T>(items: Iterable<T>, limit: number, compare: (a: T, b: T) => number): T[] {
  if (limit <= 0) return [];
  let kept: T[] = [];
  let last: T | undefined;
  for (const item of items) {
    if (last !== undefined && compare(item, last) >= 0) continue;
    kept.push(item);
    if (kept.length < limit * 2) continue;
    kept = kept.sort(compare).slice(0, limit);
    last = kept[limit - 1];
  }
  return kept.sort(compare).slice(0, limit);
}

function applyStart(row: StoredJob, change: JobChange): void {
  row.status = change.status;
  row.attempt = change.attempt;
  row.fence = change.fence;
  row.startedAt = change.startedAt;
}

// Field by field: `change` may be a whole StoredJob, and what a job is must not change with it.
function applyChange(row: StoredJob, change: JobChange): void {
  row.assignment = change.assignment;
  row.holder = change.holder;
  row.fence = change.fence;
  row.status = change.status;
  row.run = change.run;
  row.attempt = change.attempt;
  row.crashes = change.crashes;
  row.dueAt = change.dueAt;
  row.args = change.args;
  row.startedAt = change.startedAt;
  row.failedAt = change.failedAt;
  row.finishedAt = change.finishedAt;
  row.lastError = change.lastError;
  row.result = change.result;
}
