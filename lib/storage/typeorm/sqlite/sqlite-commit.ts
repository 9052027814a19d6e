import type { FeedbackRecord } from '../../../job/feedback-record.js';
import type { StoredJob } from '../../../job/job.js';
import type { JobWrite, WriteResult } from '../../job-storage.js';
import type { SqliteConnection } from './sqlite-connection.js';
import type { TableNames } from '../table-names.js';
import { isRowTrouble } from './sqlite-errors.js';
import {
  CHANGE_COLUMNS,
  DELIVERY_COLUMNS,
  FEEDBACK_COLUMNS,
  JOB_COLUMNS,
  changeValues,
  deliveryValues,
  feedbackValues,
  jobValues,
} from '../job-rows.js';

const marks = (columns: string): string => columns.replaceAll(/\w+/g, '?');

/** The statements of one storage's tables, made once. */
export class SqliteStatements {
  readonly insert: string;
  readonly raiseAssignment: string;
  readonly start: string;
  readonly save: string;
  readonly delete: string;
  readonly bury: string;
  readonly keepFeedback: string;
  readonly saveDelivery: string;
  readonly forgetFeedback: string;

  constructor({ jobs, feedbacks, tombstones }: TableNames) {
    this.insert =
      `INSERT INTO ${jobs} (${JOB_COLUMNS}) SELECT ${marks(JOB_COLUMNS)} ` +
      `WHERE NOT EXISTS (SELECT 1 FROM ${feedbacks} WHERE job_id = ?) ` +
      `AND NOT EXISTS (SELECT 1 FROM ${tombstones} WHERE id = ? AND expires_at > ?) ` +
      'ON CONFLICT (id) DO NOTHING';
    this.raiseAssignment = `UPDATE ${jobs} SET assignment = ? WHERE id = ? AND assignment < ?`;
    // What is started stays unfinished, so that column and its index are left alone.
    this.start =
      `UPDATE ${jobs} SET status = ?, attempt = ?, fence = ?, started_at = ? ` +
      'WHERE id = ? AND fence = ? AND unfinished = 1';
    this.save = `UPDATE ${jobs} SET ${CHANGE_COLUMNS.replaceAll(/\w+/g, '$& = ?')} WHERE id = ? AND fence = ?`;
    this.delete = `DELETE FROM ${jobs} WHERE id = ? AND fence = ?`;
    this.bury =
      `INSERT INTO ${tombstones} (id, expires_at) VALUES (?, ?) ` +
      'ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at';
    // A run that ends twice (its first end was not acknowledged yet) leaves its last word under the same id.
    this.keepFeedback = `INSERT OR REPLACE INTO ${feedbacks} (${FEEDBACK_COLUMNS}) VALUES (${marks(FEEDBACK_COLUMNS)})`;
    this.saveDelivery = `UPDATE ${feedbacks} SET ${DELIVERY_COLUMNS.replaceAll(/\w+/g, '$& = ?')} WHERE id = ?`;
    this.forgetFeedback = `DELETE FROM ${feedbacks} WHERE id IN (SELECT value FROM json_each(?))`;
  }
}

const ORDER = ['insert', 'claim', 'start', 'save', 'delete', 'save-delivery', 'forget-feedback'] as const;

/** Where a group goes. */
export interface SqlitePlace {
  readonly connection: SqliteConnection;
  readonly statements: SqliteStatements;
}

/**
 * One transaction, with `alsoDo` in it. When a row's values are refused the whole group is done again with a savepoint
 * for each row, which would cost the good groups too much.
 */
export function commitGroup(
  at: SqlitePlace,
  writes: readonly JobWrite[],
  now: number,
  alsoDo: () => void,
): WriteResult[] {
  const once = (applyOne: typeof apply): WriteResult[] =>
    at.connection.transaction(() => {
      const results = inOrder(writes, (write) => applyOne(at, write, now));
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

/** In a transaction of the caller's. */
export function insertAll(at: SqlitePlace, jobs: readonly StoredJob[], now: number): WriteResult[] {
  return jobs.map((job) => applyAlone(at, { kind: 'insert', job }, now));
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

function applyAlone(at: SqlitePlace, write: JobWrite, now: number): WriteResult {
  try {
    return at.connection.savepoint(() => apply(at, write, now));
  } catch (error) {
    if (!isRowTrouble(error)) throw error;
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }
}

function apply(at: SqlitePlace, write: JobWrite, now: number): WriteResult {
  const { connection, statements } = at;
  switch (write.kind) {
    case 'insert':
      return insert(at, write.job, now);
    case 'claim':
      return 'stale'; // A file has one owner.
    case 'start': {
      const { status, attempt, fence, startedAt } = write.change;
      return guarded(connection.run(statements.start, [status, attempt, fence, startedAt, write.id, write.fence]));
    }
    case 'save': {
      const changes = connection.run(statements.save, [...changeValues(write.change), write.id, write.fence]);
      if (changes > 0 && write.feedback) keepFeedback(at, write.feedback);
      return guarded(changes);
    }
    case 'delete': {
      const changes = connection.run(statements.delete, [write.id, write.fence]);
      if (changes > 0 && write.feedback) keepFeedback(at, write.feedback);
      if (changes > 0 && write.tombstoneUntil !== undefined)
        connection.run(statements.bury, [write.id, write.tombstoneUntil]);
      return guarded(changes);
    }
    case 'save-delivery':
      connection.run(statements.saveDelivery, [...deliveryValues(write.delivery), write.feedbackId]);
      return 'done';
    case 'forget-feedback':
      connection.run(statements.forgetFeedback, [JSON.stringify(write.ids)]);
      for (const { id, until } of write.tombstones ?? []) connection.run(statements.bury, [id, until]);
      return 'done';
  }
}

function insert({ connection, statements }: SqlitePlace, job: StoredJob, now: number): WriteResult {
  if (connection.run(statements.insert, [...jobValues(job), job.id, job.id, now]) > 0) return 'done';
  connection.run(statements.raiseAssignment, [job.assignment, job.id, job.assignment]);
  return 'duplicate';
}

function keepFeedback({ connection, statements }: SqlitePlace, feedback: FeedbackRecord): void {
  connection.run(statements.keepFeedback, feedbackValues(feedback));
}

const guarded = (changes: number): WriteResult => (changes > 0 ? 'done' : 'stale');
