import type { Clock, ClockTimer } from '../clock.js';
import type { JobOptions } from '../job/job.js';
import type { Adopted, StoragePeer, StoragePeers } from './job-storage.js';

/** A lease that runs out is looked at so much later, as two clocks are never quite the same. */
const SLACK = 50;
const AGAIN_AFTER = 1_000;

export interface PeerWatchParts {
  peers: StoragePeers;
  clock: Clock;
  /** `alive`: names of the peers that are. */
  wants: (row: { name: string; options: JobOptions }, alive: ReadonlySet<string>) => boolean;
  adopted: (page: Adopted, peer: StoragePeer) => Promise<void>;
  failed: (error: unknown) => void;
}

/**
 * Takes over what dead processes left in a shared database, without polling: the leases are read when something happened
 * that may have been a death. Each lease that is alive then is read once more when it has run out; if it was renewed
 * meanwhile its process is well, and nothing is read until something happens again.
 */
export class PeerWatch {
  readonly #parts: PeerWatchParts;
  /** What was seen of leases that may not be renewed. */
  readonly #suspects = new Map<string, number>();
  /** Of the dead: whose rows have been seen to. */
  readonly #done = new Map<string, string>();
  #timer: ClockTimer | undefined;
  /** `all`: every lease is in doubt. `suspects`: those that are due. */
  #wanted: 'all' | 'suspects' | null = null;
  #looking: Promise<void> | undefined;
  #stopped = false;

  constructor(parts: PeerWatchParts) {
    this.#parts = parts;
  }

  /** Somebody may have died. */
  look(): void {
    this.#wanted = 'all';
    this.#start();
  }

  /** Resolves when nothing is being taken over any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#looking;
  }

  #start(): void {
    if (this.#stopped) return;
    this.#looking ??= this.#run().finally(() => (this.#looking = undefined));
  }

  async #run(): Promise<void> {
    while (this.#wanted && !this.#stopped) {
      const all = this.#wanted === 'all';
      this.#wanted = null;
      try {
        await this.#round(all);
      } catch (error) {
        if (this.#stopped) return;
        this.#parts.failed(error);
        this.#arm(AGAIN_AFTER, all ? 'all' : 'suspects');
      }
    }
  }

  async #round(all: boolean): Promise<void> {
    const peers = await this.#parts.peers.list();
    const dead = peers.filter(({ left }) => left === 0);
    this.#suspect(peers, all);
    const alive = new Set(peers.filter(({ left }) => left > 0).map(({ name }) => name));
    const names = [...alive].sort().join('\n');
    for (const peer of dead) {
      const key = `${peer.instance} ${peer.expiresAt} ${names}`;
      if (this.#stopped || this.#done.get(peer.id) === key) continue;
      for await (const page of this.#parts.peers.adopt(peer, (row) => this.#parts.wants(row, alive))) {
        await this.#parts.adopted(page, peer);
        if (this.#stopped) return;
      }
      this.#done.set(peer.id, key);
    }
  }

  #suspect(peers: readonly StoragePeer[], all: boolean): void {
    const alive = peers.filter(({ left }) => left > 0);
    let next = Infinity;
    const before = new Map(this.#suspects);
    this.#suspects.clear();
    for (const { id, left, expiresAt } of alive) {
      if (!all && before.get(id) !== expiresAt) continue;
      this.#suspects.set(id, expiresAt);
      next = Math.min(next, left);
    }
    this.#timer?.cancel();
    if (next < Infinity) this.#arm(next + SLACK, 'suspects');
  }

  #arm(delay: number, wanted: 'all' | 'suspects'): void {
    this.#timer?.cancel();
    if (this.#stopped) return;
    this.#timer = this.#parts.clock.after(
      delay,
      () => {
        this.#wanted ??= wanted;
        this.#start();
      },
      false,
    );
  }
}
