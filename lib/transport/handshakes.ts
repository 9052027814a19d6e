import type { Clock, ClockTimer } from '../clock.js';
import { isIPv6 } from 'node:net';

/** Milliseconds that are enough for an honest handshake: one that takes longer makes room for a newcomer. */
const ENOUGH = 500;

export interface HandshakeLimits {
  /** Connections past the handshake. */
  connections: number;
  /** How many of them may come from one address. */
  connectionsPerAddress: number;
  /** Connections in the handshake. */
  handshakes: number;
  /** How many of them may come from one address. */
  handshakesPerAddress: number;
  /** Milliseconds for all of a handshake, whatever it is doing. */
  handshakeTimeout: number;
}

/** A connection from when it was accepted. */
export interface Handshake {
  /** The handshake is over, and the connection is not: from now on it counts as one of those that are in. */
  passed(): void;
  /** The connection is over. Twice is safe. */
  over(): void;
}

/** What ends a handshake from outside. */
export type CutOff = (code: 'TOO_MANY' | 'HANDSHAKE_TIMEOUT', message: string) => void;

interface Entry extends Handshake {
  share: string;
  since: number;
  cutOff: CutOff;
}

/**
 * How many connections there may be, in all and from one address, in the handshake and past it, and how long a
 * handshake may take. Where there are too many the oldest goes, once it has had time enough: so a flood of connections that say nothing
 * keeps no node out, as nodes are quick.
 */
export class Handshakes {
  /** In the order in which they came. */
  readonly #entries = new Set<Entry>();
  readonly #perShare = new Map<string, number>();
  /** Of those past it. */
  readonly #inside = new Map<string, number>();
  #allInside = 0;

  constructor(
    private readonly clock: Clock,
    private readonly limits: HandshakeLimits,
  ) {}

  /** A text: there is no room for it, and why. */
  begin(address: string, cutOff: CutOff): Handshake | string {
    const { clock, limits } = this;
    const share = shareOf(address);
    if (this.#allInside >= limits.connections) return FULL;
    if ((this.#inside.get(share) ?? 0) >= limits.connectionsPerAddress) return FULL_FOR_ADDRESS;
    if ((this.#perShare.get(share) ?? 0) >= limits.handshakesPerAddress) {
      if (!this.#makeRoom((entry) => entry.share === share)) return TOO_MANY;
    } else if (this.#entries.size >= limits.handshakes && !this.#makeRoom(() => true)) return TOO_MANY;

    const deadline: ClockTimer = clock.after(
      limits.handshakeTimeout,
      () => {
        entry.over();
        cutOff('HANDSHAKE_TIMEOUT', `The handshake was not over within ${limits.handshakeTimeout} ms.`);
      },
      false,
    );
    let isInside = false;
    const ended = (): boolean => {
      deadline.cancel();
      const was = this.#entries.delete(entry);
      if (was) count(this.#perShare, share, -1);
      return was;
    };
    const entry: Entry = {
      share,
      since: clock.monotonic(),
      cutOff,
      passed: () => {
        if (!ended()) return;
        isInside = true;
        this.#allInside++;
        count(this.#inside, share, 1);
      },
      over: () => {
        ended();
        if (!isInside) return;
        isInside = false;
        this.#allInside--;
        count(this.#inside, share, -1);
      },
    };
    this.#entries.add(entry);
    count(this.#perShare, share, 1);
    return entry;
  }

  #makeRoom(of: (entry: Entry) => boolean): boolean {
    for (const entry of this.#entries) {
      if (!of(entry)) continue;
      if (this.clock.monotonic() - entry.since < ENOUGH) return false;
      entry.over();
      entry.cutOff('TOO_MANY', TOO_MANY);
      return true;
    }
    return false;
  }
}

const TOO_MANY = 'Too many connections are in the handshake.';
const FULL = 'As many nodes are connected as `distributor.maxNodes` allows.';
const FULL_FOR_ADDRESS = 'As many nodes of this address are connected as `distributor.maxNodesPerAddress` allows.';

function count(shares: Map<string, number>, share: string, change: number): void {
  const now = (shares.get(share) ?? 0) + change;
  if (now > 0) shares.set(share, now);
  else shares.delete(share);
}

/** Whoever has one IPv6 address has the 2^64 around it. */
function shareOf(address: string): string {
  if (!isIPv6(address) || address.includes('.')) return address;
  const [head = '', tail = ''] = address.split('::');
  const front = head.split(':').filter(Boolean);
  const back = tail.split(':').filter(Boolean);
  return [...front, ...Array<string>(8 - front.length - back.length).fill('0'), ...back].slice(0, 4).join(':');
}
