import type { FeedbackRecord } from '../../../job/feedback-record.js';
import type { StoredJob } from '../../../job/job.js';
import type { JobWrite, WriteResult } from '../../job-storage.js';
import {
  CHANGE_COLUMNS,
  DELIVERY_COLUMNS,
  FEEDBACK_COLUMNS,
  JOB_COLUMNS,
  deliveryValues,
  feedbackValues,
  jobValues,
  type Row,
  type RowValue,
} from '../job-rows.js';
import { LeaseExpired, type Owner, type Session } from '../server/engine.js';
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
import { Overtaken } from './mysql-errors.js';
import { jsonTable } from './mysql-json.js';

type Change = Exclude<JobWrite, { kind: 'insert' | 'claim' | 'save-delivery' | 'forget-feedback' }>;

const DELIVERY = `feedback_id, ${DELIVERY_COLUMNS}`;

/**
 * One look at all that a group is about, then one statement for each kind of write. MySQL tells of an UPDATE only how
 * many rows it found: when those are not what the look promised, another process came in between, and the transaction
 * is done again.
 */
export class MysqlCommit {
  /** `now`: the database's clock. */
  constructor(
    private readonly tables: TableNames,
    private readonly now: string,
  ) {}

  /** Inside a transaction. @throws LeaseExpired, Overtaken */
  async apply(session: Session, owner: Owner, writes: readonly JobWrite[], now: number): Promise<WriteResult[]> {
    const known = await this.look(session, owner, writes, now);
    const results = writes.map((write): WriteResult => {
      if (write.kind === 'save-delivery' || write.kind === 'forget-feedback') return 'done';
      if (write.kind === 'claim') return known.answerClaim(write.job);
      return write.kind === 'insert' ? known.answerInsert(write.job, owner) : known.answerChange(write, owner);
    });
    const done = writes.filter((_, i) => results[i] === 'done');
    await this.insert(session, owner, writes, results, known);
    await this.claim(session, owner, done, known);
    await this.change(session, owner, done);
    await this.keepFeedbacks(session, owner, done);
    return results;
  }

  private async look(session: Session, owner: Owner, writes: readonly JobWrite[], now: number): Promise<Known> {
    const { jobs, feedbacks, tombstones, leases } = this.tables;
    const inserted = writes.flatMap((write) => (write.kind === 'insert' ? [write.job.id] : []));
    const changed = writes.flatMap((write) =>
      write.kind === 'claim' ? [write.job.id] : 'id' in write ? [write.id] : [],
    );
    const all = [...inserted, ...changed];
    const selects = [
      `SELECT 'lease' AS what, id, NULL AS fence, NULL AS unfinished, NULL AS owner, NULL AS assignment, NULL AS role FROM ${leases} WHERE id = ? AND instance = ? AND expires_at > ${this.now}`,
    ];
    const params: RowValue[] = [owner.id, owner.instance];
    if (all.length > 0) {
      selects.push(
        `SELECT 'job', j.id, j.fence, j.unfinished, j.owner, j.assignment, l.role FROM ${jobs} j ` +
          `LEFT JOIN ${leases} l ON l.id = j.owner WHERE j.id IN (${marks(all)})`,
      );
      params.push(...all);
    }
    if (inserted.length > 0) {
      selects.push(
        `SELECT 'past', job_id, NULL, NULL, NULL, NULL, NULL FROM ${feedbacks} WHERE job_id IN (${marks(inserted)})`,
      );
      selects.push(
        `SELECT 'past', id, NULL, NULL, NULL, NULL, NULL FROM ${tombstones} WHERE id IN (${marks(inserted)}) AND expires_at > ?`,
      );
      params.push(...inserted, ...inserted, now);
    }
    const { rows } = await session.query(selects.join(' UNION ALL '), params);
    return new Known(rows);
  }

