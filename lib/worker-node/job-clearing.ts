import { foundJob, type FoundJob } from '../job/found-job.js';
import { isInGroup, type FoundPage, type JobFilter, type JobPageQuery } from '../job/job-query.js';
import type { StoredJob } from '../job/job.js';
import { isFinal } from '../job/job-status.js';
import type { JobStorage } from '../storage/job-storage.js';
import type { Completed, JobCompleter } from './job-completer.js';
import type { JobScheduler } from './job-scheduler.js';
import type { RunningJob } from './running-jobs.js';

export interface ClearingParts {
  node: string;
  storage: JobStorage;
  scheduler: JobScheduler;
  running: ReadonlyMap<string, RunningJob>;
  completer: JobCompleter;
}

/** Rows of one read: each may hold almost 2 MB of args and result, and jobs that run need the memory too. */
const ROWS = 50;
/** Characters of args and results after which a page ends. */
const PAGE_SIZE = 1024 * 1024;
/** Rows after which a page ends, however few of them fit: whoever asks waits 5 s for an answer. */
const MOST_LOOKED = 5_000;

export interface Removed {
  removed: number;
  skipped: number;
  /** Those that had not ended: their feedback is to be reported. */
  ended: Completed[];
}

/** Looks at many stored jobs, and clears them up. Always a page at a time, so that jobs run in between. */
export class JobClearing {
  readonly #parts: ClearingParts;

  constructor(parts: ClearingParts) {
    this.#parts = parts;
  }

  async page(query: JobPageQuery): Promise<FoundPage> {
    const jobs: FoundJob[] = [];
    let { after } = query;
    for (let [size, looked] = [0, 0]; jobs.length < query.limit && size < PAGE_SIZE && looked < MOST_LOOKED;) {
      const wanted = Math.min(ROWS, query.limit - jobs.length);
      const rows = await this.#rows(query, after, wanted);
      for (const row of rows) {
        after = row.id;
        looked++;
        if (!isInGroup(query.group, row.options)) continue;
        jobs.push(foundJob(row, this.#parts.node));
        size += row.args.length + (row.result?.length ?? 0);
        if (size >= PAGE_SIZE) break;
      }
      if (rows.length < wanted && size < PAGE_SIZE) return { jobs, after: null };
    }
    return { jobs, after };
  }

  async remove(id: string): Promise<Removed> {
    const [row] = await this.#parts.storage.get([id]);
    return this.#removeAll(row ? [row] : []);
  }

  /** A page of those that fit: as many as one commit takes in its stride. */
  async removePage(query: JobPageQuery): Promise<Removed & { after: string | null }> {
    const wanted = Math.min(ROWS, query.limit);
    const rows = await this.#rows(query, query.after, wanted);
    const removed = await this.#removeAll(rows.filter((row) => isInGroup(query.group, row.options)));
    return { ...removed, after: rows.length < wanted ? null : (rows.at(-1)?.id ?? null) };
  }

  async #removeAll(rows: readonly StoredJob[]): Promise<Removed> {
    const ended: Completed[] = [];
    const done = await Promise.all(rows.map((row) => this.#remove(row, ended)));
    const count = (what: string): number => done.filter((one) => one === what).length;
    return { removed: count('removed'), skipped: count('skipped'), ended };
  }

  async #remove(row: StoredJob, ended: Completed[]): Promise<'removed' | 'skipped' | 'gone'> {
    const { running, scheduler, completer, storage } = this.#parts;
    const { id } = row;
    // A job may begin, end or be run again while we look; the fence tells, and we look again.
    for (let [job, tries] = [row as StoredJob | undefined, 0]; job && tries < 5; tries++) {
      if (running.has(id) || job.status === 'running') return 'skipped';
      const completed = await completer.remove(job, () => scheduler.get(id)?.settled ?? false);
      if (completed) {
        scheduler.remove(id);
        if (!isFinal(job.status)) ended.push(completed);
        return 'removed';
      }
      [job] = await storage.get([id]);
      if (!job) return 'gone';
    }
    return 'skipped';
  }

  /** In id order. A storage is asked for one status at a time. */
  async #rows({ name, status }: JobFilter, after: string | null, limit: number): Promise<StoredJob[]> {
    const { storage } = this.#parts;
    const base = { ...(name === undefined ? {} : { name }), ...(after === null ? {} : { after }), limit };
    if (!status) return storage.list(base);
    const lists = await Promise.all(status.map((one) => storage.list({ ...base, status: one })));
    // A job that moved on between two reads may be in both.
    const byId = new Map(lists.flat().map((row) => [row.id, row]));
    return [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1)).slice(0, limit);
  }
}
