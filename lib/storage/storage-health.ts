import type { GroupCommit } from './group-commit.js';
import type { StorageOpening } from './storage-opening.js';

/** What the last commit came to, or before the first one the opening. `memory`: there is nothing to reach. */
export type StorageHealth = 'memory' | 'opening' | 'reachable' | 'unreachable';

export function storageHealth(
  durable: boolean,
  commit: Pick<GroupCommit, 'failed'> | null,
  opening: Pick<StorageOpening, 'state'> | null,
): StorageHealth {
  if (!durable || !commit || !opening) return 'memory';
  if (commit.failed || opening.state === 'waits') return 'unreachable';
  return opening.state === 'done' ? 'reachable' : 'opening';
}
