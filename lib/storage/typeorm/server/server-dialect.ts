import type { DataSource, DataSourceOptions, EntityManager } from 'typeorm';
import type { Clock } from '../../../clock.js';
import { JobReactorError } from '../../../job-reactor.error.js';
import type { StoredJob } from '../../../job/job.js';
import { CommitInDoubt } from '../../commit-in-doubt.js';
import type { Enlisted, JobPage, JobWrite, StorageOwner, WriteResult } from '../../job-storage.js';
import type { Dialect } from '../dialect.js';
import type { JobReads, Read } from '../job-reads.js';
import { toStoredJob, type Row, type RowValue } from '../job-rows.js';
import type { TableNames } from '../table-names.js';
import { CallersTransactions, sessionOf } from './callers-transaction.js';
import { withDeadline } from './deadline.js';
import {
  LeaseExpired,
  LeaseLost,
  NotConnected,
  SetBack,
  transaction,
  Unanswered,
  type Engine,
  type Session,
} from './engine.js';
import { InDoubt } from './in-doubt.js';
import { Lease } from './lease.js';
import { thisMachine, type Machine } from './process-mark.js';
import { ServerPeers } from './server-peers.js';
import { inserts, refusing } from './storable.js';

/** How often a group is tried, after a deadlock or the like. */
const TRIES = 5;
/** Milliseconds before the second try, at most; each further one may wait so much longer. */
const AGAIN_WITHIN = 20;
/** Milliseconds for the first connection and what TypeORM asks of it. */
const CONNECT_WITHIN = 15_000;
/** Rows of one answer: more would hold up the event loop. */
const ROWS_AT_ONCE = 5_000;
const PRUNE_EVERY = 3_600_000;
const PRUNED_AT_ONCE = 1_000;

/** A database that many processes use: each row has an owner, and a lease says which process that is. */
export class ServerDialect implements Dialect {
  readonly durable = true;
  readonly peers: ServerPeers;
  private owner: StorageOwner | undefined;
  private lease: Lease | undefined;
  private readonly doubts = new InDoubt();
  private readonly transactions = new CallersTransactions();
  private pruneAt = -Infinity;

  constructor(
    private readonly engine: Engine,
    private readonly clock: Clock,
    private readonly machine: Machine = thisMachine,
  ) {
    this.peers = new ServerPeers(
      engine,
      () => this.open().owner,
      machine,
      (work) => this.storage(work),
    );
  }

  get commitsAtOnce(): number {
    return this.engine.commitsAtOnce;
  }

  get driverName(): string {
    return this.engine.driverName;
  }

  get tables(): TableNames {
    return this.engine.tables;
  }

  claim(owner: StorageOwner): Promise<DataSourceOptions> {
    this.owner = owner;
    return Promise.resolve().then(() => this.engine.dataSourceOptions());
  }

  async connect(dataSource: DataSource): Promise<void> {
    const late = (): void => void dataSource.destroy().catch(() => undefined);
    await this.storage(() => withDeadline(this.clock, CONNECT_WITHIN, 'Connecting', dataSource.initialize(), late));
    this.engine.use(dataSource);
  }

  migrate(): Promise<void> {
    return this.storage(() => this.engine.migrate());
  }

  async identify(database: string): Promise<{ id: string; owner: string }> {
    this.peers.database = database;
    const changed: Lease['changed'] = (change) => {
      // Rows may have changed hands: what is there now need not be what was written here.
      if (change === 'regained') this.doubts.clear();
      this.peers.onLease(change);
    };
    this.lease = await this.storage(() =>
      Lease.take(this.engine, this.owner as StorageOwner, this.clock, this.machine, changed),
    );
    const { id } = this.lease.owner;
    return { id, owner: id };
  }

  async all(sql: string, params: readonly RowValue[]): Promise<Row[]> {
    const ask = (session: Session): Promise<{ rows: Row[] }> => session.query(sql, params);
    return (await this.storage(() => this.engine.session(ask))).rows;
  }

