import type { StoredJob } from '../../../job/job.js';
import type { JobWrite, WriteResult } from '../../job-storage.js';
import type { Row } from '../job-rows.js';
import { LeaseExpired, type Owner, type Session } from '../server/engine.js';
import type { TableNames } from '../table-names.js';
import { columnsOf, listParams, unnest } from './postgres-arrays.js';
import { FEEDBACK_PARTS } from './postgres-feedback-parts.js';
import { sorted } from './postgres-group.js';
import { isFresh, JOB_PARTS } from './postgres-job-parts.js';
import { OWNED, type PartName, type PostgresPart } from './postgres-part.js';

const PARTS = [...JOB_PARTS, ...FEEDBACK_PARTS];

/** By the part of a statement that does it; the others have no answer of their own. */
const DONE_BY: Partial<Record<JobWrite['kind'], PartName>> = {
  insert: 'inserted',
  claim: 'claimed',
  start: 'started',
  save: 'saved',
  delete: 'deleted',
};

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
    const parts = PARTS.filter((part) => part.count(group) > 0);
    const fresh = group.inserts.every(isFresh);
    const params = [owner.id, owner.instance, ...parts.flatMap((part) => part.params(group, owner, fresh, now))];
    const { rows } = await session.query(this.text(parts, owner.role, fresh), params, true);
    const row = rows[0];
    if (!row?.['mine']) throw new LeaseExpired('The lease has run out.');
    const done = new Map(parts.map(({ name }) => [name, new Set(idsOf(row[name]))]));
    const late = group.inserts.filter(({ id }) => !done.get('inserted')?.has(id));
    if (late.length > 0) await this.raiseAssignments(session, owner, late);
    return writes.map((write) => {
      const part = DONE_BY[write.kind];
      if (part === undefined || done.get(part)?.has(idOf(write))) return 'done';
      return write.kind === 'insert' ? 'duplicate' : 'stale';
    });
  }

  private text(parts: readonly PostgresPart[], role: Owner['role'], fresh: boolean): string {
    const names = parts.map(({ name }) => name);
    const key = `${role}:${names.join()}:${fresh}`;
    const known = this.texts.get(key);
    if (known !== undefined) return known;
    const { tables, now } = this;
    const mine = `mine AS MATERIALIZED (SELECT 1 FROM ${tables.leases} WHERE id = ? AND instance = ? AND expires_at > ${now})`;
    const withs = parts.map((part) => `${part.name} AS (${part.text({ tables, role, fresh, parts: names })})`);
    const answers = parts
      .filter((part) => part.answers)
      .map(({ name }) => `(SELECT string_agg(id::text, ',') FROM ${name}) AS ${name}`);
    const text = `WITH ${[mine, ...withs].join(', ')} SELECT ${['EXISTS (SELECT FROM mine) AS mine', ...answers].join(', ')}`;
    this.texts.set(key, text);
    return text;
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

function idOf(write: JobWrite): string {
  if ('job' in write) return write.job.id;
  return 'id' in write ? write.id : '';
}

function* idsOf(joined: Row[string] | undefined): Iterable<string> {
  if (typeof joined === 'string') yield* joined.split(',');
}
