import { isSettled, type StoredJob } from '../job/job.js';
import { isFinal } from '../job/job-status.js';
import type { JobStorage } from '../storage/job-storage.js';
import type { DistributorLinks } from './distributor-links.js';
import type { FeedbackReporter } from './feedback-reporter.js';
import type { JobAdopter } from './job-adopter.js';
import type { JobRecoverer } from './job-recoverer.js';
import type { JobScheduler } from './job-scheduler.js';
import type { JobsHere } from './jobs-here.js';
import type { UnrunJobs } from './unrun-jobs.js';

export interface ReturningParts {
  storage: JobStorage;
  here: JobsHere;
  scheduler: JobScheduler;
  recoverer: JobRecoverer;
  adopter: JobAdopter;
  unrun: UnrunJobs;
  reporter: FeedbackReporter;
  links: DistributorLinks;
  /** Whether a job waits, is about to start or runs here. */
  known: (id: string) => boolean;
  /** A job is to wait on this node until its time comes. */
  schedule: (job: StoredJob, settled: boolean) => void;
  /** A slot is free, or a job less is here. */
  rest: () => void;
}

/** Jobs that come otherwise than from the wire: out of the storage, from a node that is gone, or back from their end. */
export class ReturningJobs {
  readonly #parts: ReturningParts;

  constructor(parts: ReturningParts) {
    this.#parts = parts;
  }

  /** A refused write says that others had the job meanwhile; they may be gone by now, and the job be here again. */
  async lookAgain(id: string): Promise<void> {
    const { storage, recoverer, known } = this.#parts;
    if (!storage.peers) return;
    const row = await recoverer.load(id);
    if (!row || isFinal(row.status) || known(id)) return;
    // A storage that is being closed takes nothing more: the row is left to whoever has it next.
    await this.recovered(row).catch(() => undefined);
  }

  /** A row an earlier process left; what it ran when it died has crashed. */
  async recovered(job: StoredJob): Promise<void> {
    if (job.status === 'running') await this.#crashed(job);
    else this.#parts.schedule(job, isSettled(job));
  }

  /** It was another node's, whose process is gone. */
  async adopted(job: StoredJob, from: string): Promise<void> {
    const { here, scheduler, links, recoverer, schedule } = this.#parts;
    // It may be on its way here as well, and has a slot then; that arrival finds the row taken.
    await here.arriving.get(job.id);
    // What is here is older, and what it does next is refused; then it is looked at again.
    if (here.hasBegun(job.id)) return;
    if (!scheduler.remove(job.id)) here.stored++;
    links.here(job);
    if (job.status === 'running') return this.#crashed(job, from);
    if (recoverer.admits(job)) schedule(job, isSettled(job));
  }

  /** It has ended, and somebody wants it run once more. */
  retried(job: StoredJob): void {
    const { here, links, recoverer, schedule } = this.#parts;
    here.stored++;
    links.here(job);
    if (recoverer.admits(job)) schedule(job, true);
  }

  /** After a time in which the jobs may have been others', with so many of them stored. */
  back(stored: number): void {
    const { here, rest, reporter, adopter } = this.#parts;
    here.stored = stored;
    rest();
    // An end whose commit gave no answer in that time may have left its feedback there, and nobody has it in mind.
    reporter.more();
    adopter.look();
  }

  /** It may have been seen to already: it is read after a lost lease while it is taken over. */
  async #crashed(job: StoredJob, from?: string): Promise<void> {
    if (!(await this.#parts.unrun.crashed(job, from))) await this.lookAgain(job.id);
  }
}
