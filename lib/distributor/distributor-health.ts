import type { StorageHealth } from '../storage/storage-health.js';
import type { HeldJobs } from './held-jobs.js';
import type { NodeListener } from './node-listener.js';
import type { Outbox } from './outbox.js';

export interface DistributorHealthParts {
  listener: NodeListener;
  outbox: Outbox;
  held: HeldJobs;
}

/** How a distributor is, from memory. */
export class DistributorHealth {
  readonly #parts: DistributorHealthParts;

  constructor(parts: DistributorHealthParts) {
    this.#parts = parts;
  }

  get listens(): boolean {
    return this.#parts.listener.listens;
  }

  get storage(): StorageHealth {
    return this.#parts.outbox.health;
  }

  /** Jobs that no node has stored: those that wait and those that are on their way. */
  get unconfirmed(): number {
    return this.#parts.held.unconfirmed;
  }

  /** Jobs that wait for a node. */
  get pending(): number {
    return this.#parts.held.pending.size;
  }

  /** Of those that wait, how many by job name. */
  pendingByName(): Map<string, number> {
    return this.#parts.held.pending.names();
  }

  /** When the one that has waited longest was enqueued, milliseconds since the epoch; null: none waits. */
  get oldest(): number | null {
    return this.#parts.held.pending.oldest;
  }
}
