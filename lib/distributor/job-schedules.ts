import type { Clock, ClockTimer } from '../clock.js';
import type { Intake, NewJob } from '../job/job-gateway.js';
import type { StoredJob } from '../job/job.js';
import {
  afterSlots,
  dueSlots,
  nextSlot,
  ScheduleTimes,
  type DueSlots,
  type NewSchedule,
  type StoredSchedule,
} from '../job/schedule.js';
import { TimeZone } from '../job/time-zone.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { WriteResult } from '../storage/job-storage.js';
import { TimerQueue } from '../timer-queue.js';
import type { ScheduledJobs } from './scheduled-jobs.js';
import type { StoredSchedules } from './stored-schedules.js';

const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 60_000;
/** Schedules that are read into timers before the event loop goes on. */
const IN_ONE_TICK = 64;

type Commit = (rows: StoredJob[]) => Promise<WriteResult[] | 'stale'>;

export interface JobSchedulesParts {
  distributor: string;
  stored: StoredSchedules;
  runs: ScheduledJobs;
  /** See JobAcceptor.acceptWith. */
  accept: (jobs: readonly NewJob[], commit: Commit) => Promise<Intake[] | 'stale'>;
  clock: Clock;
  emit: EmitEvent;
}

interface Armed {
  row: StoredSchedule;
  times: ScheduleTimes;
  timer: ClockTimer | null;
  firing: boolean;
  /** In a row. */
  failures: number;
}

/**
 * Enqueues jobs at the times of schedules. Every process of an application sets a timer for each schedule it knows. The
 * jobs of a slot and the mark that it is done with are one transaction, and who comes second writes nothing and looks at
 * what has become of the schedule. So nothing is asked of the database before a slot is due, and what was changed
 * elsewhere is noticed then at the latest.
 */
export class JobSchedules {
  readonly #parts: JobSchedulesParts;
  readonly #armed = new Map<string, Armed>();
  /** Few, for many schedules; each takes a while to make. */
  readonly #zones = new Map<string, TimeZone>();
  readonly #slots: TimerQueue;
  readonly #going = new Set<Promise<unknown>>();
  /** One after another, a tick each: thousands of slots at one moment must not keep jobs from their commits. */
  #turn: Promise<unknown> = Promise.resolve();
  #takingUp: 'no' | 'now' | 'again' = 'no';
  #started = false;
  #stopped = false;
  #end: () => void = () => undefined;
  readonly #ended = new Promise<void>((resolve) => (this.#end = resolve));

  constructor(parts: JobSchedulesParts) {
    this.#parts = parts;
    this.#slots = new TimerQueue(parts.clock, 'wall', false);
  }

  /** From here on schedules fire. @throws {JobReactorError} INVALID_JOB, DUPLICATE_HANDLER, NO_SCHEDULES */
  start(): void {
    const { runs, stored } = this.#parts;
    const declared = runs.read();
    if (declared.length > 0) stored.assertKept();
    this.#started = true;
    this.#track(this.#declare(declared));
    this.takeUp();
  }