  private async insert(
    session: Session,
    owner: Owner,
    writes: readonly JobWrite[],
    results: readonly WriteResult[],
    known: Known,
  ): Promise<void> {
    const { jobs } = this.tables;
    const inserts = writes.flatMap((write, i) =>
      write.kind === 'insert' ? [{ job: write.job, result: results[i] }] : [],
    );
    const fresh = inserts.filter(({ result }) => result === 'done').map(({ job }) => job);
    const taken = fresh.filter(({ id }) => known.job(id));
    // The row of the outbox a job comes from: it changes hands. What that outbox does with its row later finds it gone.
    for (const [from, ids] of known.byOwner(taken)) {
      const sql = `DELETE FROM ${jobs} WHERE owner = ? AND id IN (${marks(ids)})`;
      expect(await session.query(sql, [from, ...ids]), ids.length);
    }
    if (fresh.length > 0) {
      const rows = fresh.map((job) => [...jobValues(job), owner.id]);
      await session.query(`INSERT INTO ${jobs} (${JOB_COLUMNS}, owner) VALUES ${tuples(rows)}`, rows.flat());
    }
    for (const { job, result } of inserts) {
      if (result !== 'duplicate' || known.job(job.id)?.['owner'] !== owner.id) continue;
      const sql = `UPDATE ${jobs} SET assignment = ? WHERE id = ? AND owner = ? AND assignment < ?`;
      await session.query(sql, [job.assignment, job.id, owner.id, job.assignment]);
    }
  }

  private async claim(session: Session, owner: Owner, done: readonly JobWrite[], known: Known): Promise<void> {
    const claims = done.flatMap((write) => (write.kind === 'claim' ? [write.job] : []));
    const byId = new Map(claims.map((job) => [job.id, job]));
    for (const [from, ids] of known.byOwner(claims)) {
      const v = jsonTable(
        CLAIM_COLUMNS,
        ids.map((id) => claimValues(byId.get(id)!)),
      );
      const sql =
        `UPDATE ${this.tables.jobs} j JOIN ${v.sql} ON j.id = v.id SET j.owner = ?, j.holder = ?, ` +
        `${assignments('fence, assignment, status, attempt, started_at')} WHERE j.owner = ? AND j.unfinished = TRUE AND j.assignment <= v.assignment`;
      expect(await session.query(sql, [v.param, owner.id, owner.id, from]), ids.length);
    }
  }

  private async change(session: Session, owner: Owner, done: readonly JobWrite[]): Promise<void> {
    const { jobs } = this.tables;
    const where = 'WHERE j.fence = v.expected AND j.owner = ?';
    const starts = done.filter((write) => write.kind === 'start');
    if (starts.length > 0) {
      const v = jsonTable(START_COLUMNS, starts.map(startValues));
      const set = assignments('status, attempt, fence, started_at');
      const sql = `UPDATE ${jobs} j JOIN ${v.sql} ON j.id = v.id SET ${set} ${where} AND j.unfinished = TRUE`;
      expect(await session.query(sql, [v.param, owner.id]), starts.length);
    }
    const saves = done.filter((write) => write.kind === 'save');
    if (saves.length > 0) {
      const v = jsonTable(SAVE_COLUMNS, saves.map(saveValues));
      const sql = `UPDATE ${jobs} j JOIN ${v.sql} ON j.id = v.id SET ${assignments(CHANGE_COLUMNS)} ${where}`;
      expect(await session.query(sql, [v.param, owner.id]), saves.length);
    }
    const deletes = done.filter((write) => write.kind === 'delete');
    if (deletes.length > 0) {
      const v = jsonTable(DELETE_COLUMNS, deletes.map(deleteValues));
      const sql = `DELETE j FROM ${jobs} j JOIN ${v.sql} ON j.id = v.id ${where}`;
      expect(await session.query(sql, [v.param, owner.id]), deletes.length);
    }
    const buried = deletes.flatMap(({ id, tombstoneUntil: until }) =>
      until === undefined ? [] : [[id, Math.floor(until)]],
    );
    await this.bury(session, buried);
  }

  private async bury(session: Session, buried: RowValue[][]): Promise<void> {
    if (buried.length === 0) return;
    const sql = `REPLACE INTO ${this.tables.tombstones} (id, expires_at) VALUES ${tuples(buried)}`;
    await session.query(sql, buried.flat());
  }

