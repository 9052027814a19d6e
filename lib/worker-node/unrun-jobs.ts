import type { Clock } from '../clock.js';
import { isSettled, type StoredJob } from '../job/job.js';
import { hasExpired } from '../job/job-expiry.js';
import type { Completed, JobCompleter } from './job-completer.js';
import type { JobRecoverer } from './job-recoverer.js';
import type { WaitingJob } from './waiting-jobs.js';
import type { NodeFacts } from './node-facts.js';

export interface UnrunParts {
  clock: Clock;
  completer: JobCompleter;
  recoverer: Pick<JobRecoverer, 'load'>;
  facts: NodeFacts;
  conclude: (completed: Completed, settled: boolean) => void;
}

/** What happens to a job without its handler: it expires before its first start, or its process died while it ran. */
export class UnrunJobs {
  readonly #parts: UnrunParts;

  constructor(parts: UnrunParts) {
    this.#parts = parts;
  }

  /** True when it was too late for its first start, and it ended so. */
  async expires(job: StoredJob, settled: boolean): Promise<boolean> {
    const { clock, completer, facts, conclude } = this.#parts;
    if (!hasExpired(job, clock.now())) return false;
    const completed = await completer.expire(job, () => settled);
    if (completed) {
      facts.expired(job);
      conclude(completed, settled);
    }
    return true;
  }

  /** A job that waited on this node until it expired. */
  async expired({ id, job, settled }: WaitingJob): Promise<void> {
    const row = job ?? (await this.#parts.recoverer.load(id));
    // A commit that fails while the node stops leaves it to the next start.
    if (row) await this.expires(row, settled).catch(() => undefined);
  }

  /**
   * One that was running when the process died (this node's last, or `on` another node) has spent an attempt and counts a
   * crash. False: its row is not as it was, nothing was done.
   */
  async crashed(job: StoredJob, on?: string): Promise<boolean> {
    const { completer, facts, conclude } = this.#parts;
    const alone = completer.isLastChance({ ...job, attempt: job.attempt - 1 });
    const completed = await completer.crash(job, on);
    if (!completed) return false;
    facts.crashed(job, completed, alone, on);
    conclude(completed, isSettled(job));
    return true;
  }
}
