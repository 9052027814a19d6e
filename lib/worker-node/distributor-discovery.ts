import type { Clock, ClockTimer } from '../clock.js';
import type { Address } from '../transport/connection.js';
import { familyOf, type Resolve } from '../transport/resolver.js';

/** While all that were found are connected: a replica that was added has nobody to tell of it but the name. */
const LOOK_AGAIN = 30_000;
/** A look-up that takes longer has failed. */
const ANSWER_WITHIN = 10_000;
const FIRST_WAIT = 250;

export interface DiscoveryParts {
  /** A host name and a port. */
  target: Address;
  resolve: Resolve;
  clock: Clock;
  random: () => number;
}

/** One distributor behind the name. */
export interface FoundDistributor {
  /** No connection to it is there or being made. */
  readonly idle: boolean;
  start(): void;
  stop(): void;
}

export interface DiscoveryEvents {
  /** `addresses`, asked before each attempt to connect, are those of this one distributor: any of them will do. */
  found(addresses: () => Promise<Address[]>): FoundDistributor;
  /** Nothing is known of where it is; `attempts` in a row. */
  unknown(remote: string, reason: string, attempts: number): void;
}

interface Place {
  addresses: Address[];
  distributor: FoundDistributor;
}

/**
 * The distributors behind one host name. Several addresses of a kind are several distributors, as of a headless service
 * of Kubernetes; one IPv4 and one IPv6 address are two ways to one. The name is looked up again before each attempt to
 * connect, and now and then while all are connected.
 */
export class DistributorDiscovery {
  readonly #parts: DiscoveryParts;
  readonly #events: DiscoveryEvents;
  readonly #places = new Map<string, Place>();
  #looking: Promise<void> | null = null;
  #timer: ClockTimer | undefined;
  #failures = 0;
  #stopped = false;

  constructor(parts: DiscoveryParts, events: DiscoveryEvents) {
    this.#parts = parts;
    this.#events = events;
  }

  start(): void {
    void this.#look();
  }

  /** The distributors themselves are stopped by whoever made them. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #look(): Promise<void> {
    this.#timer?.cancel();
    this.#looking ??= this.#ask().finally(() => {
      this.#looking = null;
      if (!this.#stopped) this.#later();
    });
    return this.#looking;
  }

  /** Never rejects: those that are known are dialled where they were, until the name says something else. */
  async #ask(): Promise<void> {
    const { host, port } = this.#parts.target;
    try {
      const found = await this.#answer(host);
      if (found.length === 0) throw new Error('it has no addresses');
      this.#failures = 0;
      if (!this.#stopped) this.#compare(placesOf(found, this.#parts.target));
    } catch (error) {
      this.#failures++;
      const why = `${host} could not be looked up: ${error instanceof Error ? error.message : String(error)}`;
      if (!this.#stopped && this.#places.size === 0) this.#events.unknown(`${host}:${port}`, why, this.#failures);
    }
  }

  #answer(host: string): Promise<string[]> {
    const { resolve, clock } = this.#parts;
    return new Promise((answered, failed) => {
      const late = (): void => failed(new Error(`no answer within ${ANSWER_WITHIN} ms`));
      const timer = clock.after(ANSWER_WITHIN, late);
      void resolve(host)
        .then(answered, failed)
        .finally(() => timer.cancel());
    });
  }

  #compare(now: Map<string, Address[]>): void {
    for (const [key, place] of this.#places) {
      if (now.has(key) || !place.distributor.idle) continue;
      this.#places.delete(key);
      place.distributor.stop();
    }
    for (const [key, addresses] of now) {
      const known = this.#places.get(key);
      if (known) known.addresses = addresses;
      else this.#add(key, addresses);
    }
  }

  #add(key: string, addresses: Address[]): void {
    let isNew = true;
    const current = async (): Promise<Address[]> => {
      // It was looked up just now.
      if (!isNew) await this.#look();
      isNew = false;
      return this.#places.get(key)?.addresses ?? addresses;
    };
    const distributor = this.#events.found(current);
    this.#places.set(key, { addresses, distributor });
    distributor.start();
  }

  #later(): void {
    const { clock, random } = this.#parts;
    const longest = Math.min(LOOK_AGAIN, FIRST_WAIT * 2 ** Math.min(this.#failures, 10));
    // Full jitter while nothing is known, else nodes would ask for a name that went away all at once.
    const wait = this.#places.size === 0 ? random() * longest : LOOK_AGAIN;
    this.#timer = clock.after(wait, () => void this.#look());
  }
}

/** By one address of each distributor, which stays the same when others come or go. */
function placesOf(found: readonly string[], { host, port }: Address): Map<string, Address[]> {
  const at = (ip: string): Address => ({ host: ip, port, name: host });
  const four = [...new Set(found.filter((ip) => familyOf(ip) === 4))];
  const six = [...new Set(found.filter((ip) => familyOf(ip) === 6))];
  if (four.length <= 1 && six.length <= 1) {
    const ways = [...four, ...six];
    return new Map(ways.slice(0, 1).map((ip) => [ip, ways.map(at)]));
  }
  const ones = four.length >= six.length ? four : six;
  return new Map(ones.map((ip) => [ip, [at(ip)]]));
}
