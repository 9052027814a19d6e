import type { Missing } from './job-query.js';
import type { FeedbackRecord, KeptFeedback } from './feedback-record.js';
import type { ErrorData, JobInfo } from './job.js';

/** A feedback whose methods threw `jobs.maxDeliveries` times: it is kept, and sent only when somebody asks for it. */
export interface ParkedFeedback {
  /** `<job id>:<run>`: that of the feedback, however often it was delivered. */
  id: string;
  status: FeedbackRecord['status'];
  /** As the feedback has it: the job's name and id, and whose application it is. */
  job: JobInfo;
  /** What the job failed with, or why it was cancelled; null when it succeeded. */
  error: ErrorData | null;
  /** How often the application's methods threw. */
  failures: number;
  /** What they threw the last time. */
  lastError: ErrorData | null;
  /** Name of the node that keeps it; null: a distributor, as the job ended before any node had it. */
  node: string | null;
}

/** Which parked feedbacks a question is about, as it crosses the wire: every condition has to hold. */
export interface ParkedFilter {
  /** Names of nodes; null: those that the distributor keeps. The distributor's to heed: a node answers for itself. */
  node?: string[] | null;
  /** Job name. */
  name?: string;
  /** Of the feedback, or of a job: then all of that job. */
  id?: string;
}

/** One page of it, in id order. */
export interface ParkedPageQuery extends ParkedFilter {
  /** Ids above this one; null: from the first. */
  after: string | null;
  limit: number;
}

export interface ParkedPage {
  feedbacks: ParkedFeedback[];
  /** Where the next page begins; null: there is none. */
  after: string | null;
}

/** What was done to a page of them. */
export interface ParkedDone {
  count: number;
  after: string | null;
}

/** What the client asks about parked feedbacks. */
export interface FeedbackQueries {
  parked(query: ParkedPageQuery): Promise<ParkedPage & Missing>;
  /** All that fit are sent again, with all their deliveries. */
  redeliver(filter: ParkedFilter): Promise<{ count: number } & Missing>;
  /** All that fit are forgotten. */
  drop(filter: ParkedFilter): Promise<{ count: number } & Missing>;
}

export const parkedFeedback = (kept: KeptFeedback, node: string | null): ParkedFeedback => ({
  id: kept.id,
  status: kept.status,
  job: kept.job,
  error: kept.error,
  failures: kept.failures,
  lastError: kept.lastError,
  node,
});
