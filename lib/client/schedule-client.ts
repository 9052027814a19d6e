import type { Clock } from '../clock.js';
import type { AnyJob, ArgsOfJob } from '../job/any-job.js';
import { checkArgs } from '../job/check-args.js';
import { isJobDefinition } from '../job/define-job.js';
import type { EnqueueDefaults } from '../job/enqueue-options.js';
import type { JobGateway, NewJob } from '../job/job-gateway.js';
import { readName } from '../job/read-option.js';
import type { ScheduleGateway } from '../job/schedule-gateway.js';
import { readSchedule, type ScheduleOptions } from '../job/schedule-options.js';
import { nextSlot, ScheduleTimes, type ScheduleRule, type StoredSchedule } from '../job/schedule.js';
import { deserialise, serialise } from '../job/serialise.js';
import { TimeZone } from '../job/time-zone.js';
import { JobReactorError } from '../job-reactor.error.js';
import { JobHandle } from './job-handle.js';
import type { JobIds } from './job-ids.js';

/** A schedule as it is at this moment. Times are milliseconds since the epoch, durations milliseconds. */
export interface Schedule extends ScheduleRule {
  key: string;
  /** Name of the job. */
  job: string;
  /** Undefined when a method with `@JobSchedule` makes them for each run. */
  args: unknown;
  /** Whether a method with `@JobSchedule` makes its args. */
  declared: boolean;
  paused: boolean;
  /** Times whose job was enqueued; those of `runNow()` are not counted. */
  runs: number;
  /** The last of these times. */
  lastAt: number | null;
  /** The next one; null while it is paused, and once it is over. */
  nextAt: number | null;
  changedAt: number;
}

export interface ScheduleClientParts {
  gateway: JobGateway;
  jobs: EnqueueDefaults;
  clock: Clock;
  ids: JobIds;
}

/**
 * `client.schedules`: those of all applications with this distributor's name that share its outbox. Each method throws
 * NO_SCHEDULES in a process without a distributor and where the outbox keeps none, and STORAGE when the outbox fails.
 */
export class ScheduleClient {
  readonly #parts: ScheduleClientParts;

  constructor(parts: ScheduleClientParts) {
    this.#parts = parts;
  }

  /** In the order of their keys, those that are paused or over as well. */
  async list(): Promise<Schedule[]> {
    const known = new Map<string, TimeZone>();
    const zone = (name: string): TimeZone => {
      const found = known.get(name) ?? new TimeZone(name);
      known.set(name, found);
      return found;
    };
    return (await this.#gateway().list()).map((schedule) => scheduleOf(schedule, zone));
  }

  async get(key: string): Promise<Schedule | null> {
    return view(await this.#gateway().get(readKey(key)));
  }

  /** No run until `resume`, also over restarts and when it is declared. Null when there is none with this key. */
  async pause(key: string): Promise<Schedule | null> {
    return view(await this.#gateway().pause(readKey(key), true));
  }

  /** Goes on with the next time there is: those that passed meanwhile were not missed. Null when there is none. */
  async resume(key: string): Promise<Schedule | null> {
    return view(await this.#gateway().pause(readKey(key), false));
  }

  /** False when there was none. Jobs it has enqueued go on; one that is declared is there again after the next start. */
  async remove(key: string): Promise<boolean> {
    return this.#gateway().remove(readKey(key));
  }

  /**
   * Enqueues its job once more, now, paused or not: beside its times, and not counted. Null when there is none.
   * @throws {JobReactorError} also what enqueue() throws
   */
  async runNow(key: string): Promise<JobHandle | null> {
    const { gateway, clock, ids } = this.#parts;
    const draft = await this.#gateway().draft(readKey(key));
    if (!draft) return null;
    const now = clock.now();
    const job: NewJob = { ...draft, id: ids.next(now), enqueuedAt: now, runAt: now, givenId: false, closures: false };
    const { interest } = gateway.listeners.register(job.id);
    await gateway.accept([job]).catch((error: unknown) => {
      gateway.listeners.drop(job.id, 'it was not accepted.');
      throw error;
    });
    return new JobHandle(job.id, job.name, false, { gateway, clock, interest });
  }

  /** See JobReactorClient.schedule. */
  async put<D extends AnyJob>(job: D, args: ArgsOfJob<D>, options: ScheduleOptions): Promise<Schedule> {
    const { jobs, clock } = this.#parts;
    const wanted = readSchedule(job, serialise(args, 'args'), options, clock.now(), jobs);
    const schedules = this.#gateway();
    if (isJobDefinition(job) && job.schema) await checkArgs(job, args);
    return scheduleOf(await schedules.put(wanted));
  }

  #gateway(): ScheduleGateway {
    const { schedules } = this.#parts.gateway;
    if (schedules) return schedules;
    const why = 'Schedules are kept by a distributor, and this process has none.';
    throw new JobReactorError('NO_SCHEDULES', `${why} Ask in the application that has \`distributor\`.`);
  }
}

const readKey = (key: unknown): string => readName(key, 'The key of a schedule', 'INVALID_QUERY');

const view = (schedule: StoredSchedule | null): Schedule | null => schedule && scheduleOf(schedule);

function scheduleOf(stored: StoredSchedule, zone?: (name: string) => TimeZone): Schedule {
  const { key, rule, job, paused, runs, lastSlot, changedAt, since } = stored;
  return {
    key,
    job: job.name,
    args: job.args === null ? undefined : deserialise(job.args),
    declared: job.args === null,
    ...rule,
    paused,
    runs,
    lastAt: lastSlot,
    nextAt: nextSlot(stored, new ScheduleTimes(rule, since, zone)),
    changedAt,
  };
}
