import type { Clock, ClockTimer } from '../clock.js';
import { isIPv6 } from 'node:net';

/** Milliseconds that are enough for an honest handshake: one that takes longer makes room for a newcomer. */
const ENOUGH = 500;

export interface HandshakeLimits {
  /** Connections in the handshake. */
  handshakes: number;
  /** How many of them may come from one address. */
  handshakesPerAddress: number;
  /** Milliseconds for all of a handshake, whatever it is doing. */
  handshakeTimeout: number;
}

/** A connection from when it was accepted to the end of its handshake. */
export interface Handshake {
  /** It is over, or the connection is. Twice is safe. */
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
 * The connections whose handshake is not over: how many there may be, in all and from one address, and how long each may
 * take. Where there are too many the oldest goes, once it has had time enough: so a flood of connections that say nothing
 * keeps no node out, as nodes are quick.
 */
export class Handshakes {
  /** In the order in which they came. */
  readonly #entries = new Set<Entry>();
  readonly #perShare = new Map<string, number>();

  constructor(
    private readonly clock: Clock,
    private readonly limits: HandshakeLimits,
  ) {}

  /** Null: there is no room for it. */
  begin(address: string, cutOff: CutOff): Handshake | null {
    const { clock, limits } = this;
    const share = shareOf(address);
    if ((this.#perShare.get(share) ?? 0) >= limits.handshakesPerAddress) {
      if (!this.#makeRoom((entry) => entry.share === share)) return null;
    } else if (this.#entries.size >= limits.handshakes && !this.#makeRoom(() => true)) return null;

    const deadline: ClockTimer = clock.after(
      limits.handshakeTimeout,
      () => {
        entry.over();
        cutOff('HANDSHAKE_TIMEOUT', `The handshake was not over within ${limits.handshakeTimeout} ms.`);
      },
      false,
    );
    const entry: Entry = {
      share,
      since: clock.monotonic(),
      cutOff,
      over: () => {
        deadline.cancel();
        if (this.#entries.delete(entry)) this.#count(share, -1);
      },
    };
    this.#entries.add(entry);
    this.#count(share, 1);
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

  #count(share: string, change: number): void {
    const count = (this.#perShare.get(share) ?? 0) + change;
    if (count > 0) this.#perShare.set(share, count);
    else this.#perShare.delete(share);
  }
}

export const TOO_MANY = 'Too many connections are in the handshake.';

/** Whoever has one IPv6 address has the 2^64 around it. */
function shareOf(address: string): string {
  if (!isIPv6(address) || address.includes('.')) return address;
  const [head = '', tail = ''] = address.split('::');
  const front = head.split(':').filter(Boolean);
  const back = tail.split(':').filter(Boolean);
  return [...front, ...Array<string>(8 - front.length - back.length).fill('0'), ...back].slice(0, 4).join(':');
}
