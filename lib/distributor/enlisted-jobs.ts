import type { Clock, ClockTimer } from '../clock.js';
import type { HeldJob } from './held-job.js';

/** How long the end of a transaction that nobody tells of is looked for. A scan at start finds what is missed. */
const LOOK_FOR = 60_000;
const FIRST_LOOK = 100;
const LONGEST_WAIT = 5_000;

export interface EnlistedParts {
  clock: Clock;
  /** Of these jobs those that are there for everybody to see. @throws STORAGE */
  read: (ids: readonly string[]) => Promise<HeldJob[]>;
}

/** A transaction with jobs in it: the caller's, or one of our own that gave no answer. */
export interface Enlisted {
  /** `ended`: it is known to be over. `open`: it may go on. `unknown`: nobody will tell. */
  state: () => 'open' | 'ended' | 'unknown';
  committed: (job: HeldJob) => void;
  rolledBack: (id: string) => void;
}

interface Watched extends Enlisted {
  ids: Set<string>;
  since: number;
  wait: number;
  timer: ClockTimer | null;
  looking: Promise<void> | null;
}

/**
 * Jobs that lie in transactions of the application. What TypeORM tells of a transaction only says when to look: it tells
 * of the release of a savepoint as of a commit, and nothing of a connection that broke. What counts is what a connection
 * of our own sees.
 */
export class EnlistedJobs {
  readonly #parts: EnlistedParts;
  readonly #watched = new Set<Watched>();
  #stopped = false;

  constructor(parts: EnlistedParts) {
    this.#parts = parts;
  }

  /** Returns what to call when the transaction, or a part of it, may have ended. */
  watch(ids: readonly string[], enlisted: Enlisted): () => void {
    const { clock } = this.#parts;
    const since = clock.monotonic();
    const watched: Watched = { ...enlisted, ids: new Set(ids), since, wait: FIRST_LOOK, timer: null, looking: null };
    this.#watched.add(watched);
    this.#lookLater(watched);
    return () => void this.#look(watched);
  }

  /** Whether it lies in a transaction whose end is not known yet. */
  has(id: string): boolean {
    for (const { ids } of this.#watched) if (ids.has(id)) return true;
    return false;
  }

  stop(): void {
    this.#stopped = true;
    for (const { timer } of this.#watched) timer?.cancel();
    this.#watched.clear();
  }

  #lookLater(watched: Watched): void {
    const { clock } = this.#parts;
    if (clock.monotonic() - watched.since > LOOK_FOR) return;
    watched.timer = clock.after(watched.wait, () => void this.#look(watched), false);
    watched.wait = Math.min(watched.wait * 2, LONGEST_WAIT);
  }

  /** One after another: what is told while it is being looked at is looked at again. */
  #look(watched: Watched): Promise<void> {
    watched.looking = (watched.looking ?? Promise.resolve()).then(() => this.#lookNow(watched));
    return watched.looking;
  }

  async #lookNow(watched: Watched): Promise<void> {
    if (this.#stopped || !this.#watched.has(watched)) return;
    watched.timer?.cancel();
    // Before the rows are read: what ends meanwhile may not be among them.
    const state = watched.state();
    const found = await this.#parts.read([...watched.ids]).catch(() => null);
    if (this.#stopped) return;
    // What can't be looked at is not found missing: the time to look for it begins when it can.
    if (found === null) watched.since = this.#parts.clock.monotonic();
    for (const job of found ?? []) if (watched.ids.delete(job.spec.id)) watched.committed(job);
    const over = found !== null && (state === 'ended' || (state === 'unknown' && this.#isPast(watched)));
    if (over) for (const id of watched.ids) watched.rolledBack(id);
    if (over || watched.ids.size === 0) return void this.#watched.delete(watched);
    this.#lookLater(watched);
  }

  #isPast({ since }: Watched): boolean {
    return this.#parts.clock.monotonic() - since > LOOK_FOR;
  }
}
