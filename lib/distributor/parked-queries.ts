import type { Missing } from '../job/job-query.js';
import type { FeedbackQueries, ParkedDone, ParkedFilter, ParkedPage, ParkedPageQuery } from '../job/parked-feedback.js';
import type { ParkedFeedbacks } from '../storage/parked-feedbacks.js';
import type { AskedNodes } from './asked-nodes.js';
import type { ConnectedNode } from './connected-node.js';
import type { JobRequests } from './job-requests.js';
import { mergeSorted } from './page-merge.js';

export interface ParkedQueryParts {
  asked: AskedNodes;
  requests: JobRequests;
  /** Those of jobs that ended here. */
  own: ParkedFeedbacks;
}

/** Feedbacks of one page when they are changed. */
const AT_ONCE = 500;

/** Looks at the parked feedbacks of all nodes and at those kept here, has them delivered again, or drops them. */
export class ParkedQueries implements FeedbackQueries {
  readonly #parts: ParkedQueryParts;

  constructor(parts: ParkedQueryParts) {
    this.#parts = parts;
  }

  async parked(query: ParkedPageQuery): Promise<ParkedPage & Missing> {
    const { asked, requests, own } = this.#parts;
    const nodes = asked.about(query);
    const [here, ...answers] = await Promise.all([
      isAboutNodes(query) ? null : own.page(query),
      ...nodes.map((node) => requests.parked(node, query)),
    ]);
    const pages = [here ?? null, ...answers].filter((page) => page !== null);
    const sorted = pages.map(({ feedbacks, after }) => ({ entries: feedbacks, after }));
    const { entries, after } = mergeSorted(sorted, ({ id }) => id, query.limit);
    const silent = nodes.filter((_, index) => !answers[index]);
    return { feedbacks: entries, after, missing: asked.missing(query, silent) };
  }

  redeliver(filter: ParkedFilter): Promise<{ count: number } & Missing> {
    const { own, requests } = this.#parts;
    return this.#all(
      filter,
      (page) => own.redeliver(page),
      (node, page) => requests.changeParked(node, 'redeliver', page),
    );
  }

  drop(filter: ParkedFilter): Promise<{ count: number } & Missing> {
    const { own, requests } = this.#parts;
    return this.#all(
      filter,
      (page) => own.drop(page),
      (node, page) => requests.changeParked(node, 'drop', page),
    );
  }

  async #all(
    filter: ParkedFilter,
    here: (page: ParkedPageQuery) => Promise<ParkedDone>,
    there: (node: ConnectedNode, page: ParkedPageQuery) => Promise<ParkedDone | null>,
  ): Promise<{ count: number } & Missing> {
    const { asked } = this.#parts;
    const nodes = asked.about(filter);
    const [own, ...counts] = await Promise.all([
      isAboutNodes(filter) ? nothing() : everyPage(filter, here),
      ...nodes.map((node) => everyPage(filter, (page) => there(node, page))),
    ]);
    const all = [own, ...counts];
    const silent = nodes.filter((_, index) => !counts[index]?.complete);
    return { count: all.reduce((sum, { count }) => sum + count, 0), missing: asked.missing(filter, silent) };
  }
}

const isAboutNodes = ({ node }: ParkedFilter): boolean => Array.isArray(node);

interface Counted {
  count: number;
  complete: boolean;
}

const nothing = async (): Promise<Counted> => ({ count: 0, complete: true });

/** Page after page; not complete when an answer did not come. */
async function everyPage(
  filter: ParkedFilter,
  change: (page: ParkedPageQuery) => Promise<ParkedDone | null>,
): Promise<Counted> {
  let count = 0;
  for (let after: string | null = null; ;) {
    const done: ParkedDone | null = await change({ ...filter, after, limit: AT_ONCE });
    if (!done) return { count, complete: false };
    count += done.count;
    if (done.after === null) return { count, complete: true };
    ({ after } = done);
  }
}
