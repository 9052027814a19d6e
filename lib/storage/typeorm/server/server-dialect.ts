import type { DataSource, DataSourceOptions, EntityManager } from 'typeorm';
import type { Clock } from '../../../clock.js';
import { JobReactorError } from '../../../job-reactor.error.js';
import type { StoredJob } from '../../../job/job.js';
import { CommitInDoubt } from '../../commit-in-doubt.js';
import type { Enlisted, JobPage, JobWrite, StorageOwner, WriteResult } from '../../job-storage.js';
import type { Dialect } from '../dialect.js';
import type { KeyStatements } from '../key-statements.js';
import type { JobReads, Read } from '../job-reads.js';
import { toStoredJob, type Row, type RowValue } from '../job-rows.js';
import type { TableNames } from '../table-names.js';
import { CallersTransactions, sessionOf } from './callers-transaction.js';
import { withDeadline } from './deadline.js';
import { LeaseLost, SetBack, type Engine, type Session } from './engine.js';
import { Lease } from './lease.js';
import { thisMachine, type Machine } from './process-mark.js';
import { ServerCommits } from './server-commits.js';
import { ServerPeers } from './server-peers.js';
import { ServerPlaces } from './server-places.js';
import { inserts, refusing } from './storable.js';

/** Milliseconds for the first connection and what TypeORM asks of it. */
const CONNECT_WITHIN = 15_000;
/** Rows of one answer: more would hold up the event loop. */
const ROWS_AT_ONCE = 5_000;

/** A database that many processes use: each row has an owner, and a lease says which process that is. */
export class ServerDialect implements Dialect {
  readonly durable = true;
  readonly peers: ServerPeers;
  readonly places: ServerPlaces;
  private owner: StorageOwner | undefined;
  private lease: Lease | undefined;
  private readonly transactions = new CallersTransactions();
  private readonly commits: ServerCommits;

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
      () => this.lease?.hasLapsed ?? true,
    );
    this.places = new ServerPlaces(
      engine,
      () => this.open().owner,
      (work) => this.storage(work),
    );
    this.commits = new ServerCommits(engine, clock, () => this.open());
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
      if (change === 'regained') this.commits.regained();
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

  get keyStatements(): KeyStatements {
    return this.engine.keyStatements;
  }

  async enlist(
    given: object,
    jobs: readonly StoredJob[],
    changed: () => void,
    select?: (session: Session) => Promise<readonly StoredJob[]>,
  ): Promise<Enlisted> {
    const manager = given as EntityManager;
    const session = sessionOf(manager, (sql) => this.engine.text(sql));
    await this.transactions.assertSameDatabase(manager, session, this.tables.storage, this.peers.database);
    const chosen = select?.(session).catch((cause: unknown) => Promise.reject(notEnlisted(cause)));
    const writes = inserts((await chosen) ?? jobs);
    const within = (good: readonly JobWrite[]): Promise<WriteResult[]> => this.commits.within(session, good);
    const results = await refusing(writes, within).catch((cause: unknown) => Promise.reject(notEnlisted(cause)));
    return { results, state: this.transactions.watch(manager, changed) };
  }

  async commit(writes: readonly JobWrite[]): Promise<WriteResult[]> {
    const results = await refusing(writes, (good) => this.storage(() => this.commits.commit(good), good));
    await this.commits.prune();
    return results;
  }

  async commitWith(guard: Read, jobs: readonly StoredJob[], rows = 1): Promise<WriteResult[] | null> {
    const commit = (good: readonly JobWrite[]): Promise<WriteResult[] | null> =>
      this.storage(() => this.commits.commitWith(guard, good, rows), good);
    return refusing(inserts(jobs), commit);
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
      if (this.commits.maybeDone(error, writes)) throw new CommitInDoubt(message, { cause: error });
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