  async unfinished(page: JobPage, reads: JobReads): Promise<StoredJob[]> {
    const jobs: StoredJob[] = [];
    let { after } = page;
    while (jobs.length < page.limit) {
      const limit = Math.min(page.limit - jobs.length, ROWS_AT_ONCE);
      const { sql, params } = reads.unfinished({ after, limit });
      const rows = await this.all(sql, params);
      for (const row of rows) jobs.push(toStoredJob(row));
      if (rows.length < limit) break;
      after = jobs.at(-1) ?? null;
    }
    return jobs;
  }

  async enlist(given: object, jobs: readonly StoredJob[], changed: () => void): Promise<Enlisted> {
    const manager = given as EntityManager;
    const session = sessionOf(manager, (sql) => this.engine.text(sql));
    await this.transactions.assertSameDatabase(manager, session, this.tables.storage, this.peers.database);
    const writes = inserts(jobs);
    const apply = (good: readonly JobWrite[]): Promise<WriteResult[]> => this.held(() => this.apply(session, good));
    const results = await refusing(writes, apply).catch((cause: unknown) => Promise.reject(notEnlisted(cause)));
    return { results, state: this.transactions.watch(manager, changed) };
  }

  async commit(writes: readonly JobWrite[]): Promise<WriteResult[]> {
    const results = await refusing(writes, (good) => this.storage(() => this.commitGood(good), good));
    await this.prune();
    return results;
  }

  async commitWith(guard: Read, jobs: readonly StoredJob[]): Promise<WriteResult[] | null> {
    const writes = inserts(jobs);
    const commit = (good: readonly JobWrite[]): Promise<WriteResult[] | null> =>
      this.held(() => this.again(() => this.engine.session((session) => this.guarded(session, guard, good))));
    return refusing(writes, (good) => this.storage(() => commit(good), good));
  }

  async retire(): Promise<void> {
    const { lease } = this;
    this.lease = undefined;
    this.transactions.stop();
    await lease?.release();
  }

  release(): Promise<void> {
    return Promise.resolve();
  }

  private async commitGood(writes: readonly JobWrite[]): Promise<WriteResult[]> {
    const group = (): Promise<WriteResult[]> => this.engine.session((session) => this.commitGroup(session, writes));
    const results = await this.held(() => this.again(group));
    const doubtful = this.doubts.doubtful(writes, results);
    const rows = doubtful.length === 0 ? [] : await this.look(doubtful);
    return this.doubts.settle(writes, results, rows);
  }

  private async commitGroup(session: Session, writes: readonly JobWrite[]): Promise<WriteResult[]> {
    try {
      const apply = (): Promise<WriteResult[]> => this.apply(session, writes);
      return await (this.engine.needsTransaction ? transaction(session, apply) : apply());
    } catch (error) {
      if (this.engine.trouble(error) !== 'row') throw error;
      return transaction(session, () => this.eachAlone(session, writes));
    }
  }

  /** When a row's values are refused the group is done again with a savepoint for each row; that is slow, and rare. */
  private async eachAlone(session: Session, writes: readonly JobWrite[]): Promise<WriteResult[]> {
    const results: WriteResult[] = [];
    for (const kind of ['insert', 'claim', 'start', 'save', 'delete', 'save-delivery', 'forget-feedback'] as const) {
      for (const [i, write] of writes.entries()) {
        if (write.kind !== kind) continue;
        await session.query('SAVEPOINT one_row');
        try {
          results[i] = (await this.apply(session, [write]))[0] as WriteResult;
          await session.query('RELEASE SAVEPOINT one_row');
        } catch (error) {
          if (this.engine.trouble(error) !== 'row') throw error;
          results[i] = { error: error instanceof Error ? error : new Error(String(error)) };
          await session.query('ROLLBACK TO SAVEPOINT one_row');
        }
      }
    }
    return results;
  }

  private apply(session: Session, writes: readonly JobWrite[]): Promise<WriteResult[]> {
    return this.engine.apply(session, this.open().owner, writes, this.clock.now());
  }

