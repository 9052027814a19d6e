import type { StoredJob } from '../../../job/job.js';
import type { JobWrite, WriteResult } from '../../job-storage.js';
import {
  CHANGE_COLUMNS,
  DELIVERY_COLUMNS,
  FEEDBACK_COLUMNS,
  JOB_COLUMNS,
  NEW_JOB_COLUMNS,
  changeValues,
  deliveryValues,
  feedbackValues,
  jobValues,
  newJobValues,
  type Row,
  type RowValue,
} from '../job-rows.js';
import { LeaseExpired, type Owner, type Session } from '../server/engine.js';
import type { TableNames } from '../table-names.js';
import { sorted, type Group, type Of } from './postgres-group.js';
import { assignments, columnsOf, excluded, listOf, listParams, unnest, type Column } from './postgres-arrays.js';

const JOB = columnsOf(JOB_COLUMNS);
const CHANGE = columnsOf(CHANGE_COLUMNS);
// A feedback's id is no UUID.
const FEEDBACK: Column[] = [{ name: 'id', type: 'text' }, ...columnsOf(FEEDBACK_COLUMNS).slice(1)];
const NEW_JOB = columnsOf(NEW_JOB_COLUMNS);
/** The values of `JOB_COLUMNS` behind those: of most inserts, so they are said once and not for each row. */
const NEVER_RUN = "0, 'queued', 1, 0, 0, v.run_at, NULL, NULL, NULL, NULL, NULL, TRUE";
const CLAIM: Column[] = columnsOf('id, fence, assignment, status, attempt, started_at');
const START: Column[] = columnsOf('id, expected, status, attempt, fence, started_at');
const SAVE: Column[] = [...columnsOf('id, expected'), ...CHANGE];
const DELETE: Column[] = columnsOf('id, expected');
const TOMBSTONE: Column[] = columnsOf('id, expires_at');
const DELIVERY: Column[] = [{ name: 'id', type: 'text' }, ...columnsOf(DELIVERY_COLUMNS)];

/** Written so that no index serves it: most rows of a large table may have one owner. */
const OWNED = '(job.owner IS DISTINCT FROM ?::uuid) IS FALSE';

/**
 * A whole group is one statement, which is its own transaction: one round trip and one commit, and it works behind a
 * pooler. Its parts see the database as it was before it, which is right as no two writes are about the same job. There
 * is one statement for each combination of parts, whatever the number of rows, so each is prepared once.
 */
export class PostgresCommit {
  private readonly texts = new Map<string, string>();

  /** `now`: the database's clock. */
  constructor(
    private readonly tables: TableNames,
    private readonly now: string,
  ) {}

  async apply(session: Session, owner: Owner, writes: readonly JobWrite[], now: number): Promise<WriteResult[]> {
    const group = sorted(writes);
    const parts = partsOf(group);
    const fresh = group.inserts.every(isFresh);
    const key = `${owner.role}:${parts.join()}:${fresh}`;
    let text = this.texts.get(key);
    if (text === undefined) this.texts.set(key, (text = this.text(parts, owner.role, fresh)));
    const params = [owner.id, owner.instance, ...parts.flatMap((part) => this.params(part, group, owner, now, fresh))];
    const { rows } = await session.query(text, params, true);
    const row = rows[0];
    if (!row?.['mine']) throw new LeaseExpired('The lease has run out.');
    const [inserted, claimed, started, saved, deleted] = ANSWERING.map((part) => new Set(idsOf(row[part]))) as Answers;
    const late = group.inserts.filter(({ id }) => !inserted.has(id));
    if (late.length > 0) await this.raiseAssignments(session, owner, late);
    return writes.map((write) => {
      if (write.kind === 'save-delivery' || write.kind === 'forget-feedback') return 'done';
      if (write.kind === 'insert') return inserted.has(write.job.id) ? 'done' : 'duplicate';
      if (write.kind === 'claim') return claimed.has(write.job.id) ? 'done' : 'stale';
      const done = write.kind === 'start' ? started : write.kind === 'save' ? saved : deleted;
      return done.has(write.id) ? 'done' : 'stale';
    });
  }

