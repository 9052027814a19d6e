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
  /** Attempts by job name: of those that run, and of those that have run since the last look. */
  readonly #names = new Map<string, { running: number }>();
  #running = 0;
  #timer: ClockTimer | undefined;
  #stuck = 0;

  constructor({ node, clock, emit }: { node: string; clock: Clock; emit: EmitEvent }) {
    this.#node = node;
    this.#clock = clock;
    this.#emit = emit;
  }

  began({ name }: StoredJob): void {
    const known = this.#names.get(name);
    if (known) known.running++;
    else this.#names.set(name, { running: 1 });
    this.#running++;
    if (!this.#timer) this.#look();
  }

  ended({ name }: StoredJob): void {
    const known = this.#names.get(name);
    if (known) known.running--;
    this.#running--;
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
      for (const [name, { running }] of this.#names) if (running === 0) this.#names.delete(name);
      if (this.#running > 0) this.#look();
    };
    this.#timer = this.#clock.after(LOOK_EVERY, fire, false);
  }

  #stoodStill(late: number): void {
    const jobs = [...this.#names.keys()].slice(0, MOST_NAMES);
    this.#emit({ event: 'node stood still', node: this.#node, milliseconds: Math.round(late), jobs });
  }
}
