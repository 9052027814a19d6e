import type { JobHandlers } from '../../handlers/job-handler.js';
import type { JobInfo } from '../../job/job.js';

/** One attempt of a job with `thread: true`. */
export interface ThreadOrder {
  job: JobInfo;
  fence: number;
  args: string; // serialised
  /** Aborted by cancel, timeout and stop; the thread is told, and ended if its job does not heed it in time. */
  signal: AbortSignal;
  progress: (value: string) => void;
}

/** How the `@Job` method ended in its thread. `args` are those it left, serialised; null when it did not look at them. */
export type ThreadAnswer = { args: string | null } & (
  { kind: 'returned'; result: string } | { kind: 'threw'; thrown: unknown }
);

/** The worker threads of a node, as its spine knows them: each runs one attempt at a time. */
export interface JobThreads {
  /**
   * Boots the first thread, so that a module that can't boot is known at start. `handlers` are the node's: those declared
   * with `thread: true` must be there too. `freed` is called whenever `reserve` may succeed again.
   * @throws {JobReactorError} NO_PISCINA, THREAD_FAILED, INVALID_OPTIONS
   */
  start(handlers: JobHandlers, freed: () => void): Promise<void>;
  /** Promises a free thread to an attempt, if there is one. To be followed by `run` or `release`. */
  reserve(): boolean;
  /** The attempt it was promised to did not begin. */
  release(): void;
  /** Runs an attempt in the thread it was promised; never rejects. Resolves when the thread no longer works for it. */
  run(order: ThreadOrder): Promise<ThreadAnswer>;
  /** Runs the shutdown hooks in all threads and ends them. */
  stop(): Promise<void>;
}
