import { randomUUID } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  JobReactorError,
  type FeedbackPage,
  type JobPage,
  type JobStorage,
  type JobWrite,
  type KeptFeedback,
  type StoredJob,
  type WriteResult,
} from '../../lib/index.js';

interface Contents {
  id: string;
  jobs: Record<string, StoredJob>;
  feedbacks: Record<string, KeptFeedback>;
  tombstones: Record<string, number>;
}

const FINAL = ['succeeded', 'failed', 'cancelled', 'dead'];

/** All jobs in one JSON file, written anew with every commit: an example that is short and right, not fast. */
export class JsonFileStorage implements JobStorage {
  readonly durable = true;
  readonly driverName = 'a JSON file';
  #contents: Contents | undefined;

  constructor(private readonly file: string) {}

  async open(): Promise<{ id: string }> {
    await mkdir(dirname(this.file), { recursive: true });
    // Nobody else may have it open. A process that was killed leaves this behind; a real storage needs more than that.
    await mkdir(`${this.file}.lock`).catch((cause: unknown) => {
      throw new JobReactorError('STORAGE_IN_USE', `${this.file} is open already. Remove ${this.file}.lock if not.`, {
        cause,
      });
    });
    const text = await readFile(this.file, 'utf8').catch(() => null);
    const empty: Contents = { id: randomUUID(), jobs: {}, feedbacks: {}, tombstones: {} };
    this.#contents = text === null ? empty : (JSON.parse(text) as Contents);
    if (text === null) await this.#write(empty);
    return { id: this.#contents.id };
  }

  /** All or nothing, and on the disk before it resolves. */
  async commit(writes: readonly JobWrite[]): Promise<WriteResult[]> {
    const next = structuredClone(this.#open());
    const results: WriteResult[] = [];
    // The order is part of the contract: a feedback that comes and is forgotten in one commit is not kept.
    for (const kind of ['insert', 'start', 'save', 'delete', 'save-delivery', 'forget-feedback']) {
      writes.forEach((write, i) => {
        if (write.kind === kind) results[i] = apply(next, write);
      });
    }
    await this.#write(next);
    this.#contents = next;
    return results;
  }

  async unfinished({ after, limit }: JobPage): Promise<StoredJob[]> {
    const later = (job: StoredJob): boolean => !after || byDue(job, after) > 0;
    return this.#jobs((job) => !FINAL.includes(job.status) && later(job), byDue, limit);
  }

  async countUnfinished(): Promise<number> {
    return this.#jobs((job) => !FINAL.includes(job.status), byId, Infinity).length;
  }

  async get(ids: readonly string[]): Promise<StoredJob[]> {
    return this.#jobs((job) => ids.includes(job.id), byId, Infinity);
  }

  async list({ status, name, after, limit }: Parameters<JobStorage['list']>[0]): Promise<StoredJob[]> {
    const fits = (job: StoredJob): boolean =>
      (status === undefined || job.status === status) &&
      (name === undefined || job.name === name) &&
      (after === undefined || job.id > after);
    return this.#jobs(fits, byId, limit);
  }

  async feedbacks({ after, limit, dueBy, name }: FeedbackPage): Promise<KeptFeedback[]> {
    const isDue = ({ dueAt }: KeptFeedback): boolean =>
      dueBy === undefined || (dueBy === null ? dueAt === null : dueAt !== null && dueAt <= dueBy);
    const fits = (row: KeptFeedback): boolean =>
      isDue(row) && (after === null || row.id > after) && (name === undefined || row.name === name);
    return structuredClone(Object.values(this.#open().feedbacks).filter(fits).sort(byId).slice(0, limit));
  }

  async getFeedbacks(ids: readonly string[]): Promise<KeptFeedback[]> {
    return structuredClone(Object.values(this.#open().feedbacks).filter(({ id }) => ids.includes(id)));
  }

  async close(): Promise<void> {
    if (!this.#contents) return;
    this.#contents = undefined;
    await rm(`${this.file}.lock`, { recursive: true, force: true });
  }

  #jobs(fits: (job: StoredJob) => boolean, order: (a: StoredJob, b: StoredJob) => number, limit: number): StoredJob[] {
    return structuredClone(Object.values(this.#open().jobs).filter(fits).sort(order).slice(0, limit));
  }

  #open(): Contents {
    if (!this.#contents) throw new JobReactorError('STORAGE', `${this.file} is not open.`);
    return this.#contents;
  }

  /** To a file beside it, to the disk, and then in its place: a power cut leaves the one or the other. */
  async #write(contents: Contents): Promise<void> {
    const beside = `${this.file}.new`;
    const file = await open(beside, 'w');
    try {
      await file.writeFile(JSON.stringify(contents));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, this.file);
    const folder = await open(dirname(this.file));
    await folder.sync().finally(() => folder.close());
  }
}

function apply(contents: Contents, write: JobWrite): WriteResult {
  const { jobs, feedbacks, tombstones } = contents;
  if (write.kind === 'forget-feedback') {
    for (const id of write.ids) delete feedbacks[id];
    for (const { id, until } of write.tombstones ?? []) tombstones[id] = until;
    return 'done';
  }
  if (write.kind === 'save-delivery') {
    const feedback = feedbacks[write.feedbackId];
    if (feedback) Object.assign(feedback, write.delivery);
    return 'done';
  }
  if (write.kind === 'insert') {
    const { job } = write;
    if (!Number.isFinite(job.dueAt)) return { error: new RangeError('dueAt has to be a finite number.') };
    const known = jobs[job.id];
    if (known) known.assignment = Math.max(known.assignment, job.assignment);
    const ended = Object.values(feedbacks).some(({ jobId }) => jobId === job.id);
    if (known || ended || (tombstones[job.id] ?? 0) > Date.now()) return 'duplicate';
    jobs[job.id] = structuredClone(job);
    return 'done';
  }
  if (write.kind === 'claim') return 'stale'; // Only where several processes share a database.
  const row = jobs[write.id];
  // Whoever was late, as its job changed meanwhile, must not write.
  if (!row || row.fence !== write.fence) return 'stale';
  if (write.kind === 'start') {
    if (FINAL.includes(row.status)) return 'stale';
    const { status, attempt, fence, startedAt } = write.change;
    Object.assign(row, { status, attempt, fence, startedAt });
    return 'done';
  }
  if (write.kind === 'save') {
    if (!Number.isFinite(write.change.dueAt)) return { error: new RangeError('dueAt has to be a finite number.') };
    // What a job is does not change: the rest of `change`, if it has more, is left out.
    const { id, name, options, priority, enqueuedAt, runAt, origin, listeners, givenId } = row;
    Object.assign(row, write.change, { id, name, options, priority, enqueuedAt, runAt, origin, listeners, givenId });
  } else {
    delete jobs[write.id];
    if (write.tombstoneUntil !== undefined) tombstones[write.id] = write.tombstoneUntil;
  }
  const { feedback } = write;
  if (feedback) feedbacks[feedback.id] = { ...structuredClone(feedback), failures: 0, dueAt: 0, lastError: null };
  return 'done';
}

const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1);
const byDue = (a: { dueAt: number; id: string }, b: { dueAt: number; id: string }): number =>
  a.dueAt - b.dueAt || (a.id === b.id ? 0 : byId(a, b));
