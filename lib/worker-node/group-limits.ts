import { ChurningMap } from '../churning-map.js';
import type { Clock } from '../clock.js';
import { StartLimit, type PlacesOf, type StartLimits } from './start-limit.js';

/** Groups kept before it is looked which of them need not be. */
const FEWEST_KEPT = 1_000;

interface Counted {
  limit: StartLimit;
  waiting: number;
  /** Of those that wait, how many could start as far as this group goes. */
  startable: number;
}

/** The limits of each group of one job name. Jobs without a group, `''`, have none. */
export class GroupLimits {
  readonly #limits: StartLimits;
  readonly #clock: Clock;
  readonly #placesOf: (group: string) => PlacesOf;
  readonly #groups = new ChurningMap<string, Counted>();
  readonly #unlimited: StartLimit;
  #startable = 0;
  #pruneAt = FEWEST_KEPT;

  constructor(limits: StartLimits, clock: Clock, placesOf: (group: string) => PlacesOf) {
    this.#limits = limits;
    this.#clock = clock;
    this.#placesOf = placesOf;
    this.#unlimited = new StartLimit({}, clock, () => null);
  }

  /** How many of those that wait could start; a group whose rate has room again may count a moment later. */
  get startable(): number {
    return this.#startable;
  }

  names(): Iterable<string> {
    return this.#groups.keys();
  }

  /** How many of its jobs wait. */
  waiting(group: string): number {
    return this.#groups.get(group)?.waiting ?? 0;
  }

  of(group: string): StartLimit {
    return this.#of(group).limit;
  }

  admits(group: string): boolean {
    const counted = this.#of(group);
    this.#count(counted);
    return counted.limit.room > 0;
  }

  waits(group: string, change: 1 | -1): void {
    const counted = this.#of(group);
    counted.waiting += change;
    this.#count(counted);
  }

  began(group: string): void {
    const counted = this.#of(group);
    counted.limit.began();
    this.#count(counted);
  }

  ended(group: string): void {
    const counted = this.#of(group);
    counted.limit.ended();
    this.#count(counted);
  }

  #count(counted: Counted): void {
    const startable = Math.max(0, Math.min(counted.limit.room, counted.waiting));
    this.#startable += startable - counted.startable;
    counted.startable = startable;
  }

  #of(group: string): Counted {
    let counted = this.#groups.get(group);
    if (!counted) {
      if (this.#groups.size >= this.#pruneAt) this.#prune();
      const limit = group === '' ? this.#unlimited : new StartLimit(this.#limits, this.#clock, this.#placesOf(group));
      this.#groups.set(group, (counted = { limit, waiting: 0, startable: 0 }));
    }
    return counted;
  }

  #prune(): void {
    for (const [group, { limit, waiting }] of this.#groups)
      if (waiting === 0 && limit.isIdle) this.#groups.delete(group);
    this.#pruneAt = Math.max(FEWEST_KEPT, this.#groups.size * 2);
  }
}
