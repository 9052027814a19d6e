import type { GroupCommit } from '../storage/group-commit.js';
import type { JobStorage } from '../storage/job-storage.js';
import { storageHealth, type StorageHealth } from '../storage/storage-health.js';
import type { StorageOpening } from '../storage/storage-opening.js';
import type { DistributorLinks } from './distributor-links.js';
import type { RunningJob } from './running-jobs.js';

export interface NodeHealthParts {
  storage: JobStorage;
  commit: GroupCommit;
  opening: StorageOpening;
  links: DistributorLinks;
  running: ReadonlyMap<string, RunningJob>;
}

/** How a node is, from memory. */
export class NodeHealth {
  readonly #parts: NodeHealthParts;

  constructor(parts: NodeHealthParts) {
    this.#parts = parts;
  }

  get storage(): StorageHealth {
    const { storage, commit, opening } = this.#parts;
    return storageHealth(storage.durable, commit, opening);
  }

  /** Distributors it is connected to. */
  get distributors(): number {
    return this.#parts.links.connected;
  }

  get running(): number {
    return this.#parts.running.size;
  }
}
