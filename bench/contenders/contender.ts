/** What a job of the benchmark carries: 220 bytes as JSON. */
export interface Args {
  seq: number;
  path: string;
  text: string;
}

export interface NewJob {
  args: Args;
  /** Milliseconds since the epoch; at once if missing. */
  dueAt?: number;
}

/** Where a contender finds its server, its files and its port for one measurement; all of it was emptied before. */
export interface Place {
  postgres: string;
  redis: string;
  /** A folder of its own for files. */
  folder: string;
  /** A free TCP port. */
  port: number;
}

/** The side of the application, in a process of its own. */
export interface Producer {
  /** Resolves when the job is accepted, as the contender itself defines it. */
  add(job: NewJob): Promise<unknown>;
  addBulk?(jobs: NewJob[]): Promise<unknown>;
  /** Enqueues and resolves when the job's result is here. */
  result?(args: Args): Promise<unknown>;
  /** Feedbacks that have come, where a contender tells of every end. */
  feedbacks?(): { count: number; lastAt: number };
  /** Resolves when every job enqueued is where it will wait, where that comes after add(). */
  settled?(): Promise<void>;
  /** Jobs that are still kept somewhere: 0 after everything has run. */
  remaining(): Promise<number>;
  close(): Promise<unknown>;
}

/** The side of the worker, in a process of its own. */
export interface WorkerSide {
  /** Statements so far, where no server counts them. */
  statements?(): number;
  close(): Promise<unknown>;
}

export type Handle = (args: Args) => void;

/** What each file in this folder exports as `contender`. Options are those of its rows in contenders.ts. */
export interface ContenderModule<O> {
  /** Makes tables and the like, too. */
  producer(place: Place, options: O): Promise<Producer>;
  /** Jobs run, 64 at once, from when it resolves. */
  worker(place: Place, options: O, handle: Handle): Promise<WorkerSide>;
}

export const CONCURRENCY = 64;
/** Nobody else's, as what is found under it is taken for a broken run's. */
export const QUEUE = 'job-reactor-bench';
