import type { FeedbackQueries, ParkedFeedback } from '../job/parked-feedback.js';
import { readParkedQuery, readParkedSelection, type ParkedQuery, type ParkedSelection } from '../job/parked-filter.js';

/** What `client.feedbacks.parked()` answers. */
export interface ParkedFeedbacks {
  feedbacks: ParkedFeedback[];
  /** Where the next page begins: the `after` of the next question. Null when there is none. */
  after: string | null;
  /** Names of nodes whose feedbacks may be missing: they did not answer within 5 s, or are away with their database. */
  missing: string[];
}

/**
 * `client.feedbacks`: those that are kept and not sent any more, as the application's methods threw too often
 * (`jobs.maxDeliveries`). Each method throws INVALID_QUERY for what can't be asked; in a process that is only a node also
 * NOT_CONNECTED and STOPPED.
 */
export class FeedbackClient {
  readonly #queries: FeedbackQueries;

  constructor(queries: FeedbackQueries) {
    this.#queries = queries;
  }

  /** A page of those that are parked on connected nodes and in this distributor, in the order of their ids. */
  async parked(query: ParkedQuery = {}): Promise<ParkedFeedbacks> {
    return this.#queries.parked(readParkedQuery(query));
  }

  /**
   * Has parked feedbacks delivered again, now and with all their deliveries: one by its id, those of a job by the job's
   * id, or all that fit. `redelivered` says how many; whether their methods throw again is not waited for.
   */
  async redeliver(which: string | ParkedSelection): Promise<{ redelivered: number; missing: string[] }> {
    const { count, missing } = await this.#queries.redeliver(readParkedSelection(which, 'redeliver'));
    return { redelivered: count, missing };
  }

  /** Drops parked feedbacks, chosen as for `redeliver`: nobody will be told of these ends. It can't be undone. */
  async drop(which: string | ParkedSelection): Promise<{ dropped: number; missing: string[] }> {
    const { count, missing } = await this.#queries.drop(readParkedSelection(which, 'drop'));
    return { dropped: count, missing };
  }
}
