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
  /** Of the dead: whose rows have been seen to; `for`: who was alive then, null when nothing was left to others. */
  readonly #done = new Map<string, { life: string; for: string | null }>();
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
      const life = `${peer.instance} ${peer.expiresAt}`;
      const done = this.#done.get(peer.id);
      if (this.#stopped || (done?.life === life && (done.for === null || done.for === names))) continue;
      const left = await this.#adopt(peer, alive);
      this.#done.set(peer.id, { life, for: left ? names : null });
    }
  }

  /** True when something is left to others. */
  async #adopt(peer: StoragePeer, alive: ReadonlySet<string>): Promise<boolean> {
    const { peers, wants, adopted } = this.#parts;
    let left = false;
    const wanted: Parameters<StoragePeers['adopt']>[1] = (row) => {
      const answer = wants(row, alive);
      left ||= !answer;
      return answer;
    };
    for await (const page of peers.adopt(peer, wanted)) {
      await adopted(page, peer);
      if (this.#stopped) return true;
    }
    return left;
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
