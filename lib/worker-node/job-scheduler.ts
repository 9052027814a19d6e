import type { Clock, ClockTimer } from '../clock.js';
import { Heap, type HeapEntry } from '../heap.js';
import type { StoredJob } from '../job/job.js';
import { expiryOf } from '../job/job-expiry.js';
import { TimerQueue } from '../timer-queue.js';

/** A job that waits on this node, for its time or for a slot. */
export interface WaitingJob extends HeapEntry {
  id: string;
  name: string;
  dueAt: number;
  priority: number;
  fence: number;
  /** Where it stands among its equals. */
  order: number;
  ready: boolean;
  /** It waits for a free worker thread as well. */
  thread: boolean;
  /** The distributor will not send it again. */
  settled: boolean;
  /** Null while it waits for its time in a durable storage: a million deferred jobs must not hold their args in memory. */
  job: StoredJob | null;
  /** Rings when it has waited in vain. */
  expiry: ClockTimer | null;
}

export interface SchedulerParts {
  clock: Clock;
  slots: number;
  dropArgs: boolean;
  /** A free worker thread is kept for the job that starts next; false when there is none. */
  reserveThread: () => boolean;
  start: (job: WaitingJob) => void;
  /** A job has expired while it waited, and waits no more. */
  expired: (job: WaitingJob) => void;
}

/** Args of a job that is due later than this are not kept in memory by a node with a durable storage. */
const KEEP_ARGS_FOR = 1_000;

/**
 * Decides when a job may start: its time has come and a slot is free. One timer over a heap, no look at any storage.
 * Jobs that wait for a slot go by priority, then by time; one that needs a thread lets others pass while none is free.
 */
export class JobScheduler {
  readonly #clock: Clock;
  readonly #slots: number;
  readonly #dropArgs: boolean;
  readonly #start: (job: WaitingJob) => void;
  readonly #expired: (job: WaitingJob) => void;
  readonly #timers: TimerQueue;
  readonly #waiting = new Map<string, WaitingJob>();
  readonly #deferred = new Heap<WaitingJob>((a, b) => a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order));
  readonly #ready = new Heap<WaitingJob>(goesFirst);
  readonly #readyForThread = new Heap<WaitingJob>(goesFirst);
  readonly #reserveThread: () => boolean;
  #timer: ClockTimer | undefined;
  #timerFor = Infinity;
  #taken = 0;
  #order = 0;
  #paused = true;

  constructor(parts: SchedulerParts) {
    this.#clock = parts.clock;
    this.#slots = parts.slots;
    this.#dropArgs = parts.dropArgs;
    this.#reserveThread = parts.reserveThread;
    this.#start = parts.start;
    this.#expired = parts.expired;
    this.#timers = new TimerQueue(parts.clock, 'wall');
  }

  get size(): number {
    return this.#waiting.size;
  }

  get readyCount(): number {
    return this.#ready.size + this.#readyForThread.size;
  }

  get takenSlots(): number {
    return this.#taken;
  }

  get freeSlots(): number {
    return Math.max(0, this.#slots - this.#taken);
  }

  get(id: string): WaitingJob | undefined {
    return this.#waiting.get(id);
  }

  /** Forgets the jobs that are due last, of those whose time has not come; returns when the first forgotten one is due. */
  forgetLatest(count: number): number | null {
    const latest = [...this.#deferred].sort((a, b) => b.dueAt - a.dueAt).slice(0, count);
    for (const entry of latest) this.remove(entry.id);
    return latest.at(-1)?.dueAt ?? null;
  }

  add(job: StoredJob, settled: boolean, thread: boolean): void {
    const wait = job.dueAt - this.#clock.now();
    const entry: WaitingJob = {
      id: job.id,
      name: job.name,
      dueAt: job.dueAt,
      priority: job.priority,
      fence: job.fence,
      order: this.#order++,
      ready: wait <= 0,
      thread,
      settled,
      job: this.#dropArgs && wait > KEEP_ARGS_FOR ? null : job,
      expiry: null,
      position: -1,
    };
    const expires = expiryOf(job);
    if (expires !== undefined) entry.expiry = this.#timers.at(expires, () => this.#expire(entry));
    this.#waiting.set(job.id, entry);
    this.#heapOf(entry).push(entry);
    if (entry.ready) this.#fill();
    else this.#arm();
  }

  /** Takes a waiting job out, for a cancel. */
  remove(id: string): WaitingJob | undefined {
    const entry = this.#waiting.get(id);
    if (!entry) return undefined;
    this.#waiting.delete(id);
    entry.expiry?.cancel();
    this.#heapOf(entry).remove(entry);
    this.#arm();
    return entry;
  }

  /** Forgets every job that waits. */
  clear(): void {
    for (const id of this.#waiting.keys()) this.remove(id);
  }

  /** An attempt is over. */
  freeSlot(): void {
    this.#taken--;
    this.#fill();
  }

  /** A thread is free. */
  wake(): void {
    this.#fill();
  }

  resume(): void {
    this.#paused = false;
    this.#fire();
  }

  /** Nothing starts any more; what waits stays where it is. */
  pause(): void {
    this.#paused = true;
    this.#timers.stop();
    this.#timer = undefined;
  }

  #fill(): void {
    while (!this.#paused && this.#taken < this.#slots) {
      const entry = this.#next();
      if (!entry) return;
      this.#heapOf(entry).remove(entry);
      this.#waiting.delete(entry.id);
      entry.expiry?.cancel();
      this.#taken++;
      this.#start(entry);
    }
  }

  #expire(entry: WaitingJob): void {
    // Before the start of the node nobody is told; then the job is looked at when its turn comes.
    if (!this.#paused && this.remove(entry.id)) this.#expired(entry);
  }

  /** The most urgent job that can have all it needs. */
  #next(): WaitingJob | undefined {
    const [plain, threaded] = [this.#ready.peek(), this.#readyForThread.peek()];
    if (!threaded || (plain && goesFirst(plain, threaded))) return plain;
    return this.#reserveThread() ? threaded : plain;
  }

  #heapOf({ ready, thread }: WaitingJob): Heap<WaitingJob> {
    if (!ready) return this.#deferred;
    return thread ? this.#readyForThread : this.#ready;
  }

  #arm(): void {
    const next = this.#deferred.peek();
    if (this.#paused || (next && this.#timer && this.#timerFor <= next.dueAt)) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (!next) return;
    this.#timerFor = next.dueAt;
    this.#timer = this.#timers.at(next.dueAt, () => this.#fire());
  }

  #fire(): void {
    this.#timer = undefined;
    const now = this.#clock.now();
    for (let next = this.#deferred.peek(); next && next.dueAt <= now; next = this.#deferred.peek()) {
      this.#deferred.remove(next);
      next.ready = true;
      this.#heapOf(next).push(next);
    }
    this.#fill();
    this.#arm();
  }
}

function goesFirst(a: WaitingJob, b: WaitingJob): boolean {
  if (a.priority !== b.priority) return a.priority > b.priority;
  return a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order);
}
