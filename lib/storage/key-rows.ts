import type { JobKey } from '../job/job-key.js';
import type { StoredJob } from '../job/job.js';
import type { Enlisted } from './enlisted.js';
import type { WriteResult } from './write-result.js';

/** A key that is taken for a job. */
export interface KeyClaim extends JobKey {
  jobId: string;
  /** Milliseconds since the epoch from which on it is free; null: once it is released. */
  until: number | null;
}

/** What is taken for a job; nothing for one without a key. */
export function claimOf({ id, name, enqueuedAt, options: { key } }: StoredJob): KeyClaim[] {
  if (key === undefined) return [];
  const until = typeof key.until === 'number' ? enqueuedAt + key.until : null;
  return [{ name, value: key.value, jobId: id, until }];
}

/** What became of jobs with keys in a transaction of the caller's. */
export interface EnlistedKeys extends Enlisted {
  /** In the order of the jobs: the job that has its key, null where it got it, or has none. */
  winners: (string | null)[];
}

/** The part of an outbox that keeps which job has which key. Who shares its database sees the same. */
export interface KeyRows {
  /** Ids of the jobs that have these keys at this time, in order; null: it is free. @throws {JobReactorError} STORAGE */
  holders(keys: readonly JobKey[], now: number): Promise<(string | null)[]>;
  /**
   * Takes these keys, no two of which are the same, and inserts the jobs, both or neither. `taken`: a job has one of the
   * keys already, and nothing was written; of any number of processes that want a key exactly one gets it. Else the
   * results of the inserts, in order; the key of one that is not `done` stays free.
   * @throws {JobReactorError} STORAGE when nothing was committed
   * @throws {CommitInDoubt} when that can't be known
   */
  claim(claims: readonly KeyClaim[], jobs: readonly StoredJob[], now: number): Promise<WriteResult[] | 'taken'>;
  /**
   * Frees a key that is kept until it is released, if this job has it; null: whichever job has it, and for how long. False:
   * nothing had to be done. @throws {JobReactorError} STORAGE
   */
  release(key: JobKey, jobId: string | null): Promise<boolean>;
  /**
   * Optional: the same as `claim` within a transaction of the caller's. A job whose key another has is not inserted.
   * @param manager a TypeORM EntityManager
   * @throws {JobReactorError} INVALID_JOB when its rows can't be there, as it leads to another database
   */
  enlist?(
    manager: object,
    claims: readonly KeyClaim[],
    jobs: readonly StoredJob[],
    now: number,
    changed: () => void,
  ): Promise<EnlistedKeys>;
}
