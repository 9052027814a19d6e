import { expiryOf } from '../job/job-expiry.js';
import type { Clock } from '../clock.js';
import { JobInterrupted } from '../job/job.errors.js';
import type { StoredJob } from '../job/job.js';
import type { JobStorage } from '../storage/job-storage.js';
import type { JobCompleter } from './job-completer.js';
import type { JobRecoverer } from './job-recoverer.js';
import type { JobScheduler } from './job-scheduler.js';
import type { WaitingJob } from './waiting-jobs.js';
import type { JobsHere } from './jobs-here.js';
import type { NodeFacts } from './node-facts.js';
import { RunningJob } from './running-jobs.js';
import type { JobThreads } from './threads/job-threads.js';
import type { UnrunJobs } from './unrun-jobs.js';

export interface StarterParts {
  here: JobsHere;
  scheduler: JobScheduler;
  completer: JobCompleter;
  recoverer: Pick<JobRecoverer, 'admits' | 'load'>;
  unrun: Pick<UnrunJobs, 'expires'>;
  facts: Pick<NodeFacts, 'runsAlone'>;
  threads: JobThreads | null;
  clock: Clock;
  storage: Pick<JobStorage, 'peers'>;
}

/** A job with a slot, whose attempt begins with the commit by which it arrives. */
export interface BegunJob {
  waiting: WaitingJob;
  running: RunningJob;
  /** As it is to be stored. */
  begun: StoredJob;
}

/**
 * Sees to it that an attempt is committed before it begins: by a commit of its own when a job has waited, and by the one
 * that stores it when it need not wait at all.
 */
export class JobStarter {
  readonly #parts: StarterParts;
  /** Those of this tick that run once their acks have left. */
  #next: (() => void)[] | null = null;

  constructor(parts: StarterParts) {
    this.#parts = parts;
  }

  /** Null when the row is gone (cancelled or removed while it waited), or the storage was closed. */
  async begin(waiting: WaitingJob): Promise<RunningJob | null> {
    const { here, scheduler, completer, recoverer, unrun, facts } = this.#parts;
    try {
      // Most count as running in this very moment; before that nothing may be waited for without this.
      const isRead = waiting.job !== null && expiryOf(waiting.job) === undefined && !scheduler.isPaused;
      if (!isRead) here.starting.add(waiting.id);
      const job = waiting.job ?? (await recoverer.load(waiting.id));
      if (!job) return null;
      if (expiryOf(job) !== undefined && (await unrun.expires(job, waiting.settled))) return null;
      // The lease was lost while its row was read: what runs has been interrupted, and this would begin after it.
      if (scheduler.isPaused) return null;
      // Known as running before its commit, so that a cancel that comes in between finds it.
      const running = new RunningJob(job, waiting.settled);
      here.running.set(job.id, running);
      const started = await completer.begin(job);
      if (!started) return null;
      running.job = started;
      if (waiting.alone) facts.runsAlone(started);
      return running;
    } catch {
      return null;
    }
  }

  /**
   * Takes a slot for a job that has just come, if it can start now: then it is to be stored as `begun`, and `arrived` says
   * what became of it.
   */
  onArrival(job: StoredJob, settled: boolean): BegunJob | null {
    const { here, scheduler, completer, recoverer } = this.#parts;
    if (completer.thread(job) || expiryOf(job) !== undefined || !recoverer.admits(job)) return null;
    const waiting = scheduler.takeSlot(job, settled);
    if (!waiting) return null;
    // Not as begun: whoever looks whether others have what runs here finds no such row before the commit is through.
    const running = new RunningJob(job, settled);
    here.running.set(job.id, running);
    here.beginning++;
    return { waiting, running, begun: completer.begun(job) };
  }

  /** Its commit is through. @param stored what it was stored as, null: it was not @returns whether it is to run */
  arrived({ waiting, running }: BegunJob, stored: StoredJob | null): boolean {
    const { here, scheduler } = this.#parts;
    here.beginning--;
    if (stored?.status === 'running') {
      running.job = stored;
      return true;
    }
    here.running.delete(waiting.id);
    scheduler.freeSlot(waiting);
    return false;
  }

  /**
   * Runs it when it has been called stored, and that has left: its handler may hold up the event loop, or end the process.
   * What is said in this tick is put together at its end, and written at the end of the next.
   */
  afterAck({ running }: BegunJob, run: () => void): void {
    const { clock, storage } = this.#parts;
    const begin = (): void => {
      // The process stood still meanwhile; the end of the attempt will say whether others have the job.
      if (storage.peers?.lapsed) running.abort(new JobInterrupted());
      run();
    };
    if (this.#next) return void this.#next.push(begin);
    const batch = [begin];
    this.#next = batch;
    clock.endOfTick(() => {
      this.#next = null;
      clock.endOfTick(() => batch.forEach((one) => one()));
    });
  }

  /** It has left the scheduler and does not run. */
  notBegun(waiting: WaitingJob): void {
    const { here, threads, scheduler } = this.#parts;
    here.running.delete(waiting.id);
    if (waiting.thread) threads?.release();
    scheduler.freeSlot(waiting);
  }
}
