import type { Clock } from '../clock.js';
import type { JobHandlers } from '../handlers/job-handler.js';
import { isInstant, receivedJob, type StoredJob } from '../job/job.js';
import { isFinal } from '../job/job-status.js';
import type { JobsSettings, NodeSettings } from '../job-reactor.options.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { JobMessage, RefuseCode } from '../protocol/job-messages.js';
import { CommitInDoubt } from '../storage/commit-in-doubt.js';
import type { GroupCommit } from '../storage/group-commit.js';
import { InsistentCommit } from '../storage/insistent-commit.js';
import type { JobStorage } from '../storage/job-storage.js';
import { SameValues } from './same-values.js';

export interface ReceiverParts {
  settings: NodeSettings;
  jobs: JobsSettings;
  handlers: JobHandlers;
  storage: JobStorage;
  commit: GroupCommit;
  clock: Clock;
  emit: EmitEvent;
}

/** `stored` with the job when it is new here, without one when it was known already. */
export type Received = { stored: StoredJob | null } | { refused: RefuseCode };

/** Takes a job from the wire into the storage. Only what is committed is called stored. */
export class JobReceiver {
  readonly #parts: ReceiverParts;
  readonly #insistent: InsistentCommit;
  readonly #same = new SameValues();
  draining = false;
  /** The node has lost its lease: whatever it has or is sent is others' business. */
  fenced = false;

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
    this.#insistent = new InsistentCommit(parts.commit, parts.clock, (error) => this.#failed(error));
  }

  /** Why a job can't be taken at all; null: it can. `stored`: how many are here. `known`: it is one of them. */
  refuses({ job: { name } }: JobMessage, stored: number, known: boolean): RefuseCode | null {
    const { settings, handlers } = this.#parts;
    if (this.fenced) return 'STORAGE';
    if (this.draining && !known) return 'DRAINING';
    if (!handlers.find(name) || (settings.accepts && !settings.accepts.includes(name))) return 'UNKNOWN_JOB';
    return !known && stored >= settings.maxStored ? 'FULL' : null;
  }

  /** What is to be stored of it. */
  row({ job, args, assignment }: JobMessage): StoredJob {
    return receivedJob(isInstant(job) ? job : this.#same.of(job), args, assignment);
  }

  /** `claim`: its row is in this database already. */
  async store(job: StoredJob, claim: boolean, known: boolean): Promise<Received> {
    const { commit } = this.#parts;
    const kind = claim ? 'claim' : 'insert';
    if (claim && known) return { stored: null };
    try {
      let result = await commit.write({ kind, job });
      if (result === 'duplicate' && !known && (await this.#makesRoom(job))) result = await commit.write({ kind, job });
      if (typeof result === 'object') throw result.error;
      if (result === 'stale') return { refused: 'NOT_THERE' };
      return { stored: result === 'done' ? job : null };
    } catch (error) {
      this.#failed(error);
      // A job that is here was committed before; refusing it now would have it run elsewhere as well.
      if (known) return { stored: null };
      return error instanceof CommitInDoubt ? this.#findOut({ kind, job }) : { refused: 'STORAGE' };
    }
  }

  /**
   * A job that has ended and is kept has the id. Its outbox has forgotten that one and accepted another, which is not to be
   * lost for it. True when it went.
   */
  async #makesRoom({ id, givenId, enqueuedAt }: StoredJob): Promise<boolean> {
    const { storage, commit, jobs } = this.#parts;
    if (!givenId) return false;
    const [row] = await storage.get([id]);
    if (!row || !isFinal(row.status) || row.enqueuedAt + jobs.dedupRetention >= enqueuedAt) return false;
    return (await commit.write({ kind: 'delete', id, fence: row.fence })) === 'done';
  }

  /** No more answers come; what is in doubt is left to whoever has the storage next. */
  stop(): void {
    this.#insistent.stop();
  }

  /**
   * It may be here. Refused, it would run elsewhere, and here as well one day; so its distributor hears nothing before it
   * is certain. What this process knows of the row is then what the storage says.
   */
  async #findOut(write: { kind: 'insert' | 'claim'; job: StoredJob }): Promise<Received> {
    try {
      const result = await this.#insistent.write(write);
      if (typeof result === 'object') return { refused: 'STORAGE' };
      const [row] = await this.#insistent.read(() => this.#parts.storage.get([write.job.id]));
      if (!row && result === 'stale') return { refused: 'NOT_THERE' };
      return { stored: row && !isFinal(row.status) ? waiting(row) : null };
    } catch {
      return { refused: 'STORAGE' };
    }
  }

  #failed(error: unknown): void {
    this.#parts.emit({ event: 'storage failed', role: `node ${this.#parts.settings.name}`, error });
  }
}

/**
 * One whose attempt was to begin with the commit in doubt begins with another: what was read of it may be out of date, and
 * only a commit that checks the fence says that it may run.
 */
function waiting(row: StoredJob): StoredJob {
  return row.status === 'running' ? { ...row, status: 'queued', attempt: row.attempt - 1 } : row;
}
