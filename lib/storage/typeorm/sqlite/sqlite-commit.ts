import type { FeedbackRecord, StoredJob } from '../../../job/job.js';
import type { JobWrite, WriteResult } from '../../job-storage.js';
import type { SqliteConnection } from './sqlite-connection.js';
import { isRowTrouble } from './sqlite-errors.js';
import {
  CHANGE_COLUMNS,
  FEEDBACK_COLUMNS,
  JOB_COLUMNS,
  changeValues,
  feedbackValues,
  jobValues,
} from './sqlite-rows.js';

const marks = (columns: string): string => columns.replaceAll(/\w+/g, '?');

const INSERT =
  `INSERT INTO job_reactor_jobs (${JOB_COLUMNS}) SELECT ${marks(JOB_COLUMNS)} ` +
  'WHERE NOT EXISTS (SELECT 1 FROM job_reactor_feedbacks WHERE job_id = ?) ' +
  'AND NOT EXISTS (SELECT 1 FROM job_reactor_tombstones WHERE id = ? AND expires_at > ?) ' +
  'ON CONFLICT (id) DO NOTHING';
const RAISE_ASSIGNMENT = 'UPDATE job_reactor_jobs SET assignment = ? WHERE id = ? AND assignment < ?';
// What is started stays unfinished, so that column and its index are left alone.
const START =
  'UPDATE job_reactor_jobs SET status = ?, attempt = ?, fence = ?, owner = ?, started_at = ? ' +
  'WHERE id = ? AND fence = ? AND unfinished = 1';
const SAVE = `UPDATE job_reactor_jobs SET ${CHANGE_COLUMNS.replaceAll(/\w+/g, '$& = ?')} WHERE id = ? AND fence = ?`;
const DELETE = 'DELETE FROM job_reactor_jobs WHERE id = ? AND fence = ?';
const TOMBSTONE =
  'INSERT INTO job_reactor_tombstones (id, expires_at) VALUES (?, ?) ' +
  'ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at';
// A run that ends twice (its first end was not acknowledged yet) leaves its last word under the same id.
const KEEP_FEEDBACK = `INSERT OR REPLACE INTO job_reactor_feedbacks (${FEEDBACK_COLUMNS}) VALUES (${marks(FEEDBACK_COLUMNS)})`;
const FORGET_FEEDBACK = 'DELETE FROM job_reactor_feedbacks WHERE id IN (SELECT value FROM json_each(?))';

const ORDER = ['insert', 'start', 'save', 'delete', 'forget-feedback'] as const;

/**
 * One transaction, with `alsoDo` in it. When a row's values are refused the whole group is done again with a savepoint
 * for each row, which would cost the good groups too much.
 */
export function commitGroup(
  connection: SqliteConnection,
  writes: readonly JobWrite[],
  now: number,
  alsoDo: () => void,
): WriteResult[] {
  const once = (applyOne: typeof apply): WriteResult[] =>
    connection.transaction(() => {
      const results = inOrder(writes, (write) => applyOne(connection, write, now));
      alsoDo();
      return results;
    });
  try {
    return once(apply);
  } catch (error) {
    if (!isRowTrouble(error)) throw error;
  }
  return once(applyAlone);
}

function inOrder(writes: readonly JobWrite[], applyOne: (write: JobWrite) => WriteResult): WriteResult[] {
  const results: WriteResult[] = [];
  for (const kind of ORDER) {
    writes.forEach((write, i) => {
      if (write.kind === kind) results[i] = applyOne(write);
    });
  }
  return results;
}

function applyAlone(connection: SqliteConnection, write: JobWrite, now: number): WriteResult {
  try {
    return connection.savepoint(() => apply(connection, write, now));
  } catch (error) {
    if (!isRowTrouble(error)) throw error;
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }
}

function apply(connection: SqliteConnection, write: JobWrite, now: number): WriteResult {
  switch (write.kind) {
    case 'insert':
      return insert(connection, write.job, now);
    case 'start': {
      const { status, attempt, fence, owner, startedAt } = write.change;
      return guarded(connection.run(START, [status, attempt, fence, owner, startedAt, write.id, write.fence]));
    }
    case 'save': {
      const changes = connection.run(SAVE, [...changeValues(write.change), write.id, write.fence]);
      if (changes > 0 && write.feedback) keepFeedback(connection, write.feedback);
      return guarded(changes);
    }
    case 'delete': {
      const changes = connection.run(DELETE, [write.id, write.fence]);
      if (changes > 0 && write.feedback) keepFeedback(connection, write.feedback);
      if (changes > 0 && write.tombstoneUntil !== undefined)
        connection.run(TOMBSTONE, [write.id, write.tombstoneUntil]);
      return guarded(changes);
    }
    case 'forget-feedback':
      connection.run(FORGET_FEEDBACK, [JSON.stringify(write.ids)]);
      return 'done';
  }
}

function insert(connection: SqliteConnection, job: StoredJob, now: number): WriteResult {
  if (connection.run(INSERT, [...jobValues(job), job.id, job.id, now]) > 0) return 'done';
  connection.run(RAISE_ASSIGNMENT, [job.assignment, job.id, job.assignment]);
  return 'duplicate';
}

function keepFeedback(connection: SqliteConnection, feedback: FeedbackRecord): void {
  connection.run(KEEP_FEEDBACK, feedbackValues(feedback));
}

const guarded = (changes: number): WriteResult => (changes > 0 ? 'done' : 'stale');
