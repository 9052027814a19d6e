import type { StoredJob } from '../job/job.js';
import type { JobWrite } from '../storage/job-storage.js';
import { outboxRow, type HeldJob } from './held-job.js';

/** Makes the MACs of these jobs, where a node may take their rows over as they are. */
export type Seal = (jobs: readonly HeldJob[]) => void;

/**
 * The MACs that lie with the rows of the outbox. They are made right before a commit, for all of its rows at once: one by
 * one they are as dear as all else that an enqueue costs here.
 */
export class RowSeals {
  readonly #seal: Seal;
  #open: { job: HeldJob; row: StoredJob }[] = [];

  constructor(seal: Seal) {
    this.#seal = seal;
  }

  insert(job: HeldJob): JobWrite {
    const row = outboxRow(job);
    if (row.origin.mac === undefined) this.#open.push({ job, row });
    return { kind: 'insert', job: row };
  }

  /** To be called before any of those inserts is committed. */
  close(): void {
    if (this.#open.length === 0) return;
    const open = this.#open;
    this.#open = [];
    this.#seal(open.map(({ job }) => job));
    for (const { job, row } of open) if (job.mac !== null) row.origin = { ...row.origin, mac: job.mac };
  }
}
