import type { Clock } from '../../../clock.js';
import type { StoredJob } from '../../../job/job.js';
import type { JobPage } from '../../job-storage.js';
import type { SqliteConnection } from './sqlite-connection.js';
import { JOB_COLUMNS, toStoredJob, type JobRow } from './sqlite-rows.js';

/** Reading so many rows takes a few milliseconds, which is as long as the event loop should wait. */
const ROWS_AT_ONCE = 1000;

const FROM = `SELECT ${JOB_COLUMNS} FROM job_reactor_jobs WHERE unfinished = 1`;
const FIRST = `${FROM} ORDER BY due_at, id LIMIT ?`;
const NEXT = `${FROM} AND (due_at, id) > (?, ?) ORDER BY due_at, id LIMIT ?`;

/** One page in slices, with the event loop's other work in between. */
export async function readUnfinished(connection: SqliteConnection, page: JobPage, clock: Clock): Promise<StoredJob[]> {
  const jobs: StoredJob[] = [];
  let { after } = page;
  while (jobs.length < page.limit) {
    const limit = Math.min(page.limit - jobs.length, ROWS_AT_ONCE);
    const rows = after ? connection.all(NEXT, [after.dueAt, after.id, limit]) : connection.all(FIRST, [limit]);
    for (const row of rows as JobRow[]) jobs.push(toStoredJob(row));
    if (rows.length < limit) break;
    after = jobs.at(-1) ?? null;
    await new Promise<void>((resolve) => clock.endOfTick(resolve));
  }
  return jobs;
}
