import type { Duration, JobDefaults, JobDefinition, JobSettings } from './job/define-job.js';
import type { StorageOption } from './storage/storage-option.js';
import type { Address } from './transport/connection.js';

/** What `JobReactorModule.forRoot()` takes: at least one of `distributor` and `node`. */
export interface JobReactorOptions {
  /** Tells several `forRoot` in one process apart, see `@InjectJobReactor(name)`. Default: none. */
  name?: string;
  /** The role of the application: accepts jobs, picks nodes, runs feedbacks. Default: not in this process. */
  distributor?: DistributorOptions;
  /** The role of a worker: stores, schedules and runs jobs. Default: not in this process. */
  node?: NodeOptions;
  /** What holds for all jobs of this process unless a definition or an enqueue says otherwise. */
  jobs?: JobsOptions;
}

export interface DistributorOptions {
  /** A routing label, 1 to 200 characters; replicas of one application share it. Required. */
  name: string;
  /** Address to listen on. One that other machines reach needs `allowInsecure`. Default `'127.0.0.1'`. */
  host?: string;
  /** TCP port, 0 to 65535; 0 takes a free one. Required. */
  port: number;
  /** Where jobs stay that no node has stored yet. Default `'memory'`, which a crash of this process empties. */
  outbox?: StorageOption;
  /** Jobs it may hold that no node has taken; beyond it enqueue() rejects with BACKLOG_FULL. Default 100,000. */
  maxPending?: number;
  /** Listen for other machines without TLS and authentication: whoever reaches the port can run jobs. Default false. */
  allowInsecure?: boolean;
}

export interface NodeOptions {
  /** A routing label, 1 to 200 characters; replicas share it. Required. */
  name: string;
  /** Where its jobs survive: `'memory'`, TypeORM's DataSourceOptions, a DataSource, or a JobStorage. Required. */
  storage: StorageOption;
  /** The distributors it connects to. Default: the distributor of the same `forRoot`. */
  distributors?: DistributorAddress[];
  /** Jobs it runs at once, at least 1. Default 16. */
  concurrency?: number;
  /** Jobs it takes beyond those that run, so that a free slot finds one at once. Default: as `concurrency`. */
  prefetch?: number;
  /** Jobs it keeps at most, those that wait for their time included. Default 1,000,000. */
  maxStored?: number;
  /** Names or definitions of the only jobs it takes. Default: every job it has a handler for. */
  accepts?: readonly (string | JobDefinition)[];
  /** Words that describe it, shown by the distributor. Default: none. */
  labels?: readonly string[];
  /** How long running jobs may go on after a stop was asked for; then they are interrupted. Default 20 s. */
  drainTimeout?: Duration;
  /** How often a job may take its process down before it is `dead`, at least 1. Default 3. */
  maxCrashes?: number;
  /** How long a distributor waits for this node's word on a job before it sends it elsewhere. Default 30 s. */
  handoffTimeout?: Duration;
}

export interface DistributorAddress {
  /** Host name or address. Required. */
  host: string;
  /** TCP port, 1 to 65535. Required. */
  port: number;
}

export interface JobsOptions extends Omit<JobSettings, 'thread'> {
  /** `node` in enqueue() is required, not preferred. Default false. */
  strictNode?: boolean;
  /** What is kept of finished jobs. */
  retention?: RetentionOptions;
}

export interface RetentionOptions {
  /** Jobs that succeeded are deleted. Default true. */
  removeSucceeded?: boolean;
  /** Jobs that were cancelled are deleted. Default true. */
  removeCancelled?: boolean;
  /** Jobs that failed, and dead ones, are deleted. Default false. */
  removeFailed?: boolean;
  /** How long an id given by the caller is remembered, so that a repeat is harmless. Default 7 days. */
  dedupRetention?: Duration;
}

/** `forRoot({ jobs })` after validation. */
export interface JobsSettings {
  defaults: JobDefaults;
  strictNode: boolean;
  removeSucceeded: boolean;
  removeCancelled: boolean;
  removeFailed: boolean;
  /** Milliseconds for which ids given by the caller are remembered. */
  dedupRetention: number;
}

/** `forRoot({ distributor })` after validation. */
export interface DistributorSettings {
  name: string;
  host: string;
  port: number;
  /** Jobs it may hold that no node has taken. */
  maxPending: number;
}

/** `forRoot({ node })` after validation. */
export interface NodeSettings {
  name: string;
  /** Empty: the distributor of the same forRoot. */
  distributors: Address[];
  concurrency: number;
  prefetch: number;
  maxStored: number;
  accepts: string[] | null;
  labels: string[];
  drainTimeout: number;
  maxCrashes: number;
  handoffTimeout: number;
}
