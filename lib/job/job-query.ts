import type { FoundJob } from './found-job.js';
import type { JobOptions } from './job.js';
import type { JobStatus } from './job-status.js';

/** Which jobs a question is about, as it crosses the wire: every condition has to hold, an absent one always does. */
export interface JobFilter {
  /** Names of nodes; null: jobs that wait in the distributor. The distributor's to heed: a node answers for itself. */
  node?: string[] | null;
  name?: string;
  /** Never empty. */
  status?: JobStatus[];
  group?: string;
}

/** No storage is asked for a group: whoever reads rows picks. */
export const isInGroup = (group: string | undefined, options: JobOptions): boolean =>
  group === undefined || options.group === group;

/** One page of a question about many jobs, in id order. */
export interface JobPageQuery extends JobFilter {
  /** Ids above this one; null: from the first. */
  after: string | null;
  limit: number;
}

/** Jobs in id order. A page may be shorter than its limit and not be the last: `after` tells. */
export interface FoundPage {
  jobs: FoundJob[];
  /** Where the next page begins; null: there is none. */
  after: string | null;
}

/** Names of nodes whose jobs the answer does not speak of: they did not answer, or are away. */
export interface Missing {
  missing: string[];
}

/** What `client.remove()` did. */
export interface RemovedJobs {
  /** Jobs that are gone. Those that had not ended ended as `cancelled`. */
  removed: number;
  /** Jobs that are left because they run, or are just on their way to a node. Cancel them first. */
  skipped: number;
  /** Names of nodes that did not answer, or are away: what they hold is left. */
  missing: string[];
}

/**
 * What `client.retry()` was answered.
 * - `queued`: it is committed that the job runs again, now.
 * - `not-final`: it has not ended; nothing was changed.
 * - `succeeded`: it has done its work, and is not run again; enqueue a new one.
 * - `unknown`: no connected node keeps a job with this id.
 */
export type RetryAnswer = 'queued' | 'not-final' | 'succeeded' | 'unknown';

/** What a job that waits is to be from now on. */
export interface JobEdit {
  /** Its name, as whoever asks believes. */
  name: string;
  /** Serialised. Absent: as they are. */
  args?: string;
  /** Milliseconds since the epoch. Absent: as it is. */
  dueAt?: number;
  /** Only if it has not begun, not once. */
  unbegun?: boolean;
}

/**
 * What `client.edit()` was answered.
 * - `edited`: it is committed.
 * - `not-waiting`: nothing was changed, as the job runs or has ended.
 * - `unknown`: no connected node, and not this distributor, has a job with this id.
 */
export type EditAnswer = 'edited' | 'not-waiting' | 'unknown';

/** `other-job`: the job of this id has another name. */
export type EditOutcome = EditAnswer | 'other-job';

/** What the client asks beyond one job's cancel and find. */
export interface JobQueries {
  jobs(query: JobPageQuery): Promise<FoundPage & Missing>;
  remove(id: string): Promise<RemovedJobs>;
  removeAll(filter: JobFilter): Promise<RemovedJobs>;
  /**
   * `expected` is called with the job's name and the number of the run that is to come, before it is asked for.
   * `told`: the new result comes to this process. `now`: it is about a job that waits for its time, and is to run now;
   * nothing is expected then.
   */
  retry(
    id: string,
    expected: (name: string, run: number) => void,
    now?: boolean,
  ): Promise<{ answer: RetryAnswer; told: boolean } & Missing>;
  edit(id: string, edit: JobEdit): Promise<{ answer: EditOutcome } & Missing>;
}
