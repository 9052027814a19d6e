import type { Clock } from '../clock.js';
import type { DeclaredSchedule } from '../job/declared-schedule.js';
import type { EnqueueDefaults } from '../job/enqueue-options.js';
import type { NewJob } from '../job/job-gateway.js';
import type { JobOptions } from '../job/job.js';
import { slotJobId } from '../job/schedule-ids.js';
import type { ScheduleDraft } from '../job/schedule-gateway.js';
import { readSchedule } from '../job/schedule-options.js';
import type { NewSchedule, StoredSchedule } from '../job/schedule.js';
import { JobReactorError } from '../job-reactor.error.js';

/** Milliseconds a declared method may take to make args. */
const ARGS_WITHIN = 60_000;

export interface ScheduledJobsParts {
  declared: () => readonly DeclaredSchedule[];
  jobs: EnqueueDefaults;
  clock: Clock;
}

/** Makes the jobs of schedules: with the args that are kept, or with those a method of the application makes. */
export class ScheduledJobs {
  readonly #parts: ScheduledJobsParts;
  readonly #declared = new Map<string, DeclaredSchedule>();

  constructor(parts: ScheduledJobsParts) {
    this.#parts = parts;
  }

  /** The schedules that methods declare. @throws {JobReactorError} INVALID_JOB, DUPLICATE_HANDLER */
  read(): NewSchedule[] {
    const { declared, jobs, clock } = this.#parts;
    return declared().map((one) => {
      const wanted = readSchedule(one.job, null, one.options, clock.now(), jobs);
      const other = this.#declared.get(wanted.key);
      if (other) {
        const why = `${other.where} and ${one.where} declare schedules with the same key '${wanted.key}'.`;
        throw new JobReactorError('DUPLICATE_HANDLER', `${why} Give each a \`key\` of its own.`);
      }
      this.#declared.set(wanted.key, one);
      return wanted;
    });
  }

  /** False where the args are made by a method that this process does not have. */
  makes({ job, key }: StoredSchedule): boolean {
    return job.args !== null || this.#declared.has(key);
  }

  /** Rejects with what the method threw. */
  async job(schedule: StoredSchedule, slot: number): Promise<NewJob> {
    const args = await this.#args(schedule, slot);
    const now = this.#parts.clock.now();
    const { name, priority } = schedule.job;
    const id = slotJobId(schedule.id, slot);
    const options = withExpiry(schedule, now);
    // The transaction it comes in is what makes it one of a kind: no tombstone has to be kept for that.
    return { id, name, args, options, priority, enqueuedAt: now, runAt: slot, givenId: false, closures: false };
  }

  /** Beside its slots. @throws {JobReactorError} NO_SCHEDULES */
  async draft(schedule: StoredSchedule): Promise<ScheduleDraft> {
    if (!this.makes(schedule)) {
      const why = `The args of the schedule '${schedule.key}' are made by a method with @JobSchedule that this process does not have.`;
      throw new JobReactorError('NO_SCHEDULES', `${why} Run it where that is.`);
    }
    const { name, priority } = schedule.job;
    const args = await this.#args(schedule, this.#parts.clock.now());
    return { name, priority, args, options: withExpiry(schedule, this.#parts.clock.now()) };
  }

  async #args({ key, job, lastSlot }: StoredSchedule, slot: number): Promise<string> {
    const declared = this.#declared.get(key);
    if (job.args !== null || !declared) return job.args ?? '';
    const { clock } = this.#parts;
    const previous = lastSlot === null ? null : new Date(lastSlot);
    const args = declared.args({ key, slot: new Date(slot), previous });
    return new Promise((resolve, reject) => {
      const late = `${declared.where} has not returned args within ${ARGS_WITHIN / 1_000} s.`;
      const timer = clock.after(ARGS_WITHIN, () => reject(new Error(late)), false);
      void args.then(resolve, reject).finally(() => timer.cancel());
    });
  }
}

function withExpiry({ job }: StoredSchedule, now: number): JobOptions {
  // A copy in any case: what is said of one run must not stay with the schedule.
  return { ...job.options, ...(job.expires === null ? {} : { expires: now + job.expires }) };
}
