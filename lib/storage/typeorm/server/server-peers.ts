import type { StoredJob } from '../../../job/job.js';
import type { Adopted, LeaseChange, StoragePeer, StoragePeers } from '../../job-storage.js';
import { JOB_COLUMNS, toStoredJob, type Row } from '../job-rows.js';
import { LeaseExpired, transaction, type Engine, type Owner, type Session } from './engine.js';
import { GRACE } from './lease.js';
import type { Machine } from './process-mark.js';

/** When the lease of a process ran out that was seen to be gone. */
const BURIED = 0;
/** Rows that change hands in one transaction. */
const PAGE = 500;

/** Rows that were to change hands in a transaction whose answer was lost. */
interface Unanswered {
  peer: StoragePeer;
  table: 'jobs' | 'feedbacks';
  ids: readonly string[];
}

type Wants = Parameters<StoragePeers['adopt']>[1];
interface Candidate {
  id: string;
  dueAt: number;
  wanted: boolean;
}

/** The other owners in the database: which of them are dead, and how their rows change hands. */
export class ServerPeers implements StoragePeers {
  database = '';
  onLease: (change: LeaseChange) => void = () => undefined;
  private readonly lost: Unanswered[] = [];

  constructor(
    private readonly engine: Engine,
    /** @throws STORAGE when it is not open */
    private readonly owner: () => Owner,
    private readonly machine: Machine,
    /** Turns what fails into a STORAGE error. */
    private readonly storage: <T>(work: () => Promise<T>) => Promise<T>,
    private readonly hasLapsed: () => boolean,
  ) {}

  get lapsed(): boolean {
    return this.hasLapsed();
  }

  async list(): Promise<StoragePeer[]> {
    const { id, role, name } = this.owner();
    const { tables, now } = this.engine;
    const [same, params] = role === 'outbox' ? [' AND name = ?', [name]] : ['', []];
    const sql =
      `SELECT id, name, instance, process, expires_at, expires_at + ${GRACE} - (${now}) AS time_left FROM ${tables.leases} ` +
      `WHERE role = ? AND id <> ?${same} ORDER BY id`;
    const { rows } = await this.asking((session) => session.query(sql, [role, id, ...params]));
    const peers: StoragePeer[] = [];
    for (const row of rows) {
      const [peerId, peerName, instance] = [row['id'], row['name'], row['instance']] as string[];
      const peer = { id: peerId!, name: peerName!, instance: instance!, expiresAt: Number(row['expires_at']) };
      const left = Math.max(0, Number(row['time_left']));
      const isGone = left > 0 && (await this.machine.isGone(row['process'] as string));
      peers.push(isGone && (await this.bury(peer)) ? { ...peer, expiresAt: BURIED, left: 0 } : { ...peer, left });
    }
    return peers;
  }

  async *adopt(peer: StoragePeer, wants: Wants): AsyncIterable<Adopted> {
    const { jobs, feedbacks } = this.engine.tables;
    let after: Candidate | undefined;
    for (let more = true; more;) {
      const range = after ? ' AND due_at >= ? AND (due_at > ? OR id > ?)' : '';
      const params = after ? [after.dueAt, after.dueAt, after.id] : [];
      const sql = `SELECT id, name, options, due_at FROM ${jobs} WHERE owner = ? AND unfinished = TRUE${range} ORDER BY due_at, id`;
      const page = await this.candidates(sql, [peer.id, ...params], wants);
      const taken = await this.takeJobs(peer, page);
      if (taken === null) return;
      if (taken.length > 0) yield { jobs: taken, feedbacks: 0 };
      after = page.at(-1);
      more = page.length === PAGE;
    }
    // Then what has ended: jobs kept to be looked at or run again, and feedbacks nobody acknowledged.
    const ended = `SELECT id, name, options FROM ${jobs} WHERE owner = ? AND unfinished = FALSE`;
    if (!(await this.adoptEnded(peer, ended, wants, (ids) => this.takeJobs(peer, ids)))) return;
    const outstanding = `SELECT id, name FROM ${feedbacks} WHERE owner = ?`;
    let count = 0;
    await this.adoptEnded(peer, outstanding, wants, async (page) => {
      const taken = await this.takeFeedbacks(peer, page);
      count += taken ?? 0;
      return taken;
    });
    if (count > 0) yield { jobs: [], feedbacks: count };
  }

  async *unanswered(): AsyncIterable<{ peer: StoragePeer; page: Adopted }> {
    for (let first = this.lost[0]; first; first = this.lost[0]) {
      const rows = await this.taken(first);
      this.lost.shift();
      if (rows.length === 0) continue;
      const isJobs = first.table === 'jobs';
      yield {
        peer: first.peer,
        page: isJobs ? { jobs: rows.map(toStoredJob), feedbacks: 0 } : { jobs: [], feedbacks: rows.length },
      };
    }
  }

  /** False when the peer turned out to be alive. */
  private async adoptEnded(
    peer: StoragePeer,
    sql: string,
    wants: Wants,
    take: (page: readonly Candidate[]) => Promise<unknown>,
  ): Promise<boolean> {
    for (let after = ''; ;) {
      const range = after === '' ? '' : ' AND id > ?';
      const page = await this.candidates(
        `${sql}${range} ORDER BY id`,
        after === '' ? [peer.id] : [peer.id, after],
        wants,
      );
      if ((await take(page)) === null) return false;
      if (page.length < PAGE) return true;
      after = page.at(-1)!.id;
    }
  }

