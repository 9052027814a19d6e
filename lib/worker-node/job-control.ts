import type { CancelAnswer } from '../job/job-control.js';
import { foundJob, type FoundJob } from '../job/found-job.js';
import type { EditOutcome, JobEdit, RetryAnswer } from '../job/job-query.js';
import type { StoredJob } from '../job/job.js';
import { JobCancelled } from '../job/job.errors.js';
import { isFinal } from '../job/job-status.js';
import type { JobStorage } from '../storage/job-storage.js';
import type { Completed, JobCompleter } from './job-completer.js';
import type { JobScheduler } from './job-scheduler.js';
import type { RunningJob } from './running-jobs.js';

export interface ControlParts {
  node: string;
  storage: JobStorage;
  scheduler: JobScheduler;
  running: ReadonlyMap<string, RunningJob>;
  completer: JobCompleter;
}

/** What comes from outside about one job: cancel, look, run again, settle, supersede. */
export class JobControl {
  readonly #parts: ControlParts;
  /** The last of those under way. */
  readonly #edits = new Map<string, Promise<EditOutcome>>();

  constructor(parts: ControlParts) {
    this.#parts = parts;
  }

  /** Commits `cancelled`, then tells the handler: from then on every outcome of the attempt is refused by its fence. */
  async cancel(id: string, reason: string): Promise<{ answer: CancelAnswer; completed?: Completed }> {
    const { running, scheduler, completer } = this.#parts;
    // A job may change hands between waiting and running while we look; the fence tells, and we look again.
    for (let tries = 0; tries < 5; tries++) {
      const attempt = running.get(id);
      const row = this.#known(id) ?? (await this.#row(id));
      if (!row) return { answer: tries === 0 ? 'unknown' : 'already-final' };
      if (isFinal(row.status)) return { answer: 'already-final' };
      const settled = (): boolean => attempt?.settled ?? scheduler.get(id)?.settled ?? false;
      const completed = await completer.cancel(row, reason, settled);
      if (!completed) continue;
      scheduler.remove(id);
      attempt?.abort(new JobCancelled(id, row.name, reason));
      return { answer: 'cancelled', completed };
    }
    return { answer: (await this.#row(id)) ? 'pending' : 'already-final' };
  }

  async find(id: string): Promise<FoundJob | null> {
    const row = this.#known(id) ?? (await this.#row(id));
    return row ? foundJob(row, this.#parts.node) : null;
  }

  /** Commits that a job which has ended is queued again, unless it succeeded. */
  async retry(id: string): Promise<{ answer: RetryAnswer; job?: StoredJob }> {
    // It may be removed, or run again by somebody else, while we look; the fence tells, and we look again.
    for (let tries = 0; tries < 5 && !this.#parts.running.has(id); tries++) {
      const row = await this.#row(id);
      if (!row) return { answer: 'unknown' };
      if (!isFinal(row.status)) return { answer: 'not-final' };
      if (row.status === 'succeeded') return { answer: 'succeeded' };
      const job = await this.#parts.completer.retry(row);
      if (job) return { answer: 'queued', job };
    }
    return { answer: 'not-final' };
  }

  /** Commits that a job which waits here for its time is due now. What runs, or has ended, is left as it is. */
  async runNow(id: string): Promise<RetryAnswer> {
    const due = await this.#whileItWaits(id, (row) => this.#parts.completer.advance(row));
    return due ? 'queued' : this.#notWaiting(id);
  }

  /**
   * Commits other args or another time for a job that waits here. Of several that come at once each waits for the one
   * before it: what the last one says is what remains.
   */
  async edit(id: string, edit: JobEdit): Promise<EditOutcome> {
    const before = this.#edits.get(id) ?? Promise.resolve(null);
    const edited = before.catch(() => null).then(() => this.#edit(id, edit));
    this.#edits.set(id, edited);
    try {
      return await edited;
    } finally {
      if (this.#edits.get(id) === edited) this.#edits.delete(id);
    }
  }

  async #edit(id: string, { name, unbegun, ...change }: JobEdit): Promise<EditOutcome> {
    const { running, completer } = this.#parts;
    const fits = (row: StoredJob): boolean => row.name === name && !(unbegun && hasBegun(row));
    const mayBe = (row: StoredJob): Promise<StoredJob | null> =>
      fits(row) ? completer.amend(row, change) : Promise.resolve(null);
    if (await this.#whileItWaits(id, mayBe, true)) return 'edited';
    const row = running.get(id)?.job ?? (await this.#row(id));
    if (!row) return 'unknown';
    return row.name === name ? 'not-waiting' : 'other-job';
  }

  /** A job that waits, as `change` leaves it; null when it was not changed. `due`: its time may have come. */
  async #whileItWaits(
    id: string,
    change: (row: StoredJob) => Promise<StoredJob | null>,
    due = false,
  ): Promise<StoredJob | null> {
    const { scheduler } = this.#parts;
    // Else it might start with a fence that is about to be old.
    const entry = scheduler.hold(id, due);
    if (!entry) return null;
    let changed: StoredJob | null = null;
    try {
      const row = entry.job ?? (await this.#row(id));
      changed = row ? await change(row) : null;
    } finally {
      scheduler.release(entry, changed);
    }
    return changed;
  }

  async #notWaiting(id: string): Promise<RetryAnswer> {
    if (this.#parts.running.has(id)) return 'not-final';
    const row = await this.#row(id);
    if (!row) return 'unknown';
    return row.status === 'succeeded' ? 'succeeded' : 'not-final';
  }

  settled(ids: readonly string[]): void {
    for (const id of ids) {
      const entry = this.#parts.running.get(id) ?? this.#parts.scheduler.get(id);
      if (entry) entry.settled = true;
    }
  }

  /** The job went to another node: an unstarted copy goes, a started one ends as it will. True when it went. */
  async supersede(id: string): Promise<boolean> {
    // In a shared database a job is there once: whoever was sent it next has found this very copy.
    if (this.#parts.storage.peers) return false;
    const entry = this.#parts.scheduler.remove(id);
    if (!entry) return false;
    await this.#parts.completer.drop(entry);
    return true;
  }

  /** Its row, where it is certain that this is as it was last committed: an attempt that was aborted may have ended. */
  #known(id: string): StoredJob | null {
    const attempt = this.#parts.running.get(id);
    if (attempt) return attempt.aborted ? null : attempt.job;
    return this.#parts.scheduler.get(id)?.job ?? null;
  }

  async #row(id: string): Promise<StoredJob | undefined> {
    const [row] = await this.#parts.storage.get([id]);
    return row;
  }
}

const hasBegun = ({ run, attempt, startedAt }: StoredJob): boolean => run > 1 || attempt > 0 || startedAt !== null;
