import type { FoundPage } from '../job/job-query.js';

/** Entries in id order; `after`: there may be more behind the last one. */
export interface SortedPage<T> {
  entries: readonly T[];
  after: string | null;
}

/**
 * One page of several, in id order. A page that says `after` may have more behind its last entry, so nothing beyond that
 * is told yet, from no page: the next question begins there. What is in two pages is told as the first has it.
 */
export function mergeSorted<T>(
  pages: readonly SortedPage<T>[],
  idOf: (entry: T) => string,
  limit: number,
): { entries: T[]; after: string | null } {
  const ends = pages.flatMap(({ after }) => (after === null ? [] : [after])).sort();
  const horizon = ends[0] ?? null;
  const byId = new Map<string, T>();
  for (const page of pages) {
    for (const entry of page.entries) {
      const id = idOf(entry);
      if ((horizon === null || id <= horizon) && !byId.has(id)) byId.set(id, entry);
    }
  }
  const all = [...byId].sort(([a], [b]) => (a < b ? -1 : 1));
  const told = all.slice(0, limit);
  return { entries: told.map(([, entry]) => entry), after: all.length > limit ? (told.at(-1)?.[0] ?? null) : horizon };
}

/** The same of pages of jobs. */
export function mergePages(pages: readonly FoundPage[], limit: number): FoundPage {
  const sorted = pages.map(({ jobs, after }) => ({ entries: jobs, after }));
  const { entries, after } = mergeSorted(sorted, ({ view }) => view.id, limit);
  return { jobs: entries, after };
}
