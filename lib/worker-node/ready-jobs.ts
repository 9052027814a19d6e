import type { Clock, ClockTimer } from '../clock.js';
import { FairTurns } from '../fair-turns.js';
import { Heap } from '../heap.js';
import { FairQueue } from './fair-queue.js';
import { LimitedJobs, type JobLimits, type LimitedParts } from './limited-jobs.js';
import { goesFirst, type ReadyJob } from './ready-job.js';

export interface ReadyParts extends Pick<LimitedParts, 'free' | 'places'> {
  clock: Clock;
  slots: number;
  /** A free worker thread is kept for the job that starts next; false when there is none. */
  reserveThread: () => boolean;
  /** True when something in this process waits for the end of this job. */
  awaited: (id: string) => boolean;
  /** Of the jobs of a name. Default: no name has limits. */
  limitsOf?: (name: string) => JobLimits | undefined;
  /** `take` may give something now that it did not before. */
  changed: () => void;
}

/** While others are held back it is looked this often at what may go on all the same. Memory is looked at, no storage. */
const LOOK_EVERY = 1_000;
/** For so long the slots are left to empty themselves for a job that is to run alone; then for twice as long, and so on. */
const FIRST_PATIENCE = 60_000;
/** A job that has run alone for so long has company from then on: it may wait, without our knowing, for one held back. */
const LONGEST_ALONE = 3_600_000;

/**
 * The jobs whose time has come, and which of them is next: by priority, then groups in turns, then by time; one that needs a thread lets
 * others pass while none is free. A job that is to run alone has its turn when nothing runs, and nothing starts before it
 * has ended. Neither side waits for ever: once it is due no other starts before it, and after it as many others as there
 * are slots have their turn before the next such job.
 *
 * What is held back may be what a running job waits for. Where that is known, since it is awaited in this process, it
 * starts; where it can't be known, the limits above see to it that the node does not stand still.
 */
export class ReadyJobs<T extends ReadyJob> {
  readonly #parts: ReadyParts;
  readonly #turns = new FairTurns();
  readonly #plain = new FairQueue<T>(this.#turns);
  readonly #threaded = new FairQueue<T>(this.#turns);
  readonly #alone = new Heap<T>(goesFirst);
  readonly #limited: LimitedJobs<T>;
  /** How many others may start before the next job that is to run alone. */
  #othersFirst = 0;
  /** Of those that wait, how many need not be started in the order in which they came. */
  #special = 0;
  #runsAlone: T | undefined;
  #heldSince = 0;
  #patience = FIRST_PATIENCE;
  #looking = false;
  #paused = false;
  #timer: ClockTimer | undefined;

  constructor(parts: ReadyParts) {
    this.#parts = parts;
    const changed = (): void => {
      this.#watch();
      parts.changed();
    };
    const limitsOf = parts.limitsOf ?? (() => undefined);
    this.#limited = new LimitedJobs({ ...parts, turns: this.#turns, limitsOf, changed });
  }

  /** Those that wait for a slot; not those that would have to wait all the same, as enough of their name run. */
  get size(): number {
    return this.#plain.size + this.#threaded.size + this.#alone.size + this.#limited.startable;
  }

  /** All that wait start in the order in which they came. */
  get isPlain(): boolean {
    return this.#special === 0;
  }

  /** Whether not all jobs of this name may run that have a slot. */
  isLimited(name: string): boolean {
    return this.#limited.has({ name });
  }

  /** Free slots are of no use to others: they are kept for a job that is to run alone, or one runs. */
  get holdsBack(): boolean {
    return this.#runsAlone !== undefined || (this.#othersFirst === 0 && this.#firstAlone !== undefined);
  }

  *[Symbol.iterator](): Iterator<T> {
    yield* this.#plain;
    yield* this.#threaded;
    yield* this.#alone;
    yield* this.#limited;
  }