  private guarded(session: Session, { sql, params }: Read, writes: readonly JobWrite[]): Promise<WriteResult[] | null> {
    return transaction(session, async () => {
      if ((await session.query(sql, params)).count !== 1) return null;
      return writes.length === 0 ? [] : this.apply(session, writes);
    });
  }

  private async look(ids: readonly string[]): Promise<Row[]> {
    const sql = `SELECT id, fence, status FROM ${this.tables.jobs} WHERE owner = ? AND id IN (${ids.map(() => '?').join(', ')})`;
    const params = [this.open().owner.id, ...ids];
    try {
      return (await this.engine.session((session) => session.query(sql, params))).rows;
    } catch (cause) {
      throw new Unanswered(cause);
    }
  }

  /** A process that was away for too long first takes up its lease again: what it wants to write may be stale by then. */
  private async held<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof LeaseExpired)) throw error;
      await this.open().renew();
      return work();
    }
  }

  /** Expired tombstones go with a commit that happens anyway: a timer would wake an idle storage. */
  private async prune(): Promise<void> {
    const now = this.clock.now();
    if (now < this.pruneAt) return;
    this.pruneAt = now + PRUNE_EVERY;
    const { tombstones } = this.tables;
    // The inner select is wrapped once more, as MySQL knows no LIMIT in a subquery.
    const sql =
      `DELETE FROM ${tombstones} WHERE id IN (SELECT id FROM ` +
      `(SELECT id FROM ${tombstones} WHERE expires_at <= ? ORDER BY expires_at LIMIT ${PRUNED_AT_ONCE}) AS expired)`;
    const pruned = await this.engine.session((session) => session.query(sql, [now])).catch(() => undefined);
    if (pruned && pruned.count === PRUNED_AT_ONCE) this.pruneAt = now;
  }

  private async again<T>(work: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await work();
      } catch (error) {
        if (tries === TRIES || this.engine.trouble(error) !== 'again') throw error;
        // Two that were in each other's way would be so again, if they came back at the same moment.
        const wait = Math.random() * AGAIN_WITHIN * tries;
        await new Promise<void>((resolve) => void this.clock.after(wait, resolve));
      }
    }
  }

  /** Nothing was committed. */
  private surelyFailed(error: unknown): boolean {
    return error instanceof NotConnected || error instanceof LeaseExpired || this.engine.isRefusal(error);
  }

  private open(): Lease {
    if (!this.lease) throw new JobReactorError('STORAGE', `The storage ${this.engine.place} is closed.`);
    return this.lease;
  }

  private async storage<T>(work: () => Promise<T>, writes: readonly JobWrite[] = []): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof JobReactorError) throw error;
      if (error instanceof LeaseLost) throw lost(this.engine.place, error);
      if (error instanceof SetBack) throw setBack(this.engine.place, error);
      const message = `The storage ${this.engine.place} failed: ${String((error as Error)?.message || error)}`;
      if (writes.length > 0 && !this.surelyFailed(error)) {
        this.doubts.add(writes);
        throw new CommitInDoubt(message, { cause: error });
      }
      // Before it is open whoever opens it may wait.
      const code = !this.lease && this.engine.isAway(error) ? 'STORAGE_UNAVAILABLE' : 'STORAGE';
      throw new JobReactorError(code, message, { cause: error });
    }
  }
}

/** The caller's transaction is broken by it as by any failed statement, and the caller rolls it back. */
function notEnlisted(cause: unknown): JobReactorError {
  const message = `The job could not be written in your transaction: ${String((cause as Error)?.message || cause)}`;
  return new JobReactorError('STORAGE', message, { cause });
}

function lost(place: string, cause: Error): JobReactorError {
  const message = `Another process of the same name has taken over the jobs in ${place}, as this one was not heard of for too long. Start it again.`;
  return new JobReactorError('STORAGE_IN_USE', message, { cause });
}

function setBack(place: string, cause: Error): JobReactorError {
  const message =
    `The tables in ${place} are not those this process wrote to: they were emptied, or set back to a backup. It writes nothing more, ` +
    'as what it knows and what is there no longer fit. Start every process that uses them again.';
  return new JobReactorError('STORAGE', message, { cause });
}
