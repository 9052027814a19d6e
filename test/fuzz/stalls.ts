import { readFileSync } from 'node:fs';

/** Milliseconds between two looks. */
const EVERY = 5;

/**
 * How long the event loop of this process let an event wait. On Linux no longer than its thread ran meanwhile: where many
 * share a processor most of a wait is that others had it, or memory was on its way, and says nothing of the process.
 */
export class Stalls {
  longest = 0;
  /** By the clock. */
  longestOfAll = 0;
  #due = performance.now() + EVERY;
  #ran = ran();

  start(): void {
    this.reset();
    setInterval(() => this.#look(), EVERY);
  }

  reset(): void {
    this.longest = this.longestOfAll = 0;
    this.#due = performance.now() + EVERY;
    this.#ran = ran();
  }

  #look(): void {
    const late = performance.now() - this.#due;
    const before = this.#ran;
    this.#ran = ran();
    this.longestOfAll = Math.max(this.longestOfAll, late);
    this.longest = Math.max(this.longest, Number.isFinite(before) ? Math.min(late, this.#ran - before) : late);
    this.#due = performance.now() + EVERY;
  }
}

/** Milliseconds that the thread of the event loop has run; Infinity where the system does not tell. */
function ran(): number {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
  } catch {
    return Infinity;
  }
}
