import type { JobFilter, JobQueries } from '../job/job-query.js';

/** What `client.retryAll()` did. */
export interface RetriedJobs {
  /** Jobs of which it is committed that they run again. */
  retried: number;
  /** Jobs that were found and are left: somebody else had them run again or removed them at this moment. */
  skipped: number;
  /** Names of nodes that did not answer, or are away: what they hold is left. */
  missing: string[];
}

/** Questions at a time; their commits are one on the node. */
const AT_ONCE = 100;

/** Page after page in id order, so that one which fails again meanwhile is not met twice. */
export async function retryJobs(queries: JobQueries, filter: JobFilter): Promise<RetriedJobs> {
  const counts = { retried: 0, skipped: 0 };
  const missing = new Set<string>();
  for (let after: string | null = null; ;) {
    const page = await queries.jobs({ ...filter, after, limit: AT_ONCE });
    const answers = await Promise.all(page.jobs.map(({ view }) => queries.retry(view.id, () => undefined)));
    for (const { answer } of answers) counts[answer === 'queued' ? 'retried' : 'skipped']++;
    for (const name of [page, ...answers].flatMap((one) => one.missing)) missing.add(name);
    if (page.after === null) return { ...counts, missing: [...missing] };
    ({ after } = page);
  }
}
