import type { Clock, ClockTimer } from '../clock.js';
import type { JobMessage } from '../protocol/job-messages.js';
import type { JobScheduler } from './job-scheduler.js';

/** Milliseconds after which a job that waits has its row taken over without a slot. */
const PATIENCE = 150;
/** Characters of args above which a job does not wait: what is on its way counts against what may be sent. */
const LONGEST_ARGS = 16_384;

/** Those that have gone are taken off the list so many at a time. */
const SWEPT_AT_ONCE = 1_024;

export interface UnclaimedParts {
  clock: Clock;
  scheduler: Pick<JobScheduler, 'isFull' | 'hasRoom' | 'readyCount' | 'isLimited'>;
}

interface Unclaimed {
  take: () => void;
  since: number;
}

/**
 * Jobs that were sent before there is a slot for them, and whose rows lie in this node's database already. When a slot is
 * free the next of them has its row taken over and its attempt begun by one commit, where it would take two otherwise:
 * a third of the database's work where jobs follow each other.
 *
 * They are on their way for all others, and the distributor still answers for them. So they wait for a moment only, and
 * not at all when their order is not that of their arrival.
 */
export class UnclaimedJobs {
  readonly #parts: UnclaimedParts;
  /** In the order of their arrival; those before `#next` have gone. */
  #waiting: Unclaimed[] = [];
  #next = 0;
  #timer: ClockTimer | undefined;

  constructor(parts: UnclaimedParts) {
    this.#parts = parts;
  }

  get size(): number {
    return this.#waiting.length - this.#next;
  }

  /** Takes this job when it is its turn, and resolves then. Null: it is to be taken at once. */
  turn(message: JobMessage, take: () => Promise<void>): Promise<void> | null {
    const { clock } = this.#parts;
    const isDue = message.job.runAt <= clock.now();
    if (isDue && this.#mayWait(message)) {
      return new Promise((resolve) => {
        this.#waiting.push({ take: () => resolve(take()), since: clock.monotonic() });
        this.#watch();
      });
    }
    // Who comes before and after whom is the scheduler's affair, which has to see all of them.
    if (isDue) this.flush();
    return null;
  }

  /** Slots are free. */
  fill(): void {
    const { scheduler } = this.#parts;
    while (this.size > 0 && scheduler.hasRoom) {
      if (scheduler.readyCount > 0) return this.flush();
      this.#takeNext();
    }
  }

  /** All of them are taken over now. */
  flush(): void {
    while (this.size > 0) this.#takeNext();
  }

  #mayWait({ job, args, claim }: JobMessage): boolean {
    const { scheduler } = this.#parts;
    const { name, options, priority } = job;
    if (claim !== true || !scheduler.isFull || args.length > LONGEST_ARGS) return false;
    const isPlain = priority === 0 && options.group === undefined && options.expires === undefined;
    return isPlain && !scheduler.isLimited(name);
  }

  #takeNext(): void {
    const { take } = this.#waiting[this.#next++]!;
    if (this.#next === this.#waiting.length || this.#next === SWEPT_AT_ONCE) {
      this.#waiting.splice(0, this.#next);
      this.#next = 0;
    }
    take();
  }

  #watch(): void {
    if (this.#timer || this.size === 0) return;
    const { clock } = this.#parts;
    const due = this.#waiting[this.#next]!.since + PATIENCE;
    const ring = (): void => {
      this.#timer = undefined;
      const now = clock.monotonic();
      while (this.size > 0 && this.#waiting[this.#next]!.since + PATIENCE <= now) this.#takeNext();
      this.#watch();
    };
    this.#timer = clock.after(due - clock.monotonic(), ring, false);
  }
}
