import type { StoredSchedule } from '../../job/schedule.js';
import type { WriteResult } from '../job-storage.js';
import type { ScheduleRows, ScheduleWrite } from '../schedule-rows.js';
import type { Dialect } from './dialect.js';
import type { Read } from './job-reads.js';
import type { Row, RowValue } from './job-rows.js';

const KEPT = 'id, distributor, schedule_key';
const CHANGING =
  'revision, rule, job_name, args, options, priority, expires_after, paused, done_until, runs, last_slot, since, changed_at';

/** Schedules in a database: seldom written, so that the statements are the same for all. */
export class TypeOrmSchedules implements ScheduleRows {
  constructor(private readonly dialect: Dialect) {}

  async list(distributor: string, page: { after: string | null; limit: number }): Promise<StoredSchedule[]> {
    const { after, limit } = page;
    const sql =
      `SELECT ${KEPT}, ${CHANGING} FROM ${this.table} WHERE distributor = ?` +
      `${after === null ? '' : ' AND id > ?'} ORDER BY id LIMIT ?`;
    const rows = await this.dialect.all(sql, [distributor, ...(after === null ? [] : [after]), limit]);
    return rows.map(toSchedule);
  }

  async get(id: string): Promise<StoredSchedule | null> {
    const [row] = await this.dialect.all(`SELECT ${KEPT}, ${CHANGING} FROM ${this.table} WHERE id = ?`, [id]);
    return row ? toSchedule(row) : null;
  }

  async commit(write: ScheduleWrite): Promise<WriteResult[] | 'stale'> {
    const { id, jobs, revision } = write;
    if (revision > 0) return (await this.dialect.commitWith(this.change(write), jobs)) ?? 'stale';
    // A second row is refused by the primary key, for which each database has an error of its own.
    if (await this.get(id)) return 'stale';
    try {
      return (await this.dialect.commitWith(this.insert(write), jobs)) ?? 'stale';
    } catch (error) {
      if (await this.get(id)) return 'stale';
      throw error;
    }
  }

  private get table(): string {
    return this.dialect.tables.schedules;
  }

  private insert({ id, schedule }: ScheduleWrite): Read {
    if (!schedule) throw new RangeError('What is not there can not be removed.');
    const params = [id, schedule.distributor, schedule.key, ...changingValues(schedule)];
    const marks = params.map(() => '?').join(', ');
    return { sql: `INSERT INTO ${this.table} (${KEPT}, ${CHANGING}) VALUES (${marks})`, params };
  }

  private change({ id, revision, schedule }: ScheduleWrite): Read {
    const where = 'WHERE id = ? AND revision = ?';
    if (!schedule) return { sql: `DELETE FROM ${this.table} ${where}`, params: [id, revision] };
    const set = CHANGING.replaceAll(/\w+/g, '$& = ?');
    return { sql: `UPDATE ${this.table} SET ${set} ${where}`, params: [...changingValues(schedule), id, revision] };
  }
}

function changingValues({ job, rule, ...schedule }: StoredSchedule): RowValue[] {
  return [
    schedule.revision,
    JSON.stringify(rule),
    job.name,
    job.args,
    JSON.stringify(job.options),
    job.priority,
    job.expires,
    schedule.paused ? 1 : 0,
    schedule.doneUntil,
    schedule.runs,
    schedule.lastSlot,
    schedule.since,
    schedule.changedAt,
  ];
}

function toSchedule(row: Row): StoredSchedule {
  const number = (name: string): number | null => {
    const value = row[name];
    return value === null || value === undefined ? null : Number(value);
  };
  return {
    id: row['id'] as string,
    distributor: row['distributor'] as string,
    key: row['schedule_key'] as string,
    revision: Number(row['revision']),
    rule: JSON.parse(row['rule'] as string),
    job: {
      name: row['job_name'] as string,
      args: row['args'] as string | null,
      options: JSON.parse(row['options'] as string),
      priority: Number(row['priority']),
      expires: number('expires_after'),
    },
    paused: Boolean(row['paused']),
    doneUntil: Number(row['done_until']),
    runs: Number(row['runs']),
    lastSlot: number('last_slot'),
    since: Number(row['since']),
    changedAt: Number(row['changed_at']),
  };
}
