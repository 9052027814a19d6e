import 'reflect-metadata';

export { InjectJobReactor, InjectJobReactorDistributor, JobReactorModule } from './job-reactor.module.js';
export type { JobReactorAsyncOptions, JobReactorOptionsFactory } from './job-reactor.module.js';
export type {
  AuthOptions,
  DistributorAddress,
  DistributorOptions,
  JobReactorOptions,
  JobsOptions,
  NodeOptions,
  RetentionOptions,
  ThreadOptions,
  ThreadResourceLimits,
  TlsOptions,
} from './job-reactor.options.js';
export { JobReactorClient } from './client/job-reactor-client.js';
export type { AnyJob, ArgsOfJob, EnqueueEntry } from './job/any-job.js';
export type { Schedule, ScheduleClient } from './client/schedule-client.js';
export type { FoundJobs, JobSnapshot, RetriedJob } from './client/job-snapshot.js';
export type { EditOptions } from './client/edit-options.js';
export type { PausedName, PauseTarget } from './client/pause-target.js';
export type { RetriedJobs } from './client/retry-jobs.js';
export type { FeedbackClient, ParkedFeedbacks } from './client/feedback-client.js';
export { JobHandle } from './client/job-handle.js';
export type { ResultOfJob, WaitOptions } from './client/job-handle.js';
export { JobReactorDistributor } from './distributor/job-reactor-distributor.js';
export type {
  Backlog,
  DistributorEvent,
  DistributorEventName,
  NodeView,
} from './distributor/job-reactor-distributor.js';

export { defineJob } from './job/define-job.js';
export type {
  ArgsOf,
  Backoff,
  BackoffFunction,
  Duration,
  InputOf,
  JobDefinition,
  JobSettings,
  RateLimit,
  StartSettings,
  ResultOf,
} from './job/define-job.js';
export type { EnqueueOptions } from './job/enqueue-options.js';
export type { KeyConflict, KeyOptions } from './job/job-key.js';
export type { ScheduledRun } from './job/declared-schedule.js';
export type { ScheduleOptions, ScheduleSettings } from './job/schedule-options.js';
export type { MissedSlots, ScheduledJob, ScheduleRule, StoredSchedule } from './job/schedule.js';
export type { Feedback } from './job/feedback.js';
export type { CancelAnswer } from './job/job-control.js';
export type { JobSelection, JobsQuery } from './job/job-filter.js';
export type { ParkedFeedback } from './job/parked-feedback.js';
export type { ParkedQuery, ParkedSelection } from './job/parked-filter.js';
export type { EditAnswer, RemovedJobs, RetryAnswer } from './job/job-query.js';
export type { ErrorData, JobInfo } from './job/job.js';
export type { FinalStatus, JobStatus } from './job/job-status.js';
export {
  CancelJob,
  EnqueueUnknown,
  JobCancelled,
  JobFailed,
  JobInterrupted,
  JobRejected,
  JobTimeout,
  ResultTimeout,
  ResultUnavailable,
  Snooze,
  UnrecoverableError,
} from './job/job.errors.js';
export { JobReactorError } from './job-reactor.error.js';
export type { JobReactorErrorCode } from './job-reactor.error.js';

export { Job, JobSchedule, OnError, OnErrorFeedback, OnSuccess, OnSuccessFeedback } from './handlers/job.decorators.js';
export type { HandlerSettings } from './handlers/job.decorators.js';
export { JobContext } from './handlers/job-context.js';

export type { FeedbackDelivery, FeedbackRecord, KeptFeedback } from './job/feedback-record.js';
export type { StoredJob } from './job/job.js';
export type {
  FeedbackPage,
  JobChange,
  JobPage,
  JobStorage,
  JobWrite,
  KeyRows,
  ScheduleRows,
  ScheduleWrite,
  StorageOwner,
  WriteResult,
} from './storage/job-storage.js';
export type { EnlistedKeys, KeyClaim } from './storage/key-rows.js';
export { CommitInDoubt } from './storage/commit-in-doubt.js';
export type {
  DatabaseOptions,
  MysqlStorageOptions,
  PostgresStorageOptions,
  SqliteStorageOptions,
  StorageOption,
} from './storage/storage-option.js';