  private text(parts: readonly Part[], role: Owner['role'], fresh: boolean): string {
    const { leases } = this.tables;
    const mine = `mine AS MATERIALIZED (SELECT 1 FROM ${leases} WHERE id = ? AND instance = ? AND expires_at > ${this.now})`;
    const withs = parts.map((part) => `${part} AS (${this.part(part, parts, role, fresh)})`);
    const answers = parts
      .filter((part) => (ANSWERING as readonly Part[]).includes(part))
      .map((part) => `(SELECT string_agg(id::text, ',') FROM ${part}) AS ${part}`);
    return `WITH ${[mine, ...withs].join(', ')} SELECT ${['EXISTS (SELECT FROM mine) AS mine', ...answers].join(', ')}`;
  }

  private part(part: Part, parts: readonly Part[], role: Owner['role'], fresh: boolean): string {
    const { jobs, feedbacks, tombstones } = this.tables;
    const mine = 'EXISTS (SELECT FROM mine)';
    const guarded = `job.id = v.id AND job.fence = v.expected AND ${OWNED} AND ${mine}`;
    switch (part) {
      case 'inserted':
        return (
          `INSERT INTO ${jobs} AS job (${JOB_COLUMNS}, owner) SELECT v.*, ${fresh ? `${NEVER_RUN}, ` : ''}?::uuid FROM ${unnest(fresh ? NEW_JOB : JOB)} ` +
          `WHERE ${mine} AND NOT EXISTS (SELECT FROM ${feedbacks} f WHERE f.job_id = v.id) ` +
          `AND NOT EXISTS (SELECT FROM ${tombstones} t WHERE t.id = v.id AND t.expires_at > ?::bigint) ` +
          `ON CONFLICT (id) DO ${role === 'node' ? this.takeOver() : 'NOTHING'} RETURNING job.id`
        );
      case 'claimed':
        return (
          `UPDATE ${jobs} AS job SET owner = ?::uuid, holder = NULL, ` +
          `${assignments('fence, assignment, status, attempt, started_at')} FROM ${unnest(CLAIM)} ` +
          `WHERE job.id = v.id AND job.assignment <= v.assignment AND ${this.ofOutbox()} AND ${mine} RETURNING job.id`
        );
      case 'started':
        return (
          `UPDATE ${jobs} AS job SET ${assignments('status, attempt, fence, started_at')} FROM ${unnest(START)} ` +
          `WHERE ${guarded} AND job.unfinished RETURNING job.id`
        );
      case 'saved':
        return (
          `UPDATE ${jobs} AS job SET ${assignments(CHANGE_COLUMNS)} FROM ${unnest(SAVE)} ` +
          `WHERE ${guarded} RETURNING job.id`
        );
      case 'deleted':
        return `DELETE FROM ${jobs} AS job USING ${unnest(DELETE)} WHERE ${guarded} RETURNING job.id`;
      case 'fed': {
        // `IS TRUE` makes it a lookup in a hash, and not a join of each with each.
        const ended = ENDING.filter((ending) => parts.includes(ending)).map((ending) => `SELECT id FROM ${ending}`);
        // A run that ends twice (its first end was not acknowledged yet) leaves its last word under the same id.
        return (
          `INSERT INTO ${feedbacks} (${FEEDBACK_COLUMNS}, owner) SELECT v.*, ?::uuid FROM ${unnest(FEEDBACK)} ` +
          `WHERE (v.job_id IN (${ended.join(' UNION ALL ')})) IS TRUE ` +
          `ON CONFLICT (id) DO UPDATE SET ${excluded(`${FEEDBACK_COLUMNS.replace('id, ', '')}, owner`)}, ` +
          DELIVERY_COLUMNS.replaceAll(/\w+/g, '$& = DEFAULT')
        );
      }
      case 'buried':
        return (
          `INSERT INTO ${tombstones} (id, expires_at) SELECT v.* FROM ${unnest(TOMBSTONE)} ` +
          'WHERE (v.id IN (SELECT id FROM deleted)) IS TRUE ON CONFLICT (id) DO UPDATE SET expires_at = EXCLUDED.expires_at'
        );
      case 'delivered':
        return (
          `UPDATE ${feedbacks} AS feedback SET ${assignments(DELIVERY_COLUMNS)} FROM ${unnest(DELIVERY)} ` +
          `WHERE feedback.id = v.id AND ${mine}`
        );
      case 'forgotten':
        return `DELETE FROM ${feedbacks} WHERE id = ANY (${listOf('text')}) AND ${mine}`;
      case 'replaced':
        return (
          `INSERT INTO ${tombstones} (id, expires_at) SELECT v.* FROM ${unnest(TOMBSTONE)} ` +
          `WHERE ${mine} ON CONFLICT (id) DO UPDATE SET expires_at = EXCLUDED.expires_at`
        );
    }
  }

