import type { ErrorData } from './job.js';

/**
 * How one attempt ended, before anything is decided about the job. `args` are serialised, as the attempt left them.
 * - `succeeded`: the job and all its callbacks returned.
 * - `failed`: the job or a callback threw, timed out, or gave something that can't be carried.
 * - `cancelled`: `CancelJob` was thrown; `side` says which feedback is told.
 * - `snoozed`: `Snooze` was thrown; the attempt does not count, and the job runs again after `delay` milliseconds.
 * - `interrupted`: the node is stopping; the attempt does not count.
 */
export type JobOutcome =
  | { kind: 'succeeded'; result: string; args: string }
  | { kind: 'failed'; error: ErrorData; thrown: unknown; unrecoverable: boolean; args: string }
  | { kind: 'cancelled'; reason: string; side: 'success' | 'error'; args: string }
  | { kind: 'snoozed'; delay: number }
  | { kind: 'interrupted' };
