import type { StoredJob } from '../../../job/job.js';
import type { JobWrite } from '../../job-storage.js';
import { CHANGE_COLUMNS, changeValues, type RowValue } from '../job-rows.js';

type Of<K extends JobWrite['kind']> = Extract<JobWrite, { kind: K }>;

/*
 * What each kind of write says of a row, on every server: the columns, and the values in their order. `expected` is the
 * fence the row is to have.
 */

export const CLAIM_COLUMNS = 'id, fence, assignment, status, attempt, started_at';
export const START_COLUMNS = 'id, expected, status, attempt, fence, started_at';
export const SAVE_COLUMNS = `id, expected, ${CHANGE_COLUMNS}`;
export const DELETE_COLUMNS = 'id, expected';

export function claimValues({ id, fence, assignment, status, attempt, startedAt }: StoredJob): RowValue[] {
  return [id, fence, assignment, status, attempt, startedAt];
}

export function startValues({ id, fence, change }: Of<'start'>): RowValue[] {
  return [id, fence, change.status, change.attempt, change.fence, change.startedAt];
}

export function saveValues({ id, fence, change }: Of<'save'>): RowValue[] {
  return [id, fence, ...changeValues(change)];
}

export function deleteValues({ id, fence }: Of<'delete'>): RowValue[] {
  return [id, fence];
}
