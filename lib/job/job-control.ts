/**
 * What a cancel from outside was answered.
 * - `cancelled`: committed; no further callbacks run.
 * - `already-final`: the job had ended before.
 * - `unknown`: no connected node and no distributor knows the id.
 * - `pending`: its holder is away; the cancel is kept and delivered when it is back.
 */
export type CancelAnswer = 'cancelled' | 'already-final' | 'unknown' | 'pending';

/** The reason that a job is cancelled for when it is removed before it has ended. */
export const REMOVED = 'removed by the application';
