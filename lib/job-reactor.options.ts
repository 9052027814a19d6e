import type { Duration, JobDefaults, JobDefinition, JobSettings } from './job/define-job.js';
import type { HandlerSetting } from './job/job-settings.js';
import type { StorageOption } from './storage/storage-option.js';
import type { AuthSettings } from './transport/authentication.js';
import type { Address } from './transport/connection.js';
import type { TlsSettings } from './transport/tls.js';

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
  /** Address to listen on. One that other machines reach needs `tls`, and `auth` or `tls.ca`. Default `'127.0.0.1'`. */
  host?: string;
  /** TCP port, 0 to 65535; 0 takes a free one. Required. */
  port: number;
  /** Where jobs stay that no node has stored yet. Default `'memory'`, which a crash of this process empties. */
  outbox?: StorageOption;
  /** Jobs it may hold that no node has taken; beyond it enqueue() rejects with BACKLOG_FULL. Default 100,000. */
  maxPending?: number;
  /** Nodes of other processes that may be connected at once; beyond it they are refused with TOO_MANY. Default 10,000. */
  maxNodes?: number;
  /** How many of them may come from one address, or one /64 network of IPv6. Default 2,000. */
  maxNodesPerAddress?: number;
  /** What nodes and this distributor prove to each other. Default: nothing, whoever reaches the port is let in. */
  auth?: AuthOptions;
  /** Encryption, and with `ca` certificates that nodes have to show. Default: plain TCP. */
  tls?: TlsOptions;
  /**
   * What all processes of this application know and no node does, like `auth.secret` one or several: with it only a node
   * that had a job can answer for it, also after a restart of the application. Default: a secret of this process.
   */
  resultSecret?: AuthOptions['secret'];
  /** Listen for other machines without what keeps strangers out. Default false. */
  allowInsecure?: boolean;
}

export interface AuthOptions {
  /**
   * A secret both sides know, of 32 bytes or more, as text or bytes; or several, for rotation: the first is proven, all
   * are accepted. `npx job-reactor secret` prints a good one. Required.
   */
  secret: string | Uint8Array | readonly (string | Uint8Array)[];
}

/** Certificates and keys are PEM texts, as `readFileSync` gives them, not paths. TLS 1.3 is spoken and nothing older. */
export interface TlsOptions {
  /** This side's certificate, and those between it and the authority. Required in a distributor. Default of a node: none. */
  cert?: string | Buffer;
  /** The key of `cert`. Required with it. */
  key?: string | Buffer;
  /** Opens `key`, if it is encrypted. Default: none. */
  passphrase?: string;
  /**
   * Authorities whose certificates are accepted. In a distributor: nodes have to show one, with their name in it; default:
   * they show none. In a node: default those that Node.js knows.
   */
  ca?: string | Buffer | readonly (string | Buffer)[];
  /** Lists of revoked certificates. Default: none. */
  crl?: string | Buffer | readonly (string | Buffer)[];
  /** Of a node: the name in the distributor's certificate. Default: the host that is dialled. */
  servername?: string;
}

export interface NodeOptions {
  /** A routing label, 1 to 200 characters; replicas share it. Required. */
  name: string;
  /** Where its jobs survive: `'memory'`, TypeORM's DataSourceOptions, a DataSource, or a JobStorage. Required. */
  storage: StorageOption;
  /** The distributors it connects to. Default: the distributor of the same `forRoot`. */
  distributors?: DistributorAddress[];
  /** What this node and its distributors prove to each other, one of the same `forRoot` aside. Default: nothing. */
  auth?: AuthOptions;
  /** Encryption: distributors have to show a certificate that carries the host they were dialled by. Default: plain TCP. */
  tls?: TlsOptions;
  /** Dial other machines without TLS: what answers there is believed and can read results. Default false. */
  allowInsecure?: boolean;
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
  /** Worker threads for jobs with `thread: true`; needs the package piscina. Default: none, such jobs go elsewhere. */
  threads?: ThreadOptions;
}

export interface ThreadOptions {
  /** What each thread imports: a file URL, as `new URL('./worker.module.js', import.meta.url)` gives, or a path. Required. */
  module: URL | string;
  /** The export of it that is the Nest module to boot, a class or a dynamic module. Default `'default'`. */
  export?: string;
  /** Threads, each with one job at a time, at least 1. Default: the processor's cores less one, at least 1. */
  size?: number;
  /** How long a job that was told to stop (timeout, cancel, shutdown) has before its thread is ended. Default 5 s. */
  abortGrace?: Duration;
  /** How long a thread may take to boot its module. Default 30 s. */
  bootTimeout?: Duration;
  /** A thread idle for so long is shut down, and booted again when needed. Default: they stay. */
  idleTimeout?: Duration;
  /** Memory of each thread, as of Node's `Worker`: beyond it the thread dies and only its attempt fails. Default: Node's. */
  resourceLimits?: ThreadResourceLimits;
  /** Node's own flags for each thread, such as `['--import', 'tsx']`. Default: those of the process. */
  execArgv?: readonly string[];
}

export interface ThreadResourceLimits {
  /** Megabytes of the main heap. Default: Node's. */
  maxOldGenerationSizeMb?: number;
  /** Megabytes of the heap for new objects. Default: Node's. */
  maxYoungGenerationSizeMb?: number;
  /** Megabytes for generated code. Default: Node's. */
  codeRangeSizeMb?: number;
  /** Megabytes of stack. Default: Node's, 4. */
  stackSizeMb?: number;
}

export interface DistributorAddress {
  /** Host name or address; a name with several addresses is several distributors. Required. */
  host: string;
  /** TCP port, 1 to 65535. Required. */
  port: number;
}

export interface JobsOptions extends Omit<JobSettings, HandlerSetting> {
  /** `node` in enqueue() is required, not preferred. Default false. */
  strictNode?: boolean;
  /** How often a feedback is delivered whose methods throw before it is parked, at least 1. Default 20, some 8 hours. */
  maxDeliveries?: number;
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
  /** How often a feedback is delivered whose methods throw before it is parked. */
  maxDeliveries: number;
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
  /** Nodes of other processes that may be connected at once. */
  maxNodes: number;
  /** How many of them may come from one address. */
  maxNodesPerAddress: number;
  /** Null: nodes are let in without a proof. */
  auth: AuthSettings | null;
  /** Null: plain TCP. */
  tls: TlsSettings | null;
  /** Null: results of earlier processes can't be checked. */
  resultSecret: AuthSettings | null;
  /** Other machines reach it, and nothing keeps strangers out. */
  insecure: boolean;
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
  /** Null: it neither proves anything nor asks distributors for a proof. */
  auth: AuthSettings | null;
  /** Null: plain TCP. */
  tls: TlsSettings | null;
  /** It dials other machines without TLS. */
  insecure: boolean;
  /** Null: this node runs no jobs in threads. */
  threads: ThreadSettings | null;
}

/** `forRoot({ node: { threads } })` after validation; durations are milliseconds. */
export interface ThreadSettings {
  /** URL of the module, as text. */
  module: string;
  export: string;
  size: number;
  abortGrace: number;
  bootTimeout: number;
  /** Null: threads stay. */
  idleTimeout: number | null;
  resourceLimits: ThreadResourceLimits;
  /** Null: those of the process. */
  execArgv: string[] | null;
}
