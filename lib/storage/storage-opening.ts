import type { Clock, ClockTimer } from '../clock.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { JobStorage, StorageOwner } from './job-storage.js';

const FIRST_WAIT = 250;
const LONGEST_WAIT = 5_000;

export interface OpeningParts {
  storage: JobStorage;
  owner: StorageOwner;
  /** Who waits, for the log. */
  role: string;
  clock: Clock;
  emit: EmitEvent;
}

/**
 * Opens a storage, and waits for one that is away: a database may be started later than the processes that use it, or be
 * restarted while they start.
 */
export class StorageOpening {
  /** `waits`: the last try failed. `done`: what was asked for last is done. */
  state: 'new' | 'waits' | 'done' = 'new';
  readonly #parts: OpeningParts;
  #stopped = false;
  #waiting: { timer: ClockTimer; over: () => void } | undefined;

  constructor(parts: OpeningParts) {
    this.#parts = parts;
  }

  /** @throws {JobReactorError} as JobStorage.open, for what does not pass by waiting, or when this was stopped */
  open(): Promise<{ id: string }> {
    const { storage, owner } = this.#parts;
    return this.#insist(() => storage.open(owner), isAway);
  }

  /** What is to be read before anything else can go on. @throws {JobReactorError} STORAGE when this was stopped */
  read<T>(read: () => Promise<T>): Promise<T> {
    return this.#insist(read, () => true);
  }

  /** Whoever waits is told the last failure. */
  stop(): void {
    this.#stopped = true;
    this.#waiting?.timer.cancel();
    this.#waiting?.over();
  }

  async #insist<T>(work: () => Promise<T>, passes: (error: unknown) => boolean): Promise<T> {
    const { clock, emit, role } = this.#parts;
    for (let attempts = 1, wait = FIRST_WAIT; ; attempts++, wait = Math.min(wait * 2, LONGEST_WAIT)) {
      try {
        const done = await work();
        this.state = 'done';
        if (attempts > 1) emit({ event: 'storage is back', role });
        return done;
      } catch (error) {
        if (this.#stopped || !passes(error)) throw error;
        this.state = 'waits';
        emit({ event: 'storage is away', role, error, attempts });
      }
      await new Promise<void>((resolve) => {
        this.#waiting = { timer: clock.after(wait, resolve), over: resolve };
      });
    }
  }
}

const isAway = (error: unknown): boolean => error instanceof JobReactorError && error.code === 'STORAGE_UNAVAILABLE';
