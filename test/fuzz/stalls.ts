import { readFileSync } from 'node:fs';

/** Milliseconds between two looks. */
const EVERY = 5;

/**
 * How long the event loop of this process let an event wait. On Linux without the time in which the process was ready to
 * run and others had the processor: on a busy machine that is most of it, and says nothing of the process.
 */
export class Stalls {
  longest = 0;
  /** With the time in which it got no processor. */
  longestOfAll = 0;
  #due = performance.now() + EVERY;
  #waited = waitedForProcessor();

  start(): void {
    this.#due = performance.now() + EVERY;
    setInterval(() => this.#look(), EVERY);
  }

  reset(): void {
    this.longest = this.longestOfAll = 0;
    this.#due = performance.now() + EVERY;
    this.#waited = waitedForProcessor();
  }

  #look(): void {
    const late = performance.now() - this.#due;
    const waited = waitedForProcessor();
    this.longestOfAll = Math.max(this.longestOfAll, late);
    this.longest = Math.max(this.longest, late - (waited - this.#waited));
    this.#waited = waited;
    this.#due = performance.now() + EVERY;
  }
}

/** Milliseconds, of the thread that runs the event loop; 0 where the system does not tell. */
function waitedForProcessor(): number {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
  } catch {
    return 0;
  }
}
