import type { Clock } from '../clock.js';
import type { StoredJob } from '../job/job.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { JobPage, JobStorage } from '../storage/job-storage.js';
import type { JobScheduler } from './job-scheduler.js';

const PAGE = 1_000;
/** Milliseconds until a read that failed is tried again. */
const AGAIN_AFTER = 1_000;

/** Jobs a node with a durable storage keeps in memory; later ones are read when these have become few. */
export const HORIZON = 100_000;

export interface RecovererParts {
  node: string;
  storage: JobStorage;
  scheduler: JobScheduler;
  clock: Clock;
  emit: EmitEvent;
  /** A stored job that is to wait on this node, whatever state its row is in. */
  recovered: (job: StoredJob) => Promise<void>;
  /** True for jobs that are on their way through this process already. */
  known: (id: string) => boolean;
  horizon?: number;
}

/**
 * Brings stored jobs into memory: all unfinished ones at start, up to the horizon, and the next pages when the horizon
 * runs out. Nothing is read while every stored job is in memory.
 */
export class JobRecoverer {
  readonly #parts: RecovererParts;
  readonly #horizon: number;
  /** Everything due up to here is in memory; null: everything is. */
  #completeUpTo: JobPage['after'] = null;
  #reading = false;
  #stopped = false;
  #wanted = new Map<string, ((job: StoredJob | undefined) => void)[]>();

  constructor(parts: RecovererParts) {
    this.#parts = parts;
    this.#horizon = parts.storage.durable ? (parts.horizon ?? HORIZON) : Infinity;
  }

  /** Reads what an earlier process left. Returns how many jobs there were, up to the horizon. */
  async start(): Promise<number> {
    return this.#read(null);
  }

  /** Whether a job that was just stored is to be kept in memory. */
  admits(job: StoredJob): boolean {
    if (this.#completeUpTo && job.dueAt > this.#completeUpTo.dueAt) return false;
    if (this.#parts.scheduler.size > this.#horizon * 1.5) this.#shrink();
    return true;
  }

  /** To be called when jobs have left the memory. */
  refill(): void {
    if (this.#stopped || !this.#completeUpTo || this.#reading || this.#parts.scheduler.size > this.#horizon / 2) return;
    this.#read(this.#completeUpTo).catch((error: unknown) => {
      this.#parts.emit({ event: 'storage failed', role: `node ${this.#parts.node}`, error });
      this.#parts.clock.after(AGAIN_AFTER, () => this.refill());
    });
  }

  /** The row of a job whose args are not in memory; the calls of one tick are one read, repeated until it succeeds. */
  load(id: string): Promise<StoredJob | undefined> {
    return new Promise((resolve) => {
      if (this.#wanted.size === 0) this.#parts.clock.endOfTick(() => void this.#load());
      const waiting = this.#wanted.get(id);
      if (waiting) waiting.push(resolve);
      else this.#wanted.set(id, [resolve]);
    });
  }

  async #load(): Promise<void> {
    const wanted = this.#wanted;
    this.#wanted = new Map();
    const ids = [...wanted.keys()];
    for (let from = 0; from < ids.length; from += PAGE) {
      const page = ids.slice(from, from + PAGE);
      const rows = new Map((await this.#rows(page)).map((row) => [row.id, row]));
      for (const id of page) for (const resolve of wanted.get(id) ?? []) resolve(rows.get(id));
    }
  }

  /** A storage that fails is no reason to forget a job whose time has come. */
  async #rows(ids: readonly string[]): Promise<StoredJob[]> {
    const { storage, clock, emit, node } = this.#parts;
    while (!this.#stopped) {
      try {
        return await storage.get(ids);
      } catch (error) {
        emit({ event: 'storage failed', role: `node ${node}`, error });
        await new Promise<void>((resolve) => void clock.after(AGAIN_AFTER, resolve));
      }
    }
    return [];
  }

  stop(): void {
    this.#stopped = true;
  }

  async #read(from: JobPage['after']): Promise<number> {
    this.#reading = true;
    try {
      let count = 0;
      for (let after = from; ;) {
        const page = await this.#parts.storage.unfinished({ after, limit: PAGE });
        for (const job of page) if (!this.#parts.known(job.id)) await this.#parts.recovered(job);
        count += page.length;
        const last = page.at(-1);
        after = last ? { dueAt: last.dueAt, id: last.id } : after;
        if (page.length < PAGE) this.#completeUpTo = null;
        else if (this.#parts.scheduler.size >= this.#horizon) this.#completeUpTo = after;
        else continue;
        return count;
      }
    } finally {
      this.#reading = false;
    }
  }

  #shrink(): void {
    const { scheduler } = this.#parts;
    const forgotten = scheduler.forgetLatest(scheduler.size - this.#horizon);
    // Everything due before the first forgotten one is still here; ids sort above '' at that very time.
    if (forgotten !== null) this.#completeUpTo = { dueAt: forgotten - 1, id: '\uffff' };
  }
}
