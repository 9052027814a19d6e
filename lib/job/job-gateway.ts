import type { CancelAnswer } from './job-control.js';
import type { FoundJob } from './found-job.js';
import type { JobListeners } from './job-listeners.js';
import type { JobQueries } from './job-query.js';
import type { JobSpec } from './job.js';

/** A job that enqueue made, before somebody accepted it and put its name on it. */
export type NewJob = Omit<JobSpec, 'origin' | 'listeners'> & {
  /** Closures wait for it in this process. */
  closures: boolean;
};

/** What the client stands on: a distributor in its own process, or a node's connection to one. */
export interface JobGateway {
  readonly listeners: JobListeners;
  readonly queries: JobQueries;
  /**
   * Resolves for each job, in order, once it is accepted as the outbox mode says; `duplicate` when its id was known.
   * @throws {JobRejected | EnqueueUnknown} for a job that was not, or may not have been, accepted
   */
  accept(jobs: readonly NewJob[], distributor?: string): Promise<('accepted' | 'duplicate')[]>;
  cancel(id: string, reason: string): Promise<CancelAnswer>;
  find(id: string): Promise<FoundJob | null>;
}
