import type { Clock, ClockTimer } from '../clock.js';
import type { StoredJob } from '../job/job.js';
import { expiryOf } from '../job/job-expiry.js';
import type { NodeSettings } from '../job-reactor.options.js';
import type { JobStorage } from '../storage/job-storage.js';
import { TimerQueue } from '../timer-queue.js';
import type { JobLimits, LimitedParts } from './limited-jobs.js';
import { ReadyJobs } from './ready-jobs.js';
import type { StartGate } from './start-gate.js';
import { WaitingJobs, type WaitingHow, type WaitingJob } from './waiting-jobs.js';

export interface SchedulerParts {
  clock: Clock;
  settings: Pick<NodeSettings, 'concurrency'>;
  storage: Pick<JobStorage, 'durable'>;
  /** A free worker thread is kept for the job that starts next; false when there is none. */
  reserveThread: () => boolean;
  /** False while nothing is to start; `wake` says when that has changed. Default: jobs may start. */
  mayStart?: () => boolean;
  /** True when something in this process waits for the end of this job. */
  awaited: (id: string) => boolean;
  /** Of the jobs of a name, on this node. Default: no name has limits. */
  limitsOf?: (name: string) => JobLimits | undefined;
  /** Default: limits over all nodes hold on this one alone. */
  places?: LimitedParts['places'];
  /** All of them have to let a job start. Default: none, whatever is due may start. */
  gates?: readonly StartGate[];
  start: (job: WaitingJob) => void;
  /** A job has expired while it waited, and waits no more. */
  expired: (job: WaitingJob) => void;
}

/**
 * Decides when a job may start: its time has come, a slot is free and it is its turn. One timer over a heap, no look at
 * any storage.
 */
export class JobScheduler {
  readonly #clock: Clock;
  readonly #slots: number;
  readonly #start: (job: WaitingJob) => void;
  readonly #expired: (job: WaitingJob) => void;
  readonly #timers: TimerQueue;
  readonly #waiting: WaitingJobs;
  readonly #ready: ReadyJobs<WaitingJob>;
  readonly #gates: readonly StartGate[];
  readonly #mayStart: () => boolean;
  #timer: ClockTimer | undefined;
  #timerFor = Infinity;
  #taken = 0;
  #paused = true;