  /**
   * The job is in the same database already, as a row of the outbox it comes from: it changes hands. What that outbox
   * does with its row later finds it gone.
   */
  private takeOver(): string {
    return `UPDATE SET ${excluded(`${JOB_COLUMNS.replace('id, ', '')}, owner`)} WHERE ${this.ofOutbox()}`;
  }

  /** A subquery with a value is asked for each row found; EXISTS would become a join, which reads all rows of that owner. */
  private ofOutbox(): string {
    const { leases } = this.tables;
    return `job.unfinished AND (SELECT l.role FROM ${leases} l WHERE l.id = job.owner) = 'outbox'`;
  }

  private params(part: Part, group: Group, owner: Owner, now: number, fresh: boolean): unknown[] {
    switch (part) {
      case 'inserted':
        return [
          owner.id,
          ...listParams(fresh ? NEW_JOB : JOB, group.inserts.map(fresh ? newJobValues : jobValues)),
          now,
        ];
      case 'claimed':
        return [
          owner.id,
          ...listParams(
            CLAIM,
            group.claims.map((job) => [job.id, job.fence, job.assignment, job.status, job.attempt, job.startedAt]),
          ),
        ];
      case 'started':
        return [...listParams(START, group.starts.map(startValues)), owner.id];
      case 'saved':
        return [...listParams(SAVE, group.saves.map(saveValues)), owner.id];
      case 'deleted':
        return [
          ...listParams(
            DELETE,
            group.deletes.map(({ id, fence }) => [id, fence]),
          ),
          owner.id,
        ];
      case 'fed':
        return [owner.id, ...listParams(FEEDBACK, group.feedbacks.map(feedbackValues))];
      case 'buried':
        return tombstoneParams(group.tombstones);
      case 'replaced':
        return tombstoneParams(group.replaced);
      case 'delivered':
        return listParams(
          DELIVERY,
          group.deliveries.map(({ feedbackId, delivery }) => [feedbackId, ...deliveryValues(delivery)]),
        );
      case 'forgotten':
        return [group.forgotten.join('\x1e')];
    }
  }

  /** For a job that came again with a higher one; rare, hence a statement of its own. */
  private async raiseAssignments(session: Session, owner: Owner, late: readonly StoredJob[]): Promise<void> {
    const columns = columnsOf('id, assignment');
    const sql =
      `UPDATE ${this.tables.jobs} AS job SET assignment = v.assignment FROM ${unnest(columns)} ` +
      `WHERE job.id = v.id AND ${OWNED} AND job.assignment < v.assignment`;
    const values = listParams(
      columns,
      late.map(({ id, assignment }) => [id, assignment]),
    );
    await session.query(sql, [...values, owner.id], true);
  }
}

const ANSWERING = ['inserted', 'claimed', 'started', 'saved', 'deleted'] as const;
const PARTS = [...ANSWERING, 'fed', 'buried', 'delivered', 'forgotten', 'replaced'] as const;
type Part = (typeof PARTS)[number];
type Answers = [
  inserted: Set<string>,
  claimed: Set<string>,
  started: Set<string>,
  saved: Set<string>,
  deleted: Set<string>,
];
const ENDING = ['saved', 'deleted'] as const;

function partsOf(group: Group): Part[] {
  const counts: Record<Part, number> = {
    inserted: group.inserts.length,
    claimed: group.claims.length,
    started: group.starts.length,
    saved: group.saves.length,
    deleted: group.deletes.length,
    fed: group.feedbacks.length,
    buried: group.tombstones.length,
    delivered: group.deliveries.length,
    forgotten: group.forgotten.length,
    replaced: group.replaced.length,
  };
  return PARTS.filter((part) => counts[part] > 0);
}

const startValues = ({ id, fence, change }: Of<'start'>): RowValue[] => [
  id,
  fence,
  change.status,
  change.attempt,
  change.fence,
  change.startedAt,
];

const saveValues = ({ id, fence, change }: Of<'save'>): RowValue[] => [id, fence, ...changeValues(change)];

const tombstoneParams = (tombstones: Group['tombstones']): unknown[] =>
  listParams(
    TOMBSTONE,
    tombstones.map(({ id, until }) => [id, until]),
  );

function* idsOf(joined: Row[string] | undefined): Iterable<string> {
  if (typeof joined === 'string') yield* joined.split(',');
}

/** Whether it is as it was enqueued. */
function isFresh(job: StoredJob): boolean {
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
