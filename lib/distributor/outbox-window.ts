import type { Clock, ClockTimer } from '../clock.js';
import { isInGroup } from '../job/job-query.js';
import type { StoredJob } from '../job/job.js';
import { fromOutboxRow, type HeldJob } from './held-job.js';
import type { HeldJobs } from './held-jobs.js';
import { IdHeap } from './id-heap.js';
import type { ListedJobs, Outbox } from './outbox.js';

/** Jobs whose time to expire has come that are read in one go. */
const EXPIRED_AT_ONCE = 500;

export interface WindowParts {
  held: HeldJobs;
  outbox: Outbox;
  clock: Clock;
  /** Runs at that time of day or later. */
  at: (time: number, run: () => void) => ClockTimer;
  /** Resolves when no commit is under way about any of these jobs that would make them new here. */
  settled: (ids: readonly string[]) => Promise<unknown>;
  /** Jobs that wait are in the window now. */
  loaded: () => void;
  /** One has waited until it expired. */
  expired: (job: HeldJob) => Promise<unknown>;
}

/**
 * The window over the outbox: when very many jobs wait for a node, only those whose turn is near are held whole. Of the
 * others there are ids; their rows are read while what comes before them is being sent, when somebody asks about them, and
 * when they expire. An outbox in memory has all of them in its window.
 */
export class OutboxWindow {
  readonly #parts: WindowParts;
  #expiring = new IdHeap();
  #timer: { time: number; timer: ClockTimer } | null = null;
  #asked = false;
  #loading = false;
  #expiries = 0;
  #stopped = false;

  constructor(parts: WindowParts) {
    this.#parts = parts;
  }

  /** There is room in the window. What leaves it in one tick makes room for one read. */
  room(): void {
    if (this.#asked || this.#loading) return;
    this.#asked = true;
    this.#parts.clock.endOfTick(() => {
      this.#asked = false;
      void this.#load();
    });
  }

  /** Of this one no more than the id is held. */
  beyond({ spec: { id, options } }: HeldJob): void {
    if (options.expires === undefined) return;
    // When it is the only one, those that are there are gone.
    if (this.#parts.held.pending.beyond <= 1) this.#expiring = new IdHeap();
    this.#expiring.push({ id, key: options.expires, order: this.#expiries++, value: 0, size: 0 });
    this.#arm();
  }

  /** The row of a job beyond the window; null when it is not there. @throws STORAGE */
  async row(id: string): Promise<StoredJob | null> {
    const { held, outbox } = this.#parts;
    if (held.pending.beyond === 0 || held.get(id)) return null;
    return this.#rows(
      () => outbox.rows([id]),
      ([row]) => row ?? null,
    );
  }

  /** The job beyond the window, to be ended at once; undefined when it is not there. @throws STORAGE */
  async recall(id: string): Promise<HeldJob | undefined> {
    const { held, outbox } = this.#parts;
    if (held.pending.beyond === 0 || held.get(id)) return undefined;
    return this.#rows(
      () => outbox.rows([id]),
      (rows) => this.#recalled(rows)[0],
    );
  }

  /**
   * A look at all that is here at one moment: `use` gets the rows of jobs beyond the window, of one page of the outbox in id
   * order, and the id behind which there may be more.
   * @throws STORAGE
   */
  async page<T>(which: ListedJobs, use: (beyond: StoredJob[], after: string | null) => T): Promise<T> {
    const { held, outbox } = this.#parts;
    if (held.pending.beyond === 0) return use([], null);
    const read = (): Promise<StoredJob[]> => outbox.list(which);
    return this.#rows(read, (beyond, all) =>
      use(
        beyond.filter(({ options }) => isInGroup(which.group, options)),
        all.length === which.limit ? (all.at(-1)?.id ?? null) : null,
      ),
    );
  }

  /** The jobs that wait of one page of the outbox, made whole to be ended at once. @throws STORAGE */
  async recallPage(which: ListedJobs): Promise<{ jobs: HeldJob[]; after: string | null }> {
    const { held, outbox } = this.#parts;
    if (held.pending.beyond === 0) return { jobs: [], after: null };
    return this.#rows(
      () => outbox.list(which),
      (beyond, all) => {
        // What is in the window now was beyond it a moment ago.
        const fits = ({ options }: StoredJob): boolean => isInGroup(which.group, options);
        const waiting = all.filter(fits).flatMap(({ id }) => held.waiting(id) ?? []);
        const after = all.length === which.limit ? (all.at(-1)?.id ?? null) : null;
        return { jobs: [...waiting, ...this.#recalled(beyond.filter(fits))], after };
      },
    );
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.timer.cancel();
  }

  #rows<T>(read: () => Promise<StoredJob[]>, use: (beyond: StoredJob[], all: readonly StoredJob[]) => T): Promise<T> {
    const { held, outbox } = this.#parts;
    // Those of a transaction whose end is not known yet are not among those that wait.
    return held.beyond(read, (beyond, all) => {
      const known = beyond.filter(({ id }) => !outbox.looksFor(id));
      return use(known, all);
    });
  }

  #recalled(rows: readonly StoredJob[]): HeldJob[] {
    return rows.map(fromOutboxRow).filter((job) => this.#parts.held.recall(job));
  }

  async #load(): Promise<void> {
    const { held, loaded } = this.#parts;
    if (this.#loading) return;
    this.#loading = true;
    try {
      for (let ids = held.pending.take(); ids.length > 0 && !this.#stopped; ids = held.pending.take()) {
        await this.#loadThese(ids);
        loaded();
      }
    } catch {
      // Only a stop ends the reading, and the next process begins with the rows.
    } finally {
      this.#loading = false;
    }
  }

  #loadThese(ids: readonly string[]): Promise<void> {
    const { held, outbox, settled } = this.#parts;
    const read = async (): Promise<StoredJob[]> => {
      const rows = await outbox.insist((storage) => storage.get(ids));
      // A repeat of an id is held as if it were new until the outbox has said that it is none.
      await settled(ids);
      return rows;
    };
    return this.#rows(read, (rows) => {
      const jobs = new Map(rows.map((row) => [row.id, fromOutboxRow(row)]));
      for (const id of ids) held.arrived(id, jobs.get(id) ?? null);
    });
  }

  #arm(): void {
    const time = this.#expiring.firstKey;
    if (time === undefined || this.#stopped || (this.#timer && this.#timer.time <= time)) return;
    this.#timer?.timer.cancel();
    const timer = this.#parts.at(time, () => {
      this.#timer = null;
      void this.#expire().catch(() => undefined);
    });
    this.#timer = { time, timer };
  }

  async #expire(): Promise<void> {
    const { held, outbox, clock, expired } = this.#parts;
    const now = clock.now();
    const ids: string[] = [];
    while (ids.length < EXPIRED_AT_ONCE && (this.#expiring.firstKey ?? Infinity) <= now)
      ids.push(this.#expiring.pop()!.id);
    this.#arm();
    // Who came into the window meanwhile, and perhaps left it, is not our business any more.
    const beyond = held.pending.beyond === 0 ? [] : ids.filter((id) => !held.get(id));
    if (beyond.length === 0) return;
    const read = (): Promise<StoredJob[]> => outbox.insist((storage) => storage.get(beyond));
    await this.#rows(read, (rows) => {
      for (const job of this.#recalled(rows)) void expired(job).catch(() => undefined);
    });
  }
}
