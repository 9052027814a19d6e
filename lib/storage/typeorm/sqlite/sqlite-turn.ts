import type { Clock } from '../../../clock.js';
import { isBusy } from './sqlite-errors.js';

const FIRST_WAIT = 2;
const LONGEST_WAIT = 50;

/**
 * Everything on the one connection of a SQLite storage takes its turn here: flows that share a connection share its
 * transaction too, and one's rollback would undo another's insert.
 */
export class SqliteTurn {
  private last: Promise<unknown> = Promise.resolve();

  constructor(private readonly clock: Clock) {}

  take<T>(work: () => T | Promise<T>): Promise<T> {
    const result = this.last.then(work);
    this.last = result.catch(() => undefined);
    return result;
  }

  /** In its turn, and again while another connection is in the way, for at most `patience` ms. */
  insist<T>(patience: number, work: () => T | Promise<T>): Promise<T> {
    return this.take(() => retryWhileBusy(this.clock, patience, work));
  }
}

/** SQLite's own busy timeout would sleep in the event loop's thread, so it is next to nothing and we wait instead. */
export async function retryWhileBusy<T>(clock: Clock, patience: number, work: () => T | Promise<T>): Promise<T> {
  const deadline = clock.monotonic() + patience;
  for (let wait = FIRST_WAIT; ; wait = Math.min(wait * 2, LONGEST_WAIT)) {
    try {
      return await work();
    } catch (error) {
      if (!isBusy(error) || clock.monotonic() >= deadline) throw error;
    }
    const jittered = wait * (0.5 + Math.random() / 2);
    await new Promise<void>((resolve) => clock.after(jittered, resolve));
  }
}
