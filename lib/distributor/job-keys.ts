import type { KeyGateway } from '../job/job-gateway.js';
import type { JobKey } from '../job/job-key.js';
import type { FeedbackRecord } from '../job/feedback-record.js';
import type { StoredJob } from '../job/job.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { KeyFreed } from '../protocol/key-messages.js';
import { claimOf, type KeyRows } from '../storage/key-rows.js';
import type { WriteResult } from '../storage/job-storage.js';
import type { ConnectedNode } from './connected-node.js';
import type { HeldJobs } from './held-jobs.js';
import type { JobProofs } from './job-proofs.js';
import type { Outbox } from './outbox.js';

export interface KeyParts {
  outbox: Pick<Outbox, 'keys' | 'insistOn' | 'enlist' | 'durable'>;
  held: Pick<HeldJobs, 'get'>;
  proofs: Pick<JobProofs, 'admits'>;
  /** Resolves when the outbox is open. @throws STOPPED, STORAGE */
  open: () => Promise<void>;
}

/** Which job has which key: taken with its acceptance, and let go of when the job has begun or ended. */
export class JobKeys implements KeyGateway {
  readonly #parts: KeyParts;

  constructor(parts: KeyParts) {
    this.#parts = parts;
  }

  /** The jobs that have these keys, in order; null: it is free. @throws INVALID_JOB, STORAGE */
  holders(keys: readonly JobKey[], now: number): Promise<(string | null)[]> {
    return this.#rows().holders(keys, now);
  }

  /** Inserts these jobs with their keys. `stale`: another was faster, and nothing was written. @throws STORAGE */
  async claim(jobs: readonly StoredJob[], now: number): Promise<WriteResult[] | 'stale'> {
    const results = await this.#rows().claim(jobs.flatMap(claimOf), jobs, now);
    return results === 'taken' ? 'stale' : results;
  }

  /** The job has come to its end; null when nothing has to be waited for. Again is harmless. */
  ended({ final, name, jobId, job }: FeedbackRecord): Promise<unknown> | null {
    if (!final || job.key === undefined) return null;
    return this.#release({ name, value: job.key }, jobId);
  }

  /** A node has started one that has its key until then, or knows that it has ended. */
  async freed(node: ConnectedNode, { id, mac, name, key }: KeyFreed): Promise<void> {
    if (!this.#parts.proofs.admits(node, { id, mac, origin: null, job: this.#parts.held.get(id) })) return;
    // One that fails as this process ends is told again: to the next one, or with the end of the job.
    await this.#release({ name, value: key }, id)?.catch(() => undefined);
  }

  /** The same, by its own word: the job that has this key has begun. */
  async over(key: JobKey, jobId: string): Promise<void> {
    await this.#release(key, jobId);
  }

  async release(key: JobKey): Promise<boolean> {
    await this.#parts.open();
    return this.#rows().release(key, null);
  }

  /** The same for a transaction of the caller's; see Outbox.enlist. */
  get enlist(): NonNullable<KeyRows['enlist']> {
    const rows = this.#rows();
    if (rows.enlist) return (...given) => rows.enlist!(...given);
    throw new JobReactorError('INVALID_JOB', noTransaction(this.#parts.outbox.durable));
  }

  #release(key: JobKey, jobId: string): Promise<unknown> | null {
    const { keys } = this.#parts.outbox;
    return keys && this.#parts.outbox.insistOn(() => keys.release(key, jobId));
  }

  #rows(): KeyRows {
    const { keys } = this.#parts.outbox;
    if (keys) return keys;
    const why =
      'The storage of this outbox is your own and keeps no keys. Leave out `key`, or give the storage its part';
    throw new JobReactorError('INVALID_JOB', `${why} \`keys\`.`);
  }
}

function noTransaction(durable: boolean): string {
  const where = durable ? 'This outbox' : 'An outbox in memory';
  return `${where} can not be part of your transaction. Keep \`distributor.outbox\` in the PostgreSQL, MySQL or MariaDB the transaction is in.`;
}