  push(job: T): void {
    this.#placeOf(job).push(job);
    if (this.#isSpecial(job)) this.#special++;
    if (job.alone) this.#limited.aside(job, 1);
    this.#watch();
  }

  remove(job: T): void {
    this.#leave(job);
    this.#watch();
  }

  /** Takes the job that starts now, with the thread it needs; undefined when none can. `taken`: how many slots are. */
  take(taken: number): T | undefined {
    const job = this.#next(taken);
    if (!job) return undefined;
    this.#leave(job);
    this.#began(job);
    if (job.alone) {
      this.#runsAlone = job;
      this.#othersFirst = this.#parts.slots;
      this.#heldSince = this.#parts.clock.monotonic();
      this.#patience = FIRST_PATIENCE;
    } else if (this.#alone.size > 0 && this.#othersFirst > 0) {
      this.#othersFirst--;
    }
    this.#watch();
    return job;
  }

  /** For a job that has just come and takes a slot at once. False: enough of its name run. */
  begins(job: T): boolean {
    if (!this.#limited.admits(job)) return false;
    this.#began(job);
    return true;
  }

  ended(job: T): void {
    this.#limited.ended(job);
    if (this.#runsAlone === job) this.#runsAlone = undefined;
  }

  /** Nothing starts until `resume`, and nobody's patience ends meanwhile. */
  pause(): void {
    this.#paused = true;
    this.#limited.rest();
    this.#watch();
  }

  resume(): void {
    this.#paused = false;
    this.#watch();
  }

  #next(taken: number): T | undefined {
    if (this.#runsAlone) return this.#awaited();
    const alone = this.#firstAlone;
    if (!alone) {
      const waits = this.#alone.peek();
      if (waits) this.#limited.want(waits);
      return this.#other();
    }
    const other = this.#othersFirst > 0 ? this.#other() : undefined;
    if (other) return other;
    if (taken > 0) return this.#awaited();
    if (!alone.thread || this.#parts.reserveThread()) return alone;
    // Its thread may take long to come, or never do: the others go on meanwhile.
    this.#othersFirst = this.#parts.slots;
    return this.#other();
  }

  #other(): T | undefined {
    if (!this.#limited.isEmpty) return this.#firstOfAll();
    const [plain, threaded] = [this.#plain.peek(), this.#threaded.peek()];
    if (!threaded || (plain && this.#goesFirst(plain, threaded))) return plain;
    return this.#parts.reserveThread() ? threaded : plain;
  }

  /** The same where some names have a limit: the first of each that has room. */
  #firstOfAll(): T | undefined {
    let best: T | undefined;
    let unthreaded: T | undefined;
    for (const job of [this.#plain.peek(), this.#threaded.peek(), ...this.#limited.firsts()]) {
      if (!job) continue;
      if (!best || this.#goesFirst(job, best)) best = job;
      if (!job.thread && (!unthreaded || this.#goesFirst(job, unthreaded))) unthreaded = job;
    }
    return best?.thread && !this.#parts.reserveThread() ? unthreaded : best;
  }

  /** One of the others that something in this process waits for; all of them are looked through, so not at each change. */
  #awaited(): T | undefined {
    if (!this.#looking) return undefined;
    for (const job of this.#plain) if (this.#parts.awaited(job.id)) return job;
    for (const job of this.#threaded) if (this.#parts.awaited(job.id) && this.#parts.reserveThread()) return job;
    for (const job of this.#limited) {
      const may = this.#parts.awaited(job.id) && this.#limited.admits(job);
      if (may && (!job.thread || this.#parts.reserveThread())) return job;
    }
    return undefined;
  }

  /** Looks every second for as long as others are held back. */
  #watch(): void {
    const needed = this.holdsBack && !this.#paused;
    if (needed === (this.#timer !== undefined)) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (!needed) return;
    const { clock } = this.#parts;
    if (!this.#looking && !this.#runsAlone) this.#heldSince = clock.monotonic();
    this.#timer = clock.after(LOOK_EVERY, () => this.#look(), false);
  }

  #look(): void {
    this.#timer = undefined;
    const { clock, slots, changed } = this.#parts;
    const heldFor = clock.monotonic() - this.#heldSince;
    if (this.#runsAlone && heldFor >= LONGEST_ALONE) {
      this.#runsAlone = undefined;
    } else if (!this.#runsAlone && heldFor >= this.#patience) {
      this.#othersFirst = slots;
      this.#patience *= 2;
      this.#heldSince = clock.monotonic();
    }
    this.#looking = true;
    changed();
    this.#watch();
    this.#looking = false;
  }

  #began(job: T): void {
    this.#turns.took(job.group);
    this.#limited.began(job);
  }

  /** Of jobs that wait in different places. */
  #goesFirst(a: T, b: T): boolean {
    if (a.priority !== b.priority || a.group === b.group) return goesFirst(a, b);
    const turns = this.#turns.of(a.group) - this.#turns.of(b.group);
    return turns < 0 || (turns === 0 && goesFirst(a, b));
  }

  /** The next that is to run alone; while it waits for a place among all nodes nobody is held back for it. */
  get #firstAlone(): T | undefined {
    const alone = this.#alone.peek();
    return alone && this.#limited.hasPlace(alone) ? alone : undefined;
  }

  #leave(job: T): void {
    if (job.alone) this.#limited.aside(job, -1);
    this.#placeOf(job).remove(job);
    if (this.#isSpecial(job)) this.#special--;
  }

  #isSpecial(job: T): boolean {
    return job.priority !== 0 || job.group !== '' || this.#placeOf(job) !== this.#plain;
  }

  #placeOf(job: T): { push(job: T): void; remove(job: T): void } {
    if (job.alone) return this.#alone;
    if (this.#limited.has(job)) return this.#limited;
    return job.thread ? this.#threaded : this.#plain;
  }
}
