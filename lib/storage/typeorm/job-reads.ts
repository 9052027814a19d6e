import type { JobStatus } from '../../job/job-status.js';
import type { FeedbackPage, JobPage } from '../job-storage.js';
import { DELIVERY_COLUMNS, FEEDBACK_COLUMNS, JOB_COLUMNS, type RowValue } from './job-rows.js';
import type { TableNames } from './table-names.js';

const KEPT_COLUMNS = `${FEEDBACK_COLUMNS}, ${DELIVERY_COLUMNS}`;

/** A SELECT whose parameters are `?`. */
export interface Read {
  sql: string;
  params: RowValue[];
}

/** The statements that look, the same for every database; `owner` limits them to one owner's rows. */
export class JobReads {
  constructor(
    private readonly tables: TableNames,
    private readonly owner: string | null,
  ) {}

  unfinished({ after, limit }: JobPage): Read {
    const conditions: Condition[] = [['unfinished = TRUE']];
    // Spelled out for MySQL, which finds no range in a comparison of pairs.
    if (after) {
      const later = 'due_at >= ? AND (due_at > ? OR id > ?)';
      conditions.push([later, after.dueAt, after.dueAt, after.id]);
    }
    return this.select(JOB_COLUMNS, this.tables.jobs, conditions, 'due_at, id', limit);
  }

  countUnfinished(): Read {
    return this.select('COUNT(*) AS count', this.tables.jobs, [['unfinished = TRUE']]);
  }

  get(ids: readonly string[]): Read {
    const marks = ids.map(() => '?').join(', ');
    return this.select(JOB_COLUMNS, this.tables.jobs, [[`id IN (${marks})`, ...ids]]);
  }

  list({ status, name, after, limit }: { status?: JobStatus; name?: string; after?: string; limit: number }): Read {
    const conditions: Condition[] = [];
    if (status !== undefined) conditions.push(['status = ?', status]);
    if (name !== undefined) conditions.push(['name = ?', name]);
    if (after !== undefined) conditions.push(['id > ?', after]);
    return this.select(JOB_COLUMNS, this.tables.jobs, conditions, 'id', limit);
  }

  feedbacks({ after, limit, dueBy, name }: FeedbackPage): Read {
    const conditions: Condition[] = [];
    if (after !== null) conditions.push(['id > ?', after]);
    if (dueBy === null) conditions.push(['due_at IS NULL']);
    else if (dueBy !== undefined) conditions.push(['due_at <= ?', dueBy]);
    if (name !== undefined) conditions.push(['name = ?', name]);
    return this.select(KEPT_COLUMNS, this.tables.feedbacks, conditions, 'id', limit);
  }

  getFeedbacks(ids: readonly string[]): Read {
    const marks = ids.map(() => '?').join(', ');
    return this.select(KEPT_COLUMNS, this.tables.feedbacks, [[`id IN (${marks})`, ...ids]]);
  }

  private select(columns: string, table: string, conditions: Condition[], order?: string, limit?: number): Read {
    const all: Condition[] = this.owner === null ? conditions : [['owner = ?', this.owner], ...conditions];
    const params = all.flatMap(([, ...values]) => values);
    let sql = `SELECT ${columns} FROM ${table}`;
    if (all.length > 0) sql += ` WHERE ${all.map(([condition]) => condition).join(' AND ')}`;
    if (order !== undefined) sql += ` ORDER BY ${order}`;
    if (limit !== undefined) {
      sql += ' LIMIT ?';
      params.push(limit);
    }
    return { sql, params };
  }
}

type Condition = [sql: string, ...params: RowValue[]];
