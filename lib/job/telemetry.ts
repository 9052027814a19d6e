import type { AsyncContext } from './async-context.js';
import type { FeedbackRecord } from './feedback-record.js';
import type { JobOptions, StoredJob } from './job.js';
import type { JobOutcome } from './job-outcome.js';

/** A job that is to be handed over. */
export interface SentJob {
  id: string;
  name: string;
  options: JobOptions;
}

/** Traces and measures jobs. Made of OpenTelemetry where that is installed; each method gives on what `run` gives. */
export interface Telemetry {
  /** Jobs are handed over. What is to travel with them is put into their options. */
  enqueue<T>(jobs: readonly SentJob[], run: () => Promise<T>): Promise<T>;
  /** The same by a schedule, whose time has come: a trace of its own. `stale`: another process has done it. */
  scheduled<T>(jobs: readonly SentJob[], run: () => Promise<T | 'stale'>): Promise<T | 'stale'>;
  /** One attempt on a node. */
  attempt(job: StoredJob, node: string, run: () => Promise<JobOutcome>): Promise<JobOutcome>;
  /** The application's code is told, which runs what it does by `activate`: it may have a context of its own. */
  feedback<T>(feedback: FeedbackRecord, run: (activate: AsyncContext) => Promise<T>): Promise<T>;
  /** Figures that are asked for, not told. */
  observe(figures: () => TelemetryFigures): void;
  /** Nobody asks for figures any more. */
  stop(): void;
}

export interface TelemetryFigures {
  /** Jobs that wait for a node; null: no distributor here. */
  backlog: number | null;
  /** Connected nodes; null: no distributor here. */
  nodes: number | null;
  /** Attempts that run here; null: no node here. */
  running: number | null;
}
