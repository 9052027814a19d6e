import type { JobInfo } from '../job/job.js';
import type { InputOf, JobDefinition } from '../job/define-job.js';

/** Plain string jobs have args of unknown shape. */
type ArgsIn<D> = D extends JobDefinition<infer _A, infer _R, infer _I> ? InputOf<D> : Record<string, unknown>;

/** What the executor hands to a context; everything costly is made on first use. */
export interface JobContextParts {
  job(): JobInfo;
  fence: number;
  /** A fresh copy of the stored args. */
  readArgs(): unknown;
  signal(): AbortSignal;
  progress(value: unknown): void;
}

/**
 * What a handler learns of its job, injected with `@Ctx()`. One context serves one attempt: the job, its callbacks and
 * its errbacks see the same one.
 */
export class JobContext<D = unknown> {
  readonly #parts: JobContextParts;
  #job: JobInfo | undefined;
  #args: { value: ArgsIn<D> } | undefined;

  /** In an errback: what was thrown. Undefined elsewhere. */
  error: unknown = undefined;
  /** In an errback: whether another attempt follows. */
  willRetry = false;

  constructor(parts: JobContextParts) {
    this.#parts = parts;
  }

  get job(): JobInfo {
    return (this.#job ??= this.#parts.job());
  }

  /**
   * This attempt's working copy of the args. What is added or changed here is seen by every later callback and errback
   * and comes back in the feedback. A retry starts again from the args before the failed attempt.
   */
  get args(): ArgsIn<D> {
    this.#args ??= { value: this.#parts.readArgs() as ArgsIn<D> };
    return this.#args.value;
  }

  set args(value: ArgsIn<D>) {
    this.#args = { value };
  }

  /** False while nobody has looked at `args`, so that they need not be serialised again. */
  get argsTouched(): boolean {
    return this.#args !== undefined;
  }

  /** Aborted by a cancel from outside, by the timeout, and when the node stops; `signal.reason` is the error. */
  get signal(): AbortSignal {
    return this.#parts.signal();
  }

  /** Rises with every attempt and change of owner; outside systems can refuse an older one. */
  get fence(): number {
    return this.#parts.fence;
  }

  /** Tells the application how far the job is; the latest value counts, a lost one is not repeated. */
  progress(value: unknown): void {
    this.#parts.progress(value);
  }
}
