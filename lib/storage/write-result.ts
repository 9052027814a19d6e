/**
 * - `done`: committed.
 * - `duplicate`: an insert whose id is known.
 * - `stale`: no row with that id and fence, or none to claim; nothing was written.
 * - `{ error }`: this one write was refused (for instance a value the database does not take); its neighbours are not affected.
 */
export type WriteResult = 'done' | 'duplicate' | 'stale' | { error: Error };