  private async keepFeedbacks(session: Session, owner: Owner, done: readonly JobWrite[]): Promise<void> {
    const { feedbacks } = this.tables;
    const kept = done.flatMap((write): FeedbackRecord[] =>
      'feedback' in write && write.feedback ? [write.feedback] : [],
    );
    if (kept.length > 0) {
      // A run that ends twice (its first end was not acknowledged yet) leaves its last word under the same id.
      const rows = kept.map((feedback) => [...feedbackValues(feedback), owner.id]);
      await session.query(`REPLACE INTO ${feedbacks} (${FEEDBACK_COLUMNS}, owner) VALUES ${tuples(rows)}`, rows.flat());
    }
    const deliveries = done.filter((write) => write.kind === 'save-delivery');
    if (deliveries.length > 0) {
      const v = jsonTable(
        DELIVERY,
        deliveries.map(({ feedbackId, delivery }) => [feedbackId, ...deliveryValues(delivery)]),
      );
      const set = assignments(DELIVERY_COLUMNS);
      await session.query(`UPDATE ${feedbacks} j JOIN ${v.sql} ON j.id = v.feedback_id SET ${set}`, [v.param]);
    }
    const forgotten = done.flatMap((write) => (write.kind === 'forget-feedback' ? write.ids : []));
    if (forgotten.length > 0) {
      await session.query(`DELETE FROM ${feedbacks} WHERE id IN (${marks(forgotten)})`, forgotten);
    }
    const replaced = done.flatMap((write) => (write.kind === 'forget-feedback' ? (write.tombstones ?? []) : []));
    await this.bury(
      session,
      replaced.map(({ id, until }) => [id, Math.floor(until)]),
    );
  }
}

/** What a look has found. */
class Known {
  private readonly jobs = new Map<string, Row>();
  private readonly past = new Set<string>();

  constructor(rows: readonly Row[]) {
    let mine = false;
    for (const row of rows) {
      if (row['what'] === 'lease') mine = true;
      else if (row['what'] === 'job') this.jobs.set(row['id'] as string, row);
      else this.past.add(row['id'] as string);
    }
    if (!mine) throw new LeaseExpired('The lease has run out.');
  }

  job(id: string): Row | undefined {
    return this.jobs.get(id);
  }

  answerInsert({ id }: StoredJob, owner: Owner): WriteResult {
    const row = this.jobs.get(id);
    const fromOutbox = owner.role === 'node' && row?.['role'] === 'outbox' && Boolean(row['unfinished']);
    return this.past.has(id) || (row && !fromOutbox) ? 'duplicate' : 'done';
  }

  answerClaim({ id, assignment }: StoredJob): WriteResult {
    const row = this.jobs.get(id);
    const there = row?.['role'] === 'outbox' && Boolean(row['unfinished']) && Number(row['assignment']) <= assignment;
    return there ? 'done' : 'stale';
  }

  answerChange(write: Change, owner: Owner): WriteResult {
    const row = this.jobs.get(write.id);
    if (!row || row['owner'] !== owner.id || Number(row['fence']) !== write.fence) return 'stale';
    return write.kind === 'start' && !row['unfinished'] ? 'stale' : 'done';
  }

  byOwner(jobs: readonly StoredJob[]): Map<string, string[]> {
    const owners = new Map<string, string[]>();
    for (const { id } of jobs) {
      const from = this.jobs.get(id)?.['owner'] as string;
      owners.set(from, [...(owners.get(from) ?? []), id]);
    }
    return owners;
  }
}

function expect({ count }: { count: number }, rows: number): void {
  if (count !== rows) throw new Overtaken('The rows changed in between.');
}

const marks = (values: readonly unknown[]): string => values.map(() => '?').join(', ');
const tuples = (rows: readonly RowValue[][]): string => rows.map((row) => `(${marks(row)})`).join(', ');

const assignments = (names: string): string =>
  names
    .split(', ')
    .map((name) => `j.${name} = v.${name}`)
    .join(', ');
