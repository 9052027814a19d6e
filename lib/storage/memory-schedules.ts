import type { StoredJob } from '../job/job.js';
import type { StoredSchedule } from '../job/schedule.js';
import type { WriteResult } from './job-storage.js';
import type { ScheduleRows, ScheduleWrite } from './schedule-rows.js';

/** Schedules of this process, lost with it. */
export class MemorySchedules implements ScheduleRows {
  readonly #rows = new Map<string, StoredSchedule>();

  constructor(private readonly insert: (job: StoredJob) => WriteResult) {}

  async list(
    distributor: string,
    { after, limit }: { after: string | null; limit: number },
  ): Promise<StoredSchedule[]> {
    const wanted = [...this.#rows.values()].filter(
      (row) => row.distributor === distributor && (after === null || row.id > after),
    );
    return wanted
      .sort((a, b) => (a.id < b.id ? -1 : 1))
      .slice(0, limit)
      .map(copy);
  }

  async get(id: string): Promise<StoredSchedule | null> {
    const row = this.#rows.get(id);
    return row ? copy(row) : null;
  }

  async commit({ id, revision, schedule, jobs }: ScheduleWrite): Promise<WriteResult[] | 'stale'> {
    if ((this.#rows.get(id)?.revision ?? 0) !== revision) return 'stale';
    if (schedule) this.#rows.set(id, copy(schedule));
    else this.#rows.delete(id);
    return jobs.map((job) => this.insert(job));
  }

  clear(): void {
    this.#rows.clear();
  }
}

const copy = (row: StoredSchedule): StoredSchedule => ({ ...row });
