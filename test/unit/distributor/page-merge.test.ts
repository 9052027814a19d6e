import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mergePages } from '../../../lib/distributor/page-merge.js';
import { foundJob, type FoundJob } from '../../../lib/job/found-job.js';
import type { FoundPage } from '../../../lib/job/job-query.js';
import { sampleJob } from '../../support/sample-job.js';

const found = (n: number, node: string): FoundJob => foundJob(sampleJob({ id: id(n) }), node);
const id = (n: number): string => String(n).padStart(6, '0');

/** As a node answers: at most so many, and it may end a page early, but not without any job. */
function pageOf(numbers: readonly number[], node: string, after: string | null, most: number): FoundPage {
  const rest = numbers.filter((n) => after === null || id(n) > after);
  const jobs = rest.slice(0, most).map((n) => found(n, node));
  return { jobs, after: rest.length > most ? jobs.at(-1)!.view.id : null };
}

describe('merged pages', () => {
  it('hold every job of every source once, in order, however long their pages are', () => {
    const source = fc.record({
      numbers: fc.uniqueArray(fc.integer({ min: 0, max: 200 })),
      most: fc.integer({ min: 1, max: 50 }),
    });
    fc.assert(
      fc.property(fc.array(source, { maxLength: 5 }), fc.integer({ min: 1, max: 60 }), (sources, limit) => {
        const sorted = sources.map(({ numbers }) => numbers.toSorted((a, b) => a - b));
        const told: string[] = [];
        let after: string | null = null;
        do {
          const pages = sorted.map((numbers, i) => pageOf(numbers, `n${i}`, after, Math.min(sources[i]!.most, limit)));
          const page: FoundPage = mergePages(pages, limit);
          expect(page.jobs.length).toBeLessThanOrEqual(limit);
          if (page.after !== null) expect(page.jobs.length).toBeGreaterThan(0);
          told.push(...page.jobs.map(({ view }) => view.id));
          ({ after } = page);
        } while (after !== null);
        expect(told).toEqual([...new Set(sorted.flat())].sort((a, b) => a - b).map(id));
      }),
    );
  });

  it('tell a job that two have as the first of them has it', () => {
    const page = mergePages([pageOf([1, 2], 'one', null, 9), pageOf([2, 3], 'two', null, 9)], 9);
    expect(page.jobs.map(({ view }) => view.node)).toEqual(['one', 'one', 'two']);
  });

  it('of nothing are nothing', () => {
    expect(mergePages([], 5)).toEqual({ jobs: [], after: null });
  });
});
