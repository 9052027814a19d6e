import type { MessagePort } from 'node:worker_threads';
import type { FeedbackRecord } from '../../job/feedback-record.js';
import type { ErrorData, JobInfo } from '../../job/job.js';
import type { LogLevel } from '../../job-reactor.events.js';

/*
 * What is said between the main thread and a worker thread. Three channels: piscina's own carries tasks and how they
 * ended; the control port of each thread everything about the thread and the job it runs; the client port of each
 * `forRoot` in a thread what its JobReactorClient asks and hears.
 */

/** The key under which a worker's `workerData`, and what it says first, are known to be ours. */
export const MARK = 'nestjs-job-reactor';

/** What a thread is told of itself when it is made. */
export interface ThreadSetup {
  node: string;
  /** Name of the `forRoot` that has the node, null when it has none. */
  forRoot: string | null;
  module: string;
  export: string;
}

/** How the main thread gets the ports, over the worker's own channel. */
export type Announcement = { thread: number; port: MessagePort } & (
  { kind: 'control' } | { kind: 'client'; forRoot: string | null }
);

/** One attempt. */
export interface ThreadTask {
  /** Tells attempts apart in abort and progress, which travel on another channel than tasks. */
  run: number;
  job: JobInfo;
  fence: number;
  args: string; // serialised
}

/** How the `@Job` method ended. `args` are those it left, serialised; null when it did not look at them. */
export type ThreadOutcome = { args: string | null } & (
  | { kind: 'returned'; result: string }
  | { kind: 'cancelled'; reason: string }
  | { kind: 'snoozed'; delay: number }
  | { kind: 'failed'; error: ErrorData; unrecoverable: boolean }
);

/** The reason of `ctx.signal`, as data. */
export type AbortReason =
  | { kind: 'timeout'; timeout: number }
  | { kind: 'cancelled'; id: string; name: string; reason: string }
  | { kind: 'interrupted' };

export type ToThread =
  | { type: 'boot' }
  | { type: 'abort'; run: number; reason: AbortReason }
  /** Run the shutdown hooks; `exit`: then end. */
  | { type: 'stop'; exit: boolean }
  | { type: 'exit' };

export type FromThread =
  | { type: 'ready'; jobs: string[] }
  | { type: 'failed'; error: ErrorData }
  | { type: 'progress'; run: number; value: string }
  /** No more is said of this attempt; its outcome comes on the other channel, before or after. */
  | { type: 'done'; run: number }
  | { type: 'log'; level: LogLevel; context: string | undefined; message: string; stack?: string }
  | { type: 'stopped' };

/**
 * The methods of the gateway, and of its queries, that a thread may call. What they take and give can be cloned;
 * `retry` takes no callback here, its `expected` is a message.
 */
export const GATEWAY_METHODS = ['accept', 'cancel', 'find'] as const;
export const QUERY_METHODS = ['jobs', 'remove', 'removeAll', 'retry', 'edit'] as const;
export const FEEDBACK_METHODS = ['parked', 'redeliver', 'drop'] as const;
export type QueryMethod = (typeof QUERY_METHODS)[number] | (typeof FEEDBACK_METHODS)[number];
export type GatewayMethod = (typeof GATEWAY_METHODS)[number] | QueryMethod;

/** An error of the gateway; of our own classes those come back that programs tell apart. */
export interface GatewayError extends ErrorData {
  kind: 'JobRejected' | 'EnqueueUnknown' | 'JobReactorError' | 'Error';
  /** Of an EnqueueUnknown. */
  id?: string;
}

export type FromClient =
  | { type: 'call'; request: number; method: GatewayMethod; args: unknown[] }
  | { type: 'watch'; id: string; fromRun: number }
  | { type: 'unwatch'; id: string; why: string }
  /** The closures of the thread have run. */
  | { type: 'delivered'; delivery: number; error: ErrorData | null };

export type ToClient =
  /** Of a retry: which run will be told. */
  | { type: 'expected'; request: number; name: string; run: number }
  | { type: 'answer'; request: number; value: unknown }
  | { type: 'error'; request: number; error: GatewayError }
  | { type: 'stored'; id: string }
  | { type: 'progress'; id: string; value: string }
  | { type: 'feedback'; delivery: number; feedback: FeedbackRecord }
  | { type: 'dropped'; id: string; why: string };
