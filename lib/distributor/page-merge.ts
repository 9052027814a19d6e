import type { FoundJob } from '../job/found-job.js';
import type { FoundPage } from '../job/job-query.js';

/**
 * One page of several, in id order. A page that says `after` may have more behind its last job, so nothing beyond that
 * is told yet, from no page: the next question begins there. A job that is in two pages is told as the first has it.
 */
export function mergePages(pages: readonly FoundPage[], limit: number): FoundPage {
  const ends = pages.flatMap(({ after }) => (after === null ? [] : [after])).sort();
  const horizon = ends[0] ?? null;
  const byId = new Map<string, FoundJob>();
  for (const { jobs } of pages) {
    for (const job of jobs) {
      const { id } = job.view;
      if ((horizon === null || id <= horizon) && !byId.has(id)) byId.set(id, job);
    }
  }
  const all = [...byId.values()].sort((a, b) => (a.view.id < b.view.id ? -1 : 1));
  const jobs = all.slice(0, limit);
  return { jobs, after: all.length > limit ? (jobs.at(-1)?.view.id ?? null) : horizon };
}
