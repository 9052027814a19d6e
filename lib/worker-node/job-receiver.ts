import type { Clock } from '../clock.js';
import type { JobHandlers } from '../handlers/job-handler.js';
import { receivedJob, type StoredJob } from '../job/job.js';
import { isFinal } from '../job/job-status.js';
import type { NodeSettings } from '../job-reactor.options.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { JobMessage, RefuseCode } from '../protocol/job-messages.js';
import { CommitInDoubt } from '../storage/commit-in-doubt.js';
import type { GroupCommit } from '../storage/group-commit.js';
import { InsistentCommit } from '../storage/insistent-commit.js';
import type { JobStorage } from '../storage/job-storage.js';

export interface ReceiverParts {
  settings: NodeSettings;
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
  draining = false;
  /** The node has lost its lease: whatever it has or is sent is others' business. */
  fenced = false;

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
    this.#insistent = new InsistentCommit(parts.commit, parts.clock, (error) => this.#failed(error));
  }

  async receive(message: JobMessage, stored: number, known: boolean): Promise<Received> {
    const { settings, handlers, commit } = this.#parts;
    const { name } = message.job;
    if (this.fenced) return { refused: 'STORAGE' };
    if (this.draining && !known) return { refused: 'DRAINING' };
    if (!handlers.find(name) || (settings.accepts && !settings.accepts.includes(name)))
      return { refused: 'UNKNOWN_JOB' };
    if (!known && stored >= settings.maxStored) return { refused: 'FULL' };
    const job = receivedJob(message.job, message.args, message.assignment);
    const kind = message.claim ? 'claim' : 'insert';
    if (message.claim && known) return { stored: null };
    try {
      const result = await commit.write({ kind, job });
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
      return { stored: row && !isFinal(row.status) ? row : null };
    } catch {
      return { refused: 'STORAGE' };
    }
  }

  #failed(error: unknown): void {
    this.#parts.emit({ event: 'storage failed', role: `node ${this.#parts.settings.name}`, error });
  }
}
