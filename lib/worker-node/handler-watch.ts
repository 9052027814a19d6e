import { ChurningSet } from '../churning-set.js';
import { ChurningMap } from '../churning-map.js';
import type { Clock, ClockTimer } from '../clock.js';
import type { StoredJob } from '../job/job.js';
import type { EmitEvent } from '../job-reactor.events.js';

/** A handler that goes on for so long after its attempt is over does not heed `ctx.signal`. */
const STUCK_AFTER = 5_000;
/** While anything runs a timer of the event loop is looked at this often, */
const LOOK_EVERY = 1_000;
/** and one that comes so much too late is told of: at 15 s others take the process for dead. */
const STOOD_STILL = 5_000;
/** Names told of at most. */
const MOST_NAMES = 10;

/** Tells of handlers that go on after their attempt is over, and of an event loop that stood still while they ran. */
export class HandlerWatch {
  readonly #node: string;
  readonly #clock: Clock;
  readonly #emit: EmitEvent;
  /** Attempts by job name. */
  readonly #running = new ChurningMap<string, number>();
  /** Names of those that have run since the last look. */
  readonly #since = new ChurningSet<string>();
  #timer: ClockTimer | undefined;
  #stuck = 0;

  constructor({ node, clock, emit }: { node: string; clock: Clock; emit: EmitEvent }) {
    this.#node = node;
    this.#clock = clock;
    this.#emit = emit;
  }

  began({ name }: StoredJob): void {
    this.#running.set(name, (this.#running.get(name) ?? 0) + 1);
    this.#since.add(name);
    if (!this.#timer) this.#look();
  }

  ended({ name }: StoredJob): void {
    const left = (this.#running.get(name) ?? 1) - 1;
    if (left > 0) this.#running.set(name, left);
    else this.#running.delete(name);
  }

  /** Its attempt is over and its slot free, while `handler` may go on. */
  left({ id, name, attempt }: StoredJob, handler: Promise<unknown>): void {
    const since = this.#clock.monotonic();
    let isStuck = false;
    const tell = (event: 'job stuck' | 'job came back'): void => {
      const milliseconds = Math.round(this.#clock.monotonic() - since);
      this.#emit({ event, node: this.#node, id, name, attempt, milliseconds, stuck: this.#stuck });
    };
    const late = (): void => {
      isStuck = true;
      this.#stuck++;
      tell('job stuck');
    };
    const timer = this.#clock.after(STUCK_AFTER, late, false);
    const over = (): void => {
      timer.cancel();
      if (!isStuck) return;
      this.#stuck--;
      tell('job came back');
    };
    handler.then(over, over);
  }

  /** Looks again for as long as something runs: no timer of an idle node. */
  #look(): void {
    const due = this.#clock.monotonic() + LOOK_EVERY;
    const fire = (): void => {
      const late = this.#clock.monotonic() - due;
      if (late >= STOOD_STILL) this.#stoodStill(late);
      this.#timer = undefined;
      this.#since.clear();
      if (this.#running.size === 0) return;
      for (const name of this.#running.keys()) this.#since.add(name);
      this.#look();
    };
    this.#timer = this.#clock.after(LOOK_EVERY, fire, false);
  }

  #stoodStill(late: number): void {
    const jobs = [...this.#since].slice(0, MOST_NAMES);
    this.#emit({ event: 'node stood still', node: this.#node, milliseconds: Math.round(late), jobs });
  }
}
