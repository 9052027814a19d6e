import type { Clock } from '../../../clock.js';
import type { StoredJob } from '../../../job/job.js';
import type { JobPage } from '../../job-storage.js';
import type { JobReads } from '../job-reads.js';
import { toStoredJob } from '../job-rows.js';
import type { SqliteConnection } from './sqlite-connection.js';

/** Reading so many rows takes a few milliseconds, which is as long as the event loop should wait. */
const ROWS_AT_ONCE = 1000;

/** One page in slices, with the event loop's other work in between. */
export async function readUnfinished(
  connection: SqliteConnection,
  page: JobPage,
  reads: JobReads,
  clock: Clock,
): Promise<StoredJob[]> {
  const jobs: StoredJob[] = [];
  let { after } = page;
  while (jobs.length < page.limit) {
    const limit = Math.min(page.limit - jobs.length, ROWS_AT_ONCE);
    const { sql, params } = reads.unfinished({ after, limit });
    const rows = connection.all(sql, params);
    for (const row of rows) jobs.push(toStoredJob(row));
    if (rows.length < limit) break;
    after = jobs.at(-1) ?? null;
    await new Promise<void>((resolve) => clock.endOfTick(resolve));
  }
  return jobs;
}
