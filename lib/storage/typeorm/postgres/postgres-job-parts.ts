import type { StoredJob } from '../../../job/job.js';
import { CHANGE_COLUMNS, JOB_COLUMNS, NEW_JOB_COLUMNS, jobValues, newJobValues } from '../job-rows.js';
import {
  CLAIM_COLUMNS,
  DELETE_COLUMNS,
  SAVE_COLUMNS,
  START_COLUMNS,
  claimValues,
  deleteValues,
  saveValues,
  startValues,
} from '../server/job-write-values.js';
import type { TableNames } from '../table-names.js';
import { assignments, columnsOf, excluded, listParams, unnest, type Column } from './postgres-arrays.js';
import { MINE, OWNED, type PostgresPart } from './postgres-part.js';

const JOB = columnsOf(JOB_COLUMNS);
const NEW_JOB = columnsOf(NEW_JOB_COLUMNS);
/** The values of `JOB_COLUMNS` behind those: of most inserts, so they are said once and not for each row. */
const NEVER_RUN = "0, 'queued', 1, 0, 0, v.run_at, NULL, NULL, NULL, NULL, NULL, TRUE";
const CLAIM: Column[] = columnsOf(CLAIM_COLUMNS);
const START: Column[] = columnsOf(START_COLUMNS);
const SAVE: Column[] = columnsOf(SAVE_COLUMNS);
const DELETE: Column[] = columnsOf(DELETE_COLUMNS);

const GUARDED = `job.id = v.id AND job.fence = v.expected AND ${OWNED} AND ${MINE}`;

/** A subquery with a value is asked for each row found; EXISTS would become a join, which reads all rows of that owner. */
const ofOutbox = ({ leases }: TableNames): string =>
  `job.unfinished AND (SELECT l.role FROM ${leases} l WHERE l.id = job.owner) = 'outbox'`;

/**
 * The job is in the same database already, as a row of the outbox it comes from: it changes hands. What that outbox
 * does with its row later finds it gone.
 */
const takeOver = (tables: TableNames): string =>
  `UPDATE SET ${excluded(`${JOB_COLUMNS.replace('id, ', '')}, owner`)} WHERE ${ofOutbox(tables)}`;

/** What is done to rows of jobs; each of these answers which rows it found as expected. */
export const JOB_PARTS: readonly PostgresPart[] = [
  {
    name: 'inserted',
    answers: true,
    count: ({ inserts }) => inserts.length,
    text: ({ tables, role, fresh }) =>
      `INSERT INTO ${tables.jobs} AS job (${JOB_COLUMNS}, owner) ` +
      `SELECT v.*, ${fresh ? `${NEVER_RUN}, ` : ''}?::uuid FROM ${unnest(fresh ? NEW_JOB : JOB)} ` +
      `WHERE ${MINE} AND NOT EXISTS (SELECT FROM ${tables.feedbacks} f WHERE f.job_id = v.id) ` +
      `AND NOT EXISTS (SELECT FROM ${tables.tombstones} t WHERE t.id = v.id AND t.expires_at > ?::bigint) ` +
      `ON CONFLICT (id) DO ${role === 'node' ? takeOver(tables) : 'NOTHING'} RETURNING job.id`,
    params: ({ inserts }, owner, fresh, now) => [
      owner.id,
      ...listParams(fresh ? NEW_JOB : JOB, inserts.map(fresh ? newJobValues : jobValues)),
      now,
    ],
  },
  {
    name: 'claimed',
    answers: true,
    count: ({ claims }) => claims.length,
    text: ({ tables }) =>
      `UPDATE ${tables.jobs} AS job SET owner = ?::uuid, holder = ?, ` +
      `${assignments('fence, assignment, status, attempt, started_at')} FROM ${unnest(CLAIM)} ` +
      `WHERE job.id = v.id AND job.assignment <= v.assignment AND ${ofOutbox(tables)} AND ${MINE} RETURNING job.id`,
    params: ({ claims }, owner) => [owner.id, owner.id, ...listParams(CLAIM, claims.map(claimValues))],
  },
  {
    name: 'started',
    answers: true,
    count: ({ starts }) => starts.length,
    text: ({ tables }) =>
      `UPDATE ${tables.jobs} AS job SET ${assignments('status, attempt, fence, started_at')} FROM ${unnest(START)} ` +
      `WHERE ${GUARDED} AND job.unfinished RETURNING job.id`,
    params: ({ starts }, owner) => [...listParams(START, starts.map(startValues)), owner.id],
  },
  {
    name: 'saved',
    answers: true,
    count: ({ saves }) => saves.length,
    text: ({ tables }) =>
      `UPDATE ${tables.jobs} AS job SET ${assignments(CHANGE_COLUMNS)} FROM ${unnest(SAVE)} ` +
      `WHERE ${GUARDED} RETURNING job.id`,
    params: ({ saves }, owner) => [...listParams(SAVE, saves.map(saveValues)), owner.id],
  },
  {
    name: 'deleted',
    answers: true,
    count: ({ deletes }) => deletes.length,
    text: ({ tables }) => `DELETE FROM ${tables.jobs} AS job USING ${unnest(DELETE)} WHERE ${GUARDED} RETURNING job.id`,
    params: ({ deletes }, owner) => [...listParams(DELETE, deletes.map(deleteValues)), owner.id],
  },
];

/** Whether it is as it was enqueued. */
export function isFresh(job: StoredJob): boolean {
  const { fence, status, run, attempt, crashes, dueAt, runAt, startedAt, failedAt, finishedAt, lastError, result } =
    job;
  return (
    fence === 0 &&
    status === 'queued' &&
    run === 1 &&
    attempt === 0 &&
    crashes === 0 &&
    dueAt === runAt &&
    startedAt === null &&
    failedAt === null &&
    finishedAt === null &&
    lastError === null &&
    result === null
  );
}
