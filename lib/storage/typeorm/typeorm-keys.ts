import type { JobKey } from '../../job/job-key.js';
import type { StoredJob } from '../../job/job.js';
import { CommitInDoubt } from '../commit-in-doubt.js';
import type { WriteResult } from '../job-storage.js';
import type { EnlistedKeys, KeyClaim, KeyRows } from '../key-rows.js';
import type { Dialect } from './dialect.js';
import type { Read } from './job-reads.js';
import type { Row, RowValue } from './job-rows.js';
import { nameId } from './name-id.js';
import type { Session } from './server/engine.js';

const COLUMNS = 'id, name, key_value, job_id, expires_at';
/** So many of whoever expired go with one claim. */
const PRUNED_AT_ONCE = 1_000;
const PRUNE_EVERY = 60_000;
/** How often a key is looked for that is neither free nor anybody's: each time its holder let go of it in between. */
const TRIES = 3;

/** Which job has which key, in a database. The primary key sees to it that it is one. */
export class TypeOrmKeys implements KeyRows {
  readonly enlist?: NonNullable<KeyRows['enlist']>;
  private pruneAt = -Infinity;

  constructor(private readonly dialect: Dialect) {
    if (dialect.enlist) this.enlist = (...given) => this.within(...given);
  }

  async holders(keys: readonly JobKey[], now: number): Promise<(string | null)[]> {
    const ids = keys.map(idOf);
    const rows = await this.rows(ids);
    // Those whose time is over make room for whoever asks.
    if (rows.some((row) => isOver(row, now))) await this.forget(`id IN (${marks(ids)})`, ids, now);
    const holders = new Map(rows.filter((row) => !isOver(row, now)).map((row) => [row['id'], row['job_id'] as string]));
    return ids.map((id) => holders.get(id) ?? null);
  }

  async claim(claims: readonly KeyClaim[], jobs: readonly StoredJob[], now: number): Promise<WriteResult[] | 'taken'> {
    const results = await this.insertNew(claims, jobs, now);
    if (results === 'taken') return results;
    const refused = new Set(jobs.flatMap(({ id }, i) => (results[i] === 'done' ? [] : [id])));
    for (const claim of claims) if (refused.has(claim.jobId)) await this.release(claim, null);
    await this.prune(now);
    return results;
  }

  async release(key: JobKey, jobId: string | null): Promise<boolean> {
    const held = jobId === null ? '' : ' AND job_id = ? AND expires_at IS NULL';
    const params = [idOf(key), ...(jobId === null ? [] : [jobId])];
    return (
      (await this.dialect.commitWith({ sql: `DELETE FROM ${this.table} WHERE id = ?${held}`, params }, [])) !== null
    );
  }

  private async within(
    manager: object,
    claims: readonly KeyClaim[],
    jobs: readonly StoredJob[],
    now: number,
    changed: () => void,
  ): Promise<EnlistedKeys> {
    const winners = new Map<string, string>();
    let theirs: Session | undefined;
    const select = async (session: Session): Promise<StoredJob[]> => {
      theirs = session;
      // In one order for all: two transactions must not wait for each other.
      const ordered = claims.map((claim) => ({ claim, id: idOf(claim) })).sort((a, b) => (a.id < b.id ? -1 : 1));
      for (const { claim, id } of ordered) winners.set(claim.jobId, await this.take(session, id, claim, now));
      return jobs.filter(({ id }) => (winners.get(id) ?? id) === id);
    };
    const { results, state } = await this.dialect.enlist!(manager, jobs, changed, select);
    let next = 0;
    const lost = jobs.map(({ id }) => (winners.get(id) ?? id) !== id);
    const all = lost.map((isLost): WriteResult => (isLost ? 'duplicate' : (results[next++] as WriteResult)));
    for (const [i, { id }] of jobs.entries()) {
      const sql = `DELETE FROM ${this.table} WHERE job_id = ?`;
      if (typeof all[i] === 'object') await theirs?.query(sql, [id]);
    }
    return {
      results: all,
      winners: jobs.map(({ id }, i) => (lost[i] ? (winners.get(id) as string) : null)),
      state,
    };
  }

