import type { JobSpec } from './job.js';
import type { NewSchedule, StoredSchedule } from './schedule.js';

/** What a schedule enqueues, before it has an id and a time. */
export type ScheduleDraft = Pick<JobSpec, 'name' | 'args' | 'options' | 'priority'>;

/** The schedules of a distributor: what the client asks of them. */
export interface ScheduleGateway {
  /** Makes it, or changes the one with its key. @throws {JobReactorError} NO_SCHEDULES, STORAGE, STOPPED */
  put(wanted: NewSchedule): Promise<StoredSchedule>;
  get(key: string): Promise<StoredSchedule | null>;
  /** In the order of their keys. */
  list(): Promise<StoredSchedule[]>;
  /** Null when there is none with this key. */
  pause(key: string, paused: boolean): Promise<StoredSchedule | null>;
  /** False when there was none. */
  remove(key: string): Promise<boolean>;
  /**
   * A job as it enqueues them, beside its own runs; null when there is none with this key.
   * @throws {JobReactorError} NO_SCHEDULES when another process makes its args
   */
  draft(key: string): Promise<ScheduleDraft | null>;
}