  constructor(parts: SchedulerParts) {
    this.#clock = parts.clock;
    this.#slots = parts.settings.concurrency;
    const free = (): number => this.#slots - this.#taken;
    this.#ready = new ReadyJobs({ ...parts, slots: this.#slots, free, changed: () => this.#fill() });
    const isHeld = (entry: WaitingJob): boolean => this.#isHeld(entry);
    this.#waiting = new WaitingJobs({ ...parts, ready: this.#ready, isHeld });
    this.#start = parts.start;
    this.#expired = parts.expired;
    this.#timers = new TimerQueue(parts.clock, 'wall');
    this.#mayStart = parts.mayStart ?? (() => true);
    this.#gates = parts.gates ?? [];
    const changed = (): void => {
      this.#waiting.askAgain();
      this.#fill();
    };
    for (const gate of this.#gates) gate.attach(changed);
  }

  /** Nothing is to start. */
  get isPaused(): boolean {
    return this.#paused;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Characters of args in memory. */
  get argsKept(): number {
    return this.#waiting.argsKept;
  }

  get readyCount(): number {
    return this.#ready.size;
  }

  get takenSlots(): number {
    return this.#taken;
  }

  /** Those that are taken, or kept free for a job that is to run alone. */
  get busySlots(): number {
    return this.#ready.holdsBack ? this.#slots : this.#taken;
  }

  /** A job that has just come, with nothing special to it, would wait for its turn after all others, and for nothing else. */
  get isFull(): boolean {
    return !this.#paused && this.#taken >= this.#slots && this.#ready.isPlain && !this.#ready.holdsBack;
  }

  get hasRoom(): boolean {
    return !this.#paused && this.#taken < this.#slots;
  }

  /** Whether a limit may keep jobs of this name from starting. */
  isLimited(name: string): boolean {
    return this.#ready.isLimited(name);
  }

  get(id: string): WaitingJob | undefined {
    return this.#waiting.get(id);
  }

  /** Forgets the jobs that are due last, of those whose time has not come; returns when the first forgotten one is due. */
  forgetLatest(count: number): number | null {
    const latest = this.#waiting.latest(count);
    for (const entry of latest) this.remove(entry.id);
    return latest.at(-1)?.dueAt ?? null;
  }

  /** One that waits already takes its place anew: with two places it would be begun twice. */
  add(job: StoredJob, how: WaitingHow): void {
    this.remove(job.id);
    const entry = this.#waiting.entry(job, how);
    const expires = expiryOf(job);
    if (expires !== undefined) entry.expiry = this.#timers.at(expires, () => this.#expire(entry));
    this.#waiting.add(entry);
    if (entry.ready) this.#fill();
    else this.#arm();
  }

  /** A slot for a job that need not wait: it is due, may start, and nobody is before it. Null: it has to be added. */
  takeSlot(job: StoredJob, settled: boolean): WaitingJob | null {
    const isBusy = this.#paused || this.#taken >= this.#slots || this.#ready.size > 0 || this.#ready.holdsBack;
    if (isBusy || job.dueAt > this.#clock.now() || !this.#mayStart()) return null;
    const entry = this.#waiting.entry(job, { settled, thread: false, alone: false });
    if (this.#isHeld(entry) || !this.#ready.begins(entry)) return null;
    this.#taken++;
    return entry;
  }

  /** Takes a waiting job out, for a cancel. */
  remove(id: string): WaitingJob | undefined {
    const entry = this.#waiting.get(id);
    if (!entry) return undefined;
    this.#waiting.remove(entry);
    this.#arm();
    // It may have been what the others waited for.
    if (entry.alone && entry.ready) this.#fill();
    return entry;
  }

  /**
   * Keeps a job from starting that waits for its time, until `release`; undefined when there is none such. `due`: also one
   * whose time has come, and that waits for a slot.
   */
  hold(id: string, due = false): WaitingJob | undefined {
    const entry = this.#waiting.get(id);
    if (!entry || entry.amending || (entry.ready && !due)) return undefined;
    entry.amending = true;
    this.#waiting.move(entry, true);
    this.#arm();
    return entry;
  }

  /** It may start again: as it was, or as its row is now. Nothing happens when it was taken out meanwhile. */
  release(entry: WaitingJob, job: StoredJob | null): void {
    if (this.#waiting.get(entry.id) !== entry) return;
    if (job) {
      this.remove(entry.id);
      return this.add(job, entry);
    }
    entry.amending = false;
    this.#waiting.move(entry, entry.ready && this.#isHeld(entry));
    this.#fire();
  }

  /** Forgets every job that waits. */
  clear(): void {
    for (const id of this.#waiting.ids()) this.remove(id);
  }

  /** An attempt is over. */
  freeSlot(job: WaitingJob): void {
    this.#taken--;
    this.#ready.ended(job);
    for (const gate of this.#gates) gate.ended(job);
    this.#fill();
  }

  /** A thread is free, or what may start is more. */
  wake(): void {
    this.#fill();
  }

  resume(): void {
    this.#paused = false;
    this.#ready.resume();
    this.#fire();
  }

  /** Nothing starts until `resume`; what waits stays where it is, but expires no more. */
  pause(): void {
    this.#paused = true;
    this.#timers.stop();
    this.#ready.pause();
    this.#timer = undefined;
  }

  #fill(): void {
    while (!this.#paused && this.#taken < this.#slots && this.#mayStart()) {
      const entry = this.#ready.take(this.#taken);
      if (!entry) return;
      this.#waiting.left(entry);
      this.#taken++;
      this.#start(entry);
    }
  }

  #expire(entry: WaitingJob): void {
    // Before the start of the node nobody is told; then the job is looked at when its turn comes.
    if (!this.#paused && this.remove(entry.id)) this.#expired(entry);
  }

  #isHeld(entry: WaitingJob): boolean {
    if (entry.amending) return true;
    for (const gate of this.#gates) if (!gate.admits(entry)) return true;
    return false;
  }

  #arm(): void {
    const { next } = this.#waiting;
    if (this.#paused || (next && this.#timer && this.#timerFor <= next.dueAt)) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (!next) return;
    this.#timerFor = next.dueAt;
    this.#timer = this.#timers.at(next.dueAt, () => this.#fire());
  }

  #fire(): void {
    this.#timer = undefined;
    this.#waiting.due(this.#clock.now());
    this.#fill();
    this.#arm();
  }
}
