import type { CancelAnswer } from './job-control.js';
import type { FoundJob } from './found-job.js';
import type { JobInterest, JobListeners } from './job-listeners.js';
import type { JobQueries } from './job-query.js';
import type { JobSpec } from './job.js';
import type { JobKey } from './job-key.js';
import type { FeedbackQueries } from './parked-feedback.js';
import type { PauseGateway } from './pause-gateway.js';
import type { ScheduleGateway } from './schedule-gateway.js';
import type { TransactionManager } from './transaction-manager.js';

/** A job that enqueue made, before somebody accepted it and put its name on it. */
export type NewJob = Omit<JobSpec, 'origin' | 'listeners'> & {
  /** Closures wait for it in this process. */
  closures: boolean;
  /** What happens to the job that has its key; absent: nothing. */
  onConflict?: 'replace' | 'reschedule';
};

/** Another job has its key. */
export interface Lost {
  winner: string;
  /** In this process it has been listened for since that was known, as it may end before anybody else can. */
  heard?: { interest: JobInterest; isNew: boolean };
}

/** `duplicate`: the id was known. */
export type Intake = 'accepted' | 'duplicate' | Lost;

/** Frees keys whose jobs are lost. */
export interface KeyGateway {
  /** False: no job had it. @throws {JobReactorError} INVALID_JOB, STORAGE, STOPPED */
  release(key: JobKey): Promise<boolean>;
}

/** What the client stands on: a distributor in its own process, or a node's connection to one. */
export interface JobGateway {
  readonly listeners: JobListeners;
  readonly queries: JobQueries;
  readonly feedbacks: FeedbackQueries;
  /** Absent in a process that has no distributor. */
  readonly schedules?: ScheduleGateway;
  /** Absent in a worker thread. */
  readonly pauses?: PauseGateway;
  /** Absent in a process that has no distributor. */
  readonly keys?: KeyGateway;
  /**
   * Resolves for each job, in order, once it is accepted as the outbox mode says; `duplicate` when its id was known.
   * @throws {JobRejected | EnqueueUnknown} for a job that was not, or may not have been, accepted
   */
  accept(jobs: readonly NewJob[], distributor?: string): Promise<Intake[]>;
  /**
   * The same, within a transaction of the caller's: the jobs are there once that has committed. Absent in a process that
   * has no distributor.
   * @throws {JobReactorError} INVALID_JOB when the outbox is not in the database of the transaction
   */
  acceptWithin?(jobs: readonly NewJob[], manager: TransactionManager): Promise<Intake[]>;
  cancel(id: string, reason: string): Promise<CancelAnswer>;
  find(id: string): Promise<FoundJob | null>;
}
