import type { Clock } from '../clock.js';
import type { PlaceOrder, PlaceShare } from '../storage/place-rows.js';

/** Milliseconds a place that is not used is kept, where nobody else wants it: the next job need not ask for one. */
const KEPT_FOR = 2_000;
/** Where others have none at all a place is used for so long before it is given up, that not each job costs a commit. */
const TURN = 100;

/** What a place is good for on this node. */
export interface PlaceUse {
  /** More are of no use here. */
  most: number;
  /** Jobs that wait, and slots for them. */
  waiting: () => number;
  free: () => number;
  /** More or fewer may start than before. */
  changed: () => void;
}

export interface PlaceParts {
  id: string;
  limit: number;
  use: PlaceUse;
  clock: Clock;
  random: () => number;
  /** There is something to order, or will be. */
  changed: (place: Place) => void;
}

/**
 * This node's places of one limit over all nodes: how many it has, and how many it is to have. It takes what it has use
 * for; where others have use for more as well, a fair share, and where one of those has none at all, it gives up what it
 * does not run on.
 */
export class Place {
  readonly #parts: PlaceParts;
  /** So many may run here. */
  held = 0;
  #running = 0;
  /** What the database says that this node has; at least what is held. */
  #kept = 0;
  /** It says there that it has use for more. */
  #isWanting = false;
  #share: PlaceShare | null = null;
  #gainedAt = 0;
  #turn = TURN;
  #unusedSince: number | null = null;
  /** What is known may be out of date: it is to be ordered although nothing has changed here. */
  #isInDoubt = false;
  /** Rises when all was lost: what is answered to earlier orders means nothing any more. */
  #life = 0;

  constructor(parts: PlaceParts) {
    this.#parts = parts;
  }

  get id(): string {
    return this.#parts.id;
  }

  /** How many more may start. */
  get room(): number {
    return this.held - this.#running;
  }

  /** As one that was just made. */
  get isIdle(): boolean {
    return this.#running + this.held + this.#kept === 0 && !this.#isWanting && !this.#isInDoubt;
  }

  /** When there may be something to order although nothing happens, by the monotonic clock. */
  get next(): number {
    if (this.room <= 0) return Infinity;
    if (this.#isContended) return this.#share?.isStarving ? this.#gainedAt + this.#turn : Infinity;
    return this.#unusedSince === null ? Infinity : this.#unusedSince + KEPT_FOR;
  }

  began(): void {
    this.#running++;
    this.#unusedSince = null;
  }

  ended(): void {
    this.#running--;
    this.#giveUp();
    if (this.#kept > this.held || this.#need < this.held) this.#parts.changed(this);
  }

  /** A job can not start for want of one. */
  want(): void {
    if (this.#order() !== null) this.#parts.changed(this);
  }

  doubt(): void {
    this.#isInDoubt = true;
  }

  /** Others may have them. */
  lost(): void {
    this.#life++;
    this.held = 0;
    this.#isInDoubt = true;
    this.#parts.use.changed();
  }

  /** What is to be ordered now; null: it is as it is to be. */
  order(): PlaceOrder | null {
    this.#note();
    return this.#order();
  }

  /** It is being ordered. @returns what to call with what came of it */
  begin(order: PlaceOrder): (share: PlaceShare) => void {
    this.#isInDoubt = false;
    this.held = Math.min(this.held, order.count);
    const life = this.#life;
    return (share) => {
      if (life === this.#life) this.#got(share, order);
    };
  }

  #got(share: PlaceShare, { wanted }: PlaceOrder): void {
    const { clock, random, use } = this.#parts;
    const had = this.held;
    this.#share = share;
    this.#kept = share.has;
    this.#isWanting = wanted > share.has;
    this.held = share.has;
    if (this.held > had) {
      this.#gainedAt = clock.monotonic();
      // Two that each have what the other waits for must not give it up at the same time for ever.
      this.#turn = TURN * (1 + random() / 2);
    }
    this.#giveUp();
    this.#note();
    use.changed();
  }

  get #need(): number {
    const { limit, use } = this.#parts;
    const { most, waiting, free } = use;
    // One also while no slot is free: nobody asks again when there is one.
    return Math.min(limit, most, this.#running + Math.min(waiting(), Math.max(1, free())));
  }

  get #isContended(): boolean {
    return (this.#share?.wanting ?? 0) > 0;
  }

  /** Nothing starts on a place that is about to be another's. */
  #giveUp(): void {
    if (this.#isContended) this.held = Math.max(this.#running, Math.min(this.held, this.#count()));
  }

  #count(): number {
    const { limit, clock } = this.#parts;
    const now = clock.monotonic();
    const need = Math.max(this.#running, this.#need);
    if (this.#share && this.#isContended) {
      if (this.#share.isStarving && this.#kept > 0 && now >= this.#gainedAt + this.#turn) return this.#running;
      return Math.max(this.#running, Math.min(need, Math.ceil(limit / (this.#share.others + 1))));
    }
    const isKept = this.#unusedSince !== null && now < this.#unusedSince + KEPT_FOR;
    return isKept ? Math.max(need, this.held) : need;
  }

  #note(): void {
    if (this.#need >= this.held) this.#unusedSince = null;
    else this.#unusedSince ??= this.#parts.clock.monotonic();
  }

  #order(): PlaceOrder | null {
    const { id, limit } = this.#parts;
    const count = this.#count();
    const wanted = Math.max(count, this.#need);
    const isWanting = wanted > this.#kept;
    // Where it has said that it wants more it is told of what others give up.
    const isNews = count < this.#kept || (isWanting && !this.#isWanting) || (!isWanting && this.#isWanting);
    return isNews || this.#isInDoubt ? { id, limit, count, wanted } : null;
  }
}