  private async candidates(sql: string, params: readonly unknown[], wants: Wants): Promise<Candidate[]> {
    const { rows } = await this.asking((session) => session.query(`${sql} LIMIT ${PAGE}`, params));
    return rows.map((row) => ({
      id: row['id'] as string,
      dueAt: Number(row['due_at'] ?? 0),
      wanted: wants({ name: row['name'] as string, options: JSON.parse((row['options'] as string | null) ?? '{}') }),
    }));
  }

  /** As they are now; null when the peer is alive. */
  private takeJobs(peer: StoragePeer, page: readonly Candidate[]): Promise<StoredJob[] | null> {
    const { jobs } = this.engine.tables;
    return this.taking('jobs', peer, page, [], async (session, ids) => {
      const marks = ids.map(() => '?').join(', ');
      const { rows } = await session.query(
        `SELECT ${JOB_COLUMNS} FROM ${jobs} WHERE owner = ? AND id IN (${marks}) FOR UPDATE`,
        [peer.id, ...ids],
      );
      const taken = rows.map(toStoredJob);
      if (taken.length === 0) return [];
      const theirs = taken.map(({ id }) => id);
      await session.query(
        `UPDATE ${jobs} SET owner = ?, fence = fence + 1 WHERE owner = ? AND id IN (${theirs.map(() => '?').join(', ')})`,
        [this.owner().id, peer.id, ...theirs],
      );
      return taken.map((job) => ({ ...job, fence: job.fence + 1 }));
    });
  }

  private takeFeedbacks(peer: StoragePeer, page: readonly Candidate[]): Promise<number | null> {
    const { feedbacks } = this.engine.tables;
    return this.taking('feedbacks', peer, page, 0, async (session, ids) => {
      const sql = `UPDATE ${feedbacks} SET owner = ? WHERE owner = ? AND id IN (${ids.map(() => '?').join(', ')})`;
      return (await session.query(sql, [this.owner().id, peer.id, ...ids])).count;
    });
  }

  /** In one transaction in which the peer can't come back to life, and only while our own lease is held. */
  private async taking<T>(
    table: Unanswered['table'],
    peer: StoragePeer,
    page: readonly Candidate[],
    none: T,
    take: (session: Session, ids: readonly string[]) => Promise<T>,
  ): Promise<T | null> {
    const ids = page.filter(({ wanted }) => wanted).map(({ id }) => id);
    if (ids.length === 0) return none;
    const { tables, now } = this.engine;
    const { id, instance } = this.owner();
    const taking = this.asking((session) =>
      transaction(session, async () => {
        const dead = `SELECT id FROM ${tables.leases} WHERE id = ? AND expires_at + ${GRACE} <= ${now} FOR UPDATE`;
        if ((await session.query(dead, [peer.id])).rows.length === 0) return null;
        const alive = `SELECT id FROM ${tables.leases} WHERE id = ? AND instance = ? AND expires_at > ${now}`;
        // No answer about the peer: it is to be tried again once the lease is back.
        if ((await session.query(alive, [id, instance])).rows.length === 0)
          throw new LeaseExpired('The own lease has run out.');
        return take(session, ids);
      }),
    );
    return taking.catch((error: unknown) => {
      this.lost.push({ peer, table, ids });
      throw error;
    });
  }

  /** Of rows whose change of hands was not answered those that are here, as far as anything is to be done about them. */
  private taken({ peer, table, ids }: Unanswered): Promise<Row[]> {
    const { tables } = this.engine;
    const marks = ids.map(() => '?').join(', ');
    const sql =
      table === 'jobs'
        ? `SELECT ${JOB_COLUMNS} FROM ${tables.jobs} WHERE owner = ? AND unfinished = TRUE AND id IN (${marks})`
        : `SELECT id FROM ${tables.feedbacks} WHERE owner = ? AND id IN (${marks})`;
    return this.asking((session) =>
      transaction(session, async () => {
        // That transaction may still go on: it holds this row.
        await session.query(`SELECT id FROM ${tables.leases} WHERE id = ? FOR UPDATE`, [peer.id]);
        return (await session.query(sql, [this.owner().id, ...ids])).rows;
      }),
    );
  }

  /** Its process was on this machine and is no more, so its lease need not run out. False when it has been renewed. */
  private async bury({ id, expiresAt }: { id: string; expiresAt: number }): Promise<boolean> {
    const { leases } = this.engine.tables;
    const sql = `UPDATE ${leases} SET expires_at = ${BURIED} WHERE id = ? AND expires_at = ?`;
    return this.asking(async (session) => {
      if ((await session.query(sql, [id, expiresAt])).count === 1) return true;
      // Somebody else who saw it was faster.
      const { rows } = await session.query(`SELECT expires_at FROM ${leases} WHERE id = ?`, [id]);
      return rows[0] !== undefined && Number(rows[0]['expires_at']) === BURIED;
    });
  }

  private asking<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return this.storage(() => this.engine.session(work));
  }
}
