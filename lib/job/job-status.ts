/**
 * Where a job stands. Each line says who moves it on and what a crash of the node's process leaves.
 * - `queued`: stored, its time has not come or no slot is free. The node's scheduler moves it on. A crash leaves it queued.
 * - `running`: an attempt was committed and its handler started. The executor's outcome moves it on.
 *   A crash leaves it running; the node's recoverer turns it into a spent attempt and a counted crash.
 * - `retrying`: an attempt failed, the next one is due later. The scheduler moves it on. A crash leaves it retrying.
 * - `succeeded`, `failed`, `cancelled`: final.
 * - `dead`: final; it killed its process `maxCrashes` times.
 */
export type JobStatus = 'queued' | 'running' | 'retrying' | 'succeeded' | 'failed' | 'cancelled' | 'dead';
export type FinalStatus = 'succeeded' | 'failed' | 'cancelled' | 'dead';

export const JOB_STATUSES: readonly JobStatus[] = [
  'queued',
  'running',
  'retrying',
  'succeeded',
  'failed',
  'cancelled',
  'dead',
];

export function isFinal(status: JobStatus): status is FinalStatus {
  return status === 'succeeded' || status === 'failed' || status === 'cancelled' || status === 'dead';
}