  /** Looks at all there are: others may have made some, and be gone. */
  takeUp(): void {
    if (!this.#started || this.#stopped || !this.#parts.stored.kept) return;
    if (this.#takingUp === 'no') this.#track(this.#takeUpAll());
    else this.#takingUp = 'again';
  }

  /** As it is now. */
  keep(row: StoredSchedule): void {
    const known = this.#armed.get(row.id);
    if (known && known.row.revision > row.revision) return;
    let times: ScheduleTimes;
    try {
      times = new ScheduleTimes(row.rule, row.since, (name) => this.#zone(name));
    } catch (error) {
      // Whoever made it has a runtime that knows more time zones.
      this.forget(row.id);
      return this.#failed(row, error);
    }
    const armed = known ?? { row, times, timer: null, firing: false, failures: 0 };
    Object.assign(armed, { row, times });
    this.#armed.set(row.id, armed);
    this.#arm(armed);
  }

  forget(id: string): void {
    this.#armed.get(id)?.timer?.cancel();
    this.#armed.delete(id);
  }

  /** Resolves when nothing is being fired any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#end();
    this.#slots.stop();
    await Promise.all(this.#going);
  }

  async #declare(wanted: readonly NewSchedule[]): Promise<void> {
    for (const one of wanted) await this.#insist(() => this.#parts.stored.put(one));
  }

  async #takeUpAll(): Promise<void> {
    do {
      this.#takingUp = 'now';
      const all = await this.#insist(() => this.#parts.stored.list());
      for (const [index, row] of (all ?? []).entries()) {
        this.keep(row);
        if (index % IN_ONE_TICK === 0) await this.#tick();
        if (this.#stopped) return;
      }
    } while ((this.#takingUp as string) === 'again' && !this.#stopped);
    this.#takingUp = 'no';
  }

  #arm(armed: Armed): void {
    armed.timer?.cancel();
    armed.timer = null;
    if (!this.#started || this.#stopped || armed.firing || !this.#parts.runs.makes(armed.row)) return;
    const slot = nextSlot(armed.row, armed.times);
    if (slot !== null) armed.timer = this.#slots.at(slot, () => this.#track(this.#fire(armed)));
  }

  async #fire(armed: Armed): Promise<void> {
    const { id } = armed.row;
    armed.firing = true;
    try {
      // What failed may have happened all the same.
      if (armed.failures > 0) await this.#parts.stored.lookAgain(id);
      if (this.#armed.get(id) === armed) await this.#fireNow(armed);
      armed.failures = 0;
    } catch (error) {
      if (armed.failures++ === 0) this.#failed(armed.row, error);
    }
    armed.firing = false;
    if (this.#stopped || this.#armed.get(id) !== armed) return;
    if (armed.failures === 0) return this.#arm(armed);
    const again = (): void => this.#track(this.#fire(armed));
    armed.timer = this.#parts.clock.after(waitAfter(armed.failures), again, false);
  }

  async #fireNow(armed: Armed): Promise<void> {
    const { clock, distributor, emit } = this.#parts;
    const due = await this.#inTurn(async () => dueSlots(armed.row, armed.times, clock.now()));
    if (due.until === armed.row.doneUntil) return;
    // One by one: a backlog may have room for some of them.
    const last = due.slots.at(-1);
    for (const slot of due.slots.slice(0, -1)) if (!(await this.#run(armed, { slots: [slot], until: slot }))) return;
    if (!(await this.#run(armed, { slots: last === undefined ? [] : [last], until: due.until }))) return;
    const { missed, slots } = due;
    if (missed > 0) emit({ event: 'slots missed', distributor, key: armed.row.key, missed, runs: slots.length });
  }

  /** False when it has changed meanwhile, or all is stopped. */
  async #run(armed: Armed, done: Omit<DueSlots, 'missed'>): Promise<boolean> {
    const { stored, runs, accept } = this.#parts;
    const { row } = armed;
    const jobs: NewJob[] = [];
    for (const slot of done.slots) jobs.push(await this.#orEnded(runs.job(row, slot)));
    const schedule = afterSlots(row, done);
    const commit: Commit = (rows) => stored.commit({ id: row.id, revision: row.revision, schedule, jobs: rows });
    if ((await this.#inTurn(() => accept(jobs, commit))) === 'stale') {
      await stored.lookAgain(row.id);
      return false;
    }
    if (armed.row.revision >= schedule.revision) return false;
    armed.row = schedule;
    return !this.#stopped;
  }

  #zone(name: string): TimeZone {
    const zone = this.#zones.get(name) ?? new TimeZone(name);
    this.#zones.set(name, zone);
    return zone;
  }

  #failed({ key }: StoredSchedule, error: unknown): void {
    const { distributor, emit } = this.#parts;
    if (!this.#stopped) emit({ event: 'schedule failed', distributor, key, error });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(() => this.#tick()).then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  #tick(): Promise<void> {
    return new Promise((resolve) => this.#parts.clock.endOfTick(resolve));
  }

  /** Again until it succeeds; undefined once this has been stopped. */
  async #insist<T>(work: () => Promise<T>): Promise<T | undefined> {
    const { distributor, emit, clock } = this.#parts;
    for (let failures = 1; !this.#stopped; failures++) {
      try {
        return await work();
      } catch (error) {
        if (!this.#stopped && failures === 1)
          emit({ event: 'storage failed', role: `distributor '${distributor}'`, error });
      }
      const waited = new Promise<void>((resolve) => void clock.after(waitAfter(failures), resolve, false));
      await Promise.race([waited, this.#ended]);
    }
    return undefined;
  }

  /** The application's own code may take longer than the stop. */
  #orEnded<T>(work: Promise<T>): Promise<T> {
    const ended = this.#ended.then(() => Promise.reject<T>(new Error('stopped')));
    ended.catch(() => undefined);
    return Promise.race([work, ended]);
  }

  #track(work: Promise<unknown>): void {
    this.#going.add(work);
    void work.finally(() => this.#going.delete(work));
  }
}

const waitAfter = (failures: number): number => Math.min(FIRST_WAIT * 2 ** (failures - 1), LONGEST_WAIT);
