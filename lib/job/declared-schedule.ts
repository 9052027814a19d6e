import type { AnyJob } from './any-job.js';
import type { ScheduleOptions } from './schedule-options.js';

/** What a method with `@JobSchedule` is told of the run it makes the args for. */
export interface ScheduledRun {
  /** Of the schedule. */
  key: string;
  /** The time this run is for; the moment of asking for `runNow()`. It is past when a missed run is made up for. */
  slot: Date;
  /** The time the run before was for; null for the first one. */
  previous: Date | null;
}

/** A schedule as a method of the application declares it. */
export interface DeclaredSchedule {
  /** `Class.method`, for messages. */
  where: string;
  job: AnyJob;
  options: ScheduleOptions;
  /** Serialised, as the method returned them. @throws what the method throws, ARGS_INVALID, SERIALIZATION */
  args(run: ScheduledRun): Promise<string>;
}
