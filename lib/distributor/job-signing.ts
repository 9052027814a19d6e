import type { NewJob } from '../job/job-gateway.js';
import type { JobOrigin, JobSpec, Listeners } from '../job/job.js';

export interface SigningParts {
  origin: (submitter: string | null) => JobOrigin;
  /** The MAC that lies with its row, where a node may take that over as it is. */
  mac: (id: string) => string | undefined;
  /** Whether the application has declared feedback methods for this name. */
  declares: (name: string) => boolean;
}

/** Puts this distributor's name on jobs, and whom they come back to. */
export class JobSigning {
  readonly #parts: SigningParts;
  /** The same for all jobs that this process enqueues. */
  #origin: JobOrigin | undefined;

  constructor(parts: SigningParts) {
    this.#parts = parts;
  }

  /** `seals`: its MAC is made here; else where it is committed, for all of a commit at once. */
  sign(job: NewJob, submitter: string | null, seals = true): JobSpec {
    const { origin, mac } = this.#parts;
    const from = submitter === null ? (this.#origin ??= origin(null)) : origin(submitter);
    const sealed = seals ? mac(job.id) : undefined;
    return {
      id: job.id,
      name: job.name,
      args: job.args,
      options: job.options,
      priority: job.priority,
      enqueuedAt: job.enqueuedAt,
      runAt: job.runAt,
      origin: sealed === undefined ? from : { ...from, mac: sealed },
      listeners: this.#listeners(job, submitter),
      givenId: job.givenId,
    };
  }

  /** What declared methods are to hear outlives the process; a submitter's closures are not in this one. */
  #listeners({ closures, name }: NewJob, submitter: string | null): Listeners {
    if (closures && submitter !== null) return 'closures';
    if (this.#parts.declares(name)) return 'declared';
    return closures ? 'closures' : 'none';
  }
}
