import type { Clock, ClockTimer } from '../clock.js';
import { Heap } from '../heap.js';
import { goesFirst, type ReadyJob } from './ready-job.js';
import { StartRate, type Rate } from './start-rate.js';

/** What is said of the jobs of one name. */
export interface JobLimits {
  concurrency?: number;
  rate?: Rate;
}

export interface LimitedParts {
  clock: Clock;
  /** Asked once for each name. */
  limitsOf: (name: string) => JobLimits | undefined;
  /** There is room that was not there before. */
  changed: () => void;
}

interface Name<T extends ReadyJob> {
  concurrency: number;
  rate: StartRate | null;
  running: number;
  waiting: Heap<T>;
  /** Rings when its rate has room again. */
  timer: ClockTimer | undefined;
}

/** The ready jobs of names of which only so many may run at once, or start within some time, on this node. */
export class LimitedJobs<T extends ReadyJob> {
  readonly #parts: LimitedParts;
  readonly #names = new Map<string, Name<T> | null>();
  readonly #limited: Name<T>[] = [];

  constructor(parts: LimitedParts) {
    this.#parts = parts;
  }

  /** Where jobs of this name wait; null: there is no limit to them. */
  of({ name }: T): Heap<T> | null {
    return this.#of(name)?.waiting ?? null;
  }

  /** How many of those that wait could start if there were slots. */
  get startable(): number {
    let count = 0;
    for (const name of this.#limited) count += Math.max(0, Math.min(room(name), name.waiting.size));
    return count;
  }

  get isEmpty(): boolean {
    return this.#limited.every(({ waiting }) => waiting.size === 0);
  }

  /** The first of each name that has room. */
  *firsts(): Iterable<T> {
    for (const name of this.#limited) {
      const first = name.waiting.peek();
      if (first && room(name) > 0) yield first;
      else if (first) this.#arm(name);
    }
  }

  *[Symbol.iterator](): Iterator<T> {
    for (const { waiting } of this.#limited) yield* waiting;
  }

  /** Whether one more of its name may start. */
  admits({ name }: T): boolean {
    const limited = this.#of(name);
    return !limited || room(limited) > 0;
  }

  began({ name }: T): void {
    const limited = this.#of(name);
    if (!limited) return;
    limited.running++;
    limited.rate?.began();
  }

  ended({ name }: T): void {
    const limited = this.#of(name);
    if (limited) limited.running--;
  }

  /** Nothing starts until `firsts` is asked again. */
  rest(): void {
    for (const name of this.#limited) {
      name.timer?.cancel();
      name.timer = undefined;
    }
  }

  #arm(name: Name<T>): void {
    const { clock, changed } = this.#parts;
    const wait = name.rate?.wait ?? 0;
    if (wait <= 0 || name.timer) return;
    const ring = (): void => {
      name.timer = undefined;
      changed();
    };
    name.timer = clock.after(wait, ring, false);
  }

  #of(name: string): Name<T> | null {
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    const { concurrency, rate } = this.#parts.limitsOf(name) ?? {};
    const made = concurrency === undefined && !rate ? null : this.#make(concurrency ?? Infinity, rate);
    this.#names.set(name, made);
    if (made) this.#limited.push(made);
    return made;
  }

  #make(concurrency: number, rate: Rate | undefined): Name<T> {
    const counted = rate ? new StartRate(rate, this.#parts.clock) : null;
    return { concurrency, rate: counted, running: 0, waiting: new Heap<T>(goesFirst), timer: undefined };
  }
}

const room = <T extends ReadyJob>({ concurrency, running, rate }: Name<T>): number =>
  Math.min(concurrency - running, rate?.left ?? Infinity);
