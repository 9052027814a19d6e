import { ChurningMap } from '../churning-map.js';
import type { Clock, ClockTimer } from '../clock.js';
import { Heap } from '../heap.js';
import type { StoredJob } from '../job/job.js';
import type { JobStorage } from '../storage/job-storage.js';
import { goesFirst, type ReadyJob } from './ready-job.js';
import type { ReadyJobs } from './ready-jobs.js';

/** A job that waits on this node, for its time or for a slot. */
export interface WaitingJob extends ReadyJob {
  fence: number;
  ready: boolean;
  /** The gate does not let it start. */
  held: boolean;
  /** Its row is being changed, and it may not start before that is through. */
  amending: boolean;
  /** The distributor will not send it again. */
  settled: boolean;
  /** Null while it waits for its time in a durable storage: a million deferred jobs must not hold their args in memory. */
  job: StoredJob | null;
  /** Rings when it has waited in vain. */
  expiry: ClockTimer | null;
}

/** How a job has to run, and whether its distributor lets go of it. */
export type WaitingHow = Pick<WaitingJob, 'settled' | 'thread' | 'alone'>;

interface WaitingParts {
  clock: Clock;
  storage: Pick<JobStorage, 'durable'>;
  ready: ReadyJobs<WaitingJob>;
  /** The gate does not let it start. */
  isHeld: (entry: WaitingJob) => boolean;
}

/** Args of a job that is due later than this are not kept in memory by a node with a durable storage. */
const KEEP_ARGS_FOR = 1_000;
/** Beyond so many characters of args no more are kept either: they are read again when their jobs start. */
const MOST_ARGS = 64 * 1024 * 1024;

/** The jobs that wait on a node and their places: until their time comes, until the gate lets them, until a slot is free. */
export class WaitingJobs {
  readonly #parts: WaitingParts;
  readonly #byId = new ChurningMap<string, WaitingJob>();
  readonly #deferred = new Heap<WaitingJob>((a, b) => a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order));
  readonly #held = new Heap<WaitingJob>(goesFirst);
  #order = 0;
  #args = 0;

  constructor(parts: WaitingParts) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Characters of the args that are kept. */
  get argsKept(): number {
    return this.#args;
  }

  /** The one whose time comes next. */
  get next(): WaitingJob | undefined {
    return this.#deferred.peek();
  }

  get(id: string): WaitingJob | undefined {
    return this.#byId.get(id);
  }

  ids(): Iterable<string> {
    return this.#byId.keys();
  }

  /** Those that are due last, of those whose time has not come; the very last one first. */
  latest(count: number): WaitingJob[] {
    return [...this.#deferred].sort((a, b) => b.dueAt - a.dueAt).slice(0, count);
  }

  /** For a job that has no place yet. */
  entry(job: StoredJob, how: WaitingHow): WaitingJob {
    const { clock, storage } = this.#parts;
    const wait = job.dueAt - clock.now();
    const isLong = storage.durable && (wait > KEEP_ARGS_FOR || this.#args >= MOST_ARGS);
    return new WaitingEntry(job, how, this.#order++, wait <= 0, isLong ? null : job);
  }

  add(entry: WaitingJob): void {
    this.#args += entry.job?.args.length ?? 0;
    this.#byId.set(entry.id, entry);
    entry.held = entry.ready && this.#parts.isHeld(entry);
    this.#placeOf(entry).push(entry);
  }

  remove(entry: WaitingJob): void {
    this.#placeOf(entry).remove(entry);
    this.left(entry);
  }

  /** It has left its place. */
  left(entry: WaitingJob): void {
    this.#byId.delete(entry.id);
    this.#args -= entry.job?.args.length ?? 0;
    entry.expiry?.cancel();
  }

  move(entry: WaitingJob, held: boolean): void {
    if (entry.held === held) return;
    this.#placeOf(entry).remove(entry);
    entry.held = held;
    this.#placeOf(entry).push(entry);
  }

  /** Those whose time has come are ready, or wait for the gate. */
  due(now: number): void {
    for (let next = this.next; next && next.dueAt <= now; next = this.next) {
      this.#deferred.remove(next);
      next.ready = true;
      next.held = this.#parts.isHeld(next);
      this.#placeOf(next).push(next);
    }
  }

  /** The gate has changed: those that are held go on, and those that may not start any more are held, all in their order. */
  askAgain(): void {
    const { ready, isHeld } = this.#parts;
    for (const entry of [...this.#held, ...ready].sort(byTurn)) this.move(entry, isHeld(entry));
  }

  #placeOf({ ready, held }: WaitingJob): { push(entry: WaitingJob): void; remove(entry: WaitingJob): void } {
    if (held) return this.#held;
    return ready ? this.#parts.ready : this.#deferred;
  }
}

/** A class and no literal, which V8 would make an old object from the start once many of them have waited long. */
class WaitingEntry implements WaitingJob {
  readonly id: string;
  readonly name: string;
  readonly group: string;
  readonly dueAt: number;
  readonly priority: number;
  readonly thread: boolean;
  readonly alone: boolean;
  settled: boolean;
  fence: number;
  held = false;
  amending = false;
  expiry: ClockTimer | null = null;
  position = -1;

  constructor(
    row: StoredJob,
    { settled, thread, alone }: WaitingHow,
    readonly order: number,
    public ready: boolean,
    public job: StoredJob | null,
  ) {
    this.id = row.id;
    this.name = row.name;
    this.group = row.options.group ?? '';
    this.dueAt = row.dueAt;
    this.priority = row.priority;
    this.fence = row.fence;
    this.thread = thread;
    this.alone = alone;
    this.settled = settled;
  }
}

const byTurn = (a: WaitingJob, b: WaitingJob): number => (goesFirst(a, b) ? -1 : 1);
