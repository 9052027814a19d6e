import type { StoredJob } from '../job/job.js';
import type { StoredSchedule } from '../job/schedule.js';
import type { WriteResult } from './write-result.js';

/** One change of one schedule, and the jobs that come with it. */
export interface ScheduleWrite {
  id: string;
  /** The revision it is to have now; 0: it must not be there. */
  revision: number;
  /** As it is from now on; null: it goes. */
  schedule: StoredSchedule | null;
  /** Inserted as by `commit`, in the same transaction. */
  jobs: readonly StoredJob[];
}

/** The part of an outbox that keeps schedules. Who shares its database sees the same ones. */
export interface ScheduleRows {
  /** Those of one distributor's name, by id; `after` is exclusive. @throws {JobReactorError} STORAGE */
  list(distributor: string, page: { after: string | null; limit: number }): Promise<StoredSchedule[]>;
  /** Null when it is unknown. @throws {JobReactorError} STORAGE */
  get(id: string): Promise<StoredSchedule | null>;
  /**
   * Writes the schedule and inserts the jobs, both or neither. `stale`: the revision was another one, and nothing was
   * written; of any number of processes that write with the same one exactly one gets through. Else the results of the
   * inserts, in order: one that is a `duplicate` does not keep the others or the schedule from being written.
   * @throws {JobReactorError} STORAGE when nothing was committed
   * @throws {CommitInDoubt} when that can't be known
   */
  commit(write: ScheduleWrite): Promise<WriteResult[] | 'stale'>;
}
