import type { FoundJob } from '../job/found-job.js';
import type { RetryAnswer } from '../job/job-query.js';
import type { JobView } from '../job/job.js';
import { deserialise } from '../job/serialise.js';
import type { JobHandle } from './job-handle.js';

/** What `find` and `jobs` tell of a job. Times are milliseconds since the epoch. */
export interface JobSnapshot extends JobView {
  args: unknown;
  /** Undefined unless it succeeded and is still kept. */
  result: unknown;
}

/** What `client.jobs()` answers. */
export interface FoundJobs {
  /** In id order: the oldest first, as long as ids are UUIDv7. At most `limit`, and fewer where their args are large. */
  jobs: JobSnapshot[];
  /** For the `after` of the next question; null: there are no more. */
  after: string | null;
  /** Names of nodes whose jobs may be missing: they did not answer within 5 s, or are away with their database. */
  missing: string[];
}

/** What `client.retry()` answers. */
export interface RetriedJob<D = unknown> {
  answer: RetryAnswer;
  /** The job with its new run, to await its result. Null unless it was queued and its result comes to this process. */
  job: JobHandle<D> | null;
  /** Names of nodes that may hold the job, when nobody who answered does. */
  missing: string[];
}

export function snapshot({ view, args, result }: FoundJob): JobSnapshot {
  return {
    ...view,
    args: args === '' ? undefined : deserialise(args),
    result: result === null ? undefined : deserialise(result),
  };
}
