import { ChurningSet } from '../churning-set.js';
import { ChurningMap } from '../churning-map.js';
import type { RunningJob } from './running-jobs.js';

/** The jobs of a node by how far they have come; who is in none of these waits in the scheduler, or in the storage alone. */
export class JobsHere {
  /** On their way into the storage: one sent twice is stored and answered once, a cancel waits for it. */
  readonly arriving = new ChurningMap<string, Promise<unknown>>();
  /** They have left the scheduler, and what is to be known before they run is being read. */
  readonly starting = new ChurningSet<string>();
  readonly running = new ChurningMap<string, RunningJob>();
  /** How many are in the storage and have not ended. */
  stored = 0;
  /** How many of those that arrive have a slot already. */
  beginning = 0;

  /** Those that arrive and will want a slot. */
  get queueing(): number {
    return this.arriving.size - this.beginning;
  }

  /** Whether it runs, or is about to. */
  hasBegun(id: string): boolean {
    return this.running.has(id) || (this.starting.size > 0 && this.starting.has(id));
  }
}