  /** @returns the job that has the key, as far as this transaction can see */
  private async take(session: Session, id: string, claim: KeyClaim, now: number): Promise<string> {
    const { jobId, until } = claim;
    const { unlessThere, latest } = this.dialect.keyStatements!;
    const insert = `INSERT INTO ${this.table} (${COLUMNS}) VALUES (${marks(rowOf(claim))})${unlessThere}`;
    const takeOver = `UPDATE ${this.table} SET job_id = ?, expires_at = ? WHERE id = ? AND expires_at <= ?`;
    for (let tries = 0; tries < TRIES; tries++) {
      await session.query(insert, rowOf(claim));
      await session.query(takeOver, [jobId, until, id, now]);
      const { rows } = await session.query(`SELECT job_id FROM ${this.table} WHERE id = ?${latest}`, [id]);
      if (rows[0]) return rows[0]['job_id'] as string;
    }
    throw new Error(`The key '${claim.value}' changed hands too often.`);
  }

  private async insertNew(
    claims: readonly KeyClaim[],
    jobs: readonly StoredJob[],
    now: number,
  ): Promise<WriteResult[] | 'taken'> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.insert(claims, jobs);
      } catch (error) {
        if (error instanceof CommitInDoubt) throw error;
        // A second row is refused by the primary key, for which each database has an error of its own.
        if ((await this.holders(claims, now)).some((holder) => holder !== null)) return 'taken';
        // There may have been one whose time was over, or that has gone since.
        if (tries === TRIES) throw error;
      }
    }
  }

  private async insert(claims: readonly KeyClaim[], jobs: readonly StoredJob[]): Promise<WriteResult[] | 'taken'> {
    const rows = claims.map(rowOf);
    const tuples = rows.map((row) => `(${marks(row)})`).join(', ');
    const guard: Read = { sql: `INSERT INTO ${this.table} (${COLUMNS}) VALUES ${tuples}`, params: rows.flat() };
    return (await this.dialect.commitWith(guard, jobs, rows.length)) ?? 'taken';
  }

  /** With a commit that happens anyway: a timer would wake an idle storage. */
  private async prune(now: number): Promise<void> {
    if (now < this.pruneAt) return;
    this.pruneAt = now + PRUNE_EVERY;
    const sql = `SELECT id FROM ${this.table} WHERE expires_at <= ? ORDER BY expires_at LIMIT ${PRUNED_AT_ONCE}`;
    try {
      const ids = (await this.dialect.all(sql, [now])).map(({ id }) => id as string);
      if (ids.length > 0) await this.forget(`id IN (${marks(ids)})`, ids, now);
      if (ids.length === PRUNED_AT_ONCE) this.pruneAt = now;
    } catch {
      // The claim is committed; these go with a later one.
    }
  }

  private async forget(where: string, params: readonly RowValue[], now: number): Promise<void> {
    const sql = `DELETE FROM ${this.table} WHERE ${where} AND expires_at <= ?`;
    await this.dialect.commitWith({ sql, params: [...params, now] }, []);
  }

  private async rows(ids: readonly string[]): Promise<Row[]> {
    const sql = `SELECT id, job_id, expires_at FROM ${this.table} WHERE id IN (${marks(ids)})`;
    return ids.length === 0 ? [] : this.dialect.all(sql, ids);
  }

  private get table(): string {
    return this.dialect.tables.keys;
  }
}

const idOf = ({ name, value }: JobKey): string => nameId(name, value);

const rowOf = (claim: KeyClaim): RowValue[] => [idOf(claim), claim.name, claim.value, claim.jobId, claim.until];

const isOver = (row: Row, now: number): boolean => row['expires_at'] !== null && Number(row['expires_at']) <= now;

const marks = (values: readonly unknown[]): string => values.map(() => '?').join(', ');
