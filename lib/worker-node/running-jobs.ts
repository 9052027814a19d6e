import type { StoredJob } from '../job/job.js';

/** A job that has a slot: from the commit of its attempt to the commit of its outcome. */
export class RunningJob {
  /** The row as last committed: before its attempt began, and then since. */
  job: StoredJob;
  settled: boolean;
  /** The attempt has ended: what its handler still does is of no concern. */
  over = false;
  /** Called once, by an abort while it is set. */
  whenAborted: ((reason: Error) => void) | undefined;
  #reason: Error | undefined;
  #signal: AbortController | undefined;

  constructor(job: StoredJob, settled: boolean) {
    this.job = job;
    this.settled = settled;
  }

  /** Made on first use: an AbortController for every job is costly. */
  signal(): AbortSignal {
    if (!this.#signal) {
      this.#signal = new AbortController();
      if (this.#reason) this.#signal.abort(this.#reason);
    }
    return this.#signal.signal;
  }

  get aborted(): Error | undefined {
    return this.#reason;
  }

  /** The first reason counts. The handler is told through its signal and its slot is not waited for. */
  abort(reason: Error): void {
    if (this.#reason) return;
    this.#reason = reason;
    this.#signal?.abort(reason);
    this.whenAborted?.(reason);
  }
}
