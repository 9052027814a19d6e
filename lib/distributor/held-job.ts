import type { ClockTimer } from '../clock.js';
import type { HeapEntry } from '../heap.js';
import type { JobSpec, StoredJob } from '../job/job.js';
import { newStoredJob } from '../job/job.js';

/**
 * A job the distributor still answers for.
 * - `pending`: no node was found yet.
 * - `sent`: a node has it and has not confirmed that it is stored.
 * - `kept`: a node without durable storage has it; the distributor keeps it until the result.
 * - `ended`: its result came from such a node, and the application is being told.
 * - `confirmed`: a durable node has stored it, and the outbox is being told.
 */
export interface HeldJob {
  /** Where it waits for a node; the pending jobs alone change it. Null: it does not wait. */
  place: PendingPlace | null;
  /** Replaced as a whole where the job is edited before a node has it. */
  spec: JobSpec;
  state: 'pending' | 'sent' | 'kept' | 'ended' | 'confirmed';
  /** Rises with every send to another node. */
  assignment: number;
  /** Storage id of the node it was last sent to. */
  holder: string | null;
  /** Its place among the jobs of that node; theirs alone to change. */
  placeAtHolder: number;
  /** Name of that node, for log lines. */
  holderName: string | null;
  /** The outbox row's fence; rises with each change. */
  fence: number;
  /** A row of the outbox says the same of its spec. */
  readonly asStored: boolean;
  /** What a node shows that had it; null until it is made. */
  mac: string | null;
  /** The node it was last sent to shares the outbox's database, and is to take the row itself. */
  claim: boolean;
  /** Such a node did not find the row: its database is another one after all. */
  unclaimable: boolean;
}

export interface PendingPlace extends HeapEntry {
  readonly job: HeldJob;
  /** The key of its group, of the jobs that may go to the same nodes. */
  readonly route: string;
  /** Among those that have a `group`. */
  readonly turn: number;
  readonly order: number;
  /** Ends its wait when it expires. */
  readonly expiry: ClockTimer | null;
}

export function heldJob(spec: JobSpec): HeldJob {
  return {
    place: null,
    spec,
    state: 'pending',
    assignment: 0,
    holder: null,
    placeAtHolder: -1,
    mac: null,
    holderName: null,
    fence: 0,
    asStored: true,
    claim: false,
    unclaimable: false,
  };
}

/** The same as a row of the outbox. */
export function outboxRow(job: HeldJob): StoredJob {
  const row = newStoredJob(job.spec, job.assignment);
  row.holder = job.holder;
  row.fence = job.fence;
  return row;
}

export function fromOutboxRow(row: StoredJob): HeldJob {
  const { id, name, args, options, priority, enqueuedAt, origin, listeners, givenId } = row;
  // That of the enqueue, unless it was edited since.
  const runAt = row.dueAt;
  return {
    place: null,
    spec: { id, name, args, options, priority, enqueuedAt, runAt, origin, listeners, givenId },
    state: row.holder === null ? 'pending' : 'sent',
    assignment: row.assignment,
    holder: row.holder,
    placeAtHolder: -1,
    mac: null,
    holderName: null,
    fence: row.fence,
    asStored: true,
    claim: false,
    unclaimable: false,
  };
}
