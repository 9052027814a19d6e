import type { Clock, ClockTimer } from '../clock.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { JobStorage } from '../storage/job-storage.js';
import type { PlaceOrder, PlaceRows } from '../storage/place-rows.js';
import { Place, type PlaceUse } from './place.js';

const FIRST_RETRY = 100;
const LONGEST_RETRY = 5_000;

export interface GlobalPlacesParts {
  node: string;
  storage: Pick<JobStorage, 'places' | 'driverName'>;
  clock: Clock;
  /** Between 0 and 1. */
  random: () => number;
  emit: EmitEvent;
  /** These processes, by instance id, are to order anew. */
  tell: (concerned: string[]) => void;
}

/**
 * This node's share of the limits over all nodes: places in the shared database, which are ordered when jobs have use for
 * them and given up when they have none, or others want them. While every node has what it needs nothing is asked.
 */
export class GlobalPlaces {
  readonly #parts: GlobalPlacesParts;
  /** Those that have something there, or may have, or are to have. */
  readonly #live = new Map<string, Place>();
  readonly #due = new Set<Place>();
  /** Names it was said of that their limit is not shared. */
  readonly #unshared = new Set<string>();
  #isScheduled = false;
  #isOrdering = false;
  #isFenced = false;
  #isDraining = false;
  #isStopped = false;
  /** One for all that is kept for nothing, or is another's turn soon. */
  #timer: ClockTimer | undefined;
  #timerFor = Infinity;

  constructor(parts: GlobalPlacesParts) {
    this.#parts = parts;
  }

  /** Once the storage is open: what an earlier process had here is free. @throws STORAGE */
  async start(): Promise<void> {
    this.#tell((await this.#parts.storage.places?.clear()) ?? []);
  }

  /** The places of the jobs of a name, `group` '', or of one group of them; null where no other node could count them. */
  of(name: string, group: string, limit: number, use: PlaceUse): Place | null {
    const { storage, clock, random } = this.#parts;
    if (!storage.places) {
      this.#notShared(name);
      return null;
    }
    const id = storage.places.idOf(name, group);
    const waiting = (): number => (this.#isDraining ? 0 : use.waiting());
    const changed = (place: Place): void => this.#changed(place);
    return new Place({ id, limit, use: { ...use, waiting }, clock, random, changed });
  }

  /** Nothing starts any more: others may have what nothing runs on. */
  drain(): void {
    this.#isDraining = true;
    this.look();
  }

  /** Somebody has given some up, or wants some, or has died. */
  look(): void {
    for (const place of this.#live.values()) {
      place.doubt();
      this.#due.add(place);
    }
    this.#schedule();
  }

  /** The lease is lost: others may have them from now on. */
  lost(): void {
    this.#isFenced = true;
    for (const place of this.#live.values()) place.lost();
  }

  regained(): void {
    this.#isFenced = false;
    this.look();
  }

  /** Gives up all: nothing runs any more. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    if (this.#live.size === 0) return;
    // Should it fail they are free with the lease, and whoever waits for them hears of that.
    this.#tell((await this.#parts.storage.places?.clear().catch(() => [])) ?? []);
  }

  #notShared(name: string): void {
    if (this.#unshared.has(name)) return;
    this.#unshared.add(name);
    const { node, storage, emit } = this.#parts;
    emit({ event: 'limit not shared', node, name, storage: storage.driverName ?? 'memory' });
  }

  #changed(place: Place): void {
    this.#live.set(place.id, place);
    if (place.order() === null) return this.#arm(place.next);
    this.#due.add(place);
    this.#schedule();
  }

  #schedule(): void {
    const isIdle = this.#due.size === 0 || this.#isFenced || this.#isStopped;
    if (isIdle || this.#isScheduled || this.#isOrdering) return;
    this.#isScheduled = true;
    this.#parts.clock.endOfTick(() => {
      this.#isScheduled = false;
      void this.#orderAll();
    });
  }

  /** One commit after another, until there is nothing more to order. */
  async #orderAll(): Promise<void> {
    const { storage, clock, emit, node } = this.#parts;
    this.#isOrdering = true;
    for (let wait = FIRST_RETRY; !this.#isFenced && !this.#isStopped;) {
      const due = [...this.#due];
      this.#due.clear();
      const orders = due.flatMap((place) => place.order() ?? []);
      if (orders.length === 0) break;
      try {
        await this.#order(storage.places!, orders);
        wait = FIRST_RETRY;
      } catch (error) {
        for (const { id } of orders) this.#doubt(id);
        if (this.#isFenced || this.#isStopped) break;
        emit({ event: 'storage failed', role: `node ${node}`, error });
        await new Promise<void>((resolve) => void clock.after(wait, resolve));
        wait = Math.min(wait * 2, LONGEST_RETRY);
      }
    }
    this.#isOrdering = false;
    for (const place of this.#live.values()) this.#arm(place.next);
    this.#schedule();
  }

  async #order(rows: PlaceRows, orders: PlaceOrder[]): Promise<void> {
    const places = orders.map(({ id }) => this.#live.get(id)!);
    const got = places.map((place, i) => place.begin(orders[i]!));
    const { shares, concerned } = await rows.order(orders);
    this.#tell(concerned);
    places.forEach((place, i) => {
      got[i]!(shares[i]!);
      // What was given up may be wanted again by now.
      if (place.order() !== null) this.#due.add(place);
      else if (place.isIdle) this.#live.delete(place.id);
    });
  }

  #doubt(id: string): void {
    const place = this.#live.get(id);
    if (!place) return;
    place.doubt();
    this.#due.add(place);
  }

  #tell(concerned: string[]): void {
    if (concerned.length > 0) this.#parts.tell(concerned);
  }

  #arm(next: number): void {
    if (next >= this.#timerFor || this.#isStopped) return;
    const { clock } = this.#parts;
    this.#timer?.cancel();
    this.#timerFor = next;
    this.#timer = clock.after(Math.max(1, next - clock.monotonic()), () => this.#ring(), false);
  }

  #ring(): void {
    this.#timerFor = Infinity;
    for (const place of this.#live.values()) {
      if (place.order() !== null) this.#due.add(place);
      else this.#arm(place.next);
    }
    this.#schedule();
  }
}
