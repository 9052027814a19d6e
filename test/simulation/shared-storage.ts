import type { DataSourceOptions } from 'typeorm';
import type { KeptFeedback } from '../../lib/job/feedback-record.js';
import type { StoredJob } from '../../lib/job/job.js';
import { JobReactorError } from '../../lib/job-reactor.error.js';
import type { FeedbackPage, JobPage, JobStorage, JobWrite, WriteResult } from '../../lib/storage/job-storage.js';
import type { StorageOwner } from '../../lib/storage/job-storage.js';
import { JobReads, type Read } from '../../lib/storage/typeorm/job-reads.js';
import { toFeedback, toStoredJob } from '../../lib/storage/typeorm/job-rows.js';
import type { Engine, Owner, Session, Trouble } from '../../lib/storage/typeorm/server/engine.js';
import type { Machine } from '../../lib/storage/typeorm/server/process-mark.js';
import { ServerDialect } from '../../lib/storage/typeorm/server/server-dialect.js';
import { TABLES, type SimulatedServer, type Transaction } from './simulated-server.js';
import { NOW, type Row } from './small-sql.js';
import type { Life } from './world.js';

/** Longest way to the server or back, milliseconds. */
const WAY = 3;
/** After so long a statement that has no answer has failed, as with PostgresPool and MysqlPool. */
const DEADLINE = 5_000;

interface Ways {
  /** Whether this process can't reach the server. */
  cut: () => boolean;
  /** Changes each statement: for mutations. */
  sql: (sql: string) => string;
}

/** A connection: it breaks when its process dies or stands still, with what is not committed. */
class SimulatedSession implements Session {
  broken = false;
  #transaction: Transaction | undefined;

  constructor(
    private readonly server: SimulatedServer,
    private readonly life: Life,
    private readonly instance: () => string,
    private readonly ways: Ways,
  ) {}

  query(sql: string, params: readonly unknown[] = []): Promise<{ rows: Row[]; count: number }> {
    return this.ask(sql, () => {
      if (sql === 'BEGIN') this.#transaction = this.server.begin();
      else if (sql === 'COMMIT' || sql === 'ROLLBACK') this.end(sql === 'COMMIT' ? 'commit' : 'rollback');
      else return this.server.query(this.ways.sql(sql.replace(/ FOR UPDATE.*/, '')), params, this.#transaction);
      return { rows: [], count: 0 };
    });
  }

  /** `work` happens at the server, whatever becomes of this process meanwhile. */
  ask<T>(what: string, work: () => T): Promise<T> {
    const { server, life, ways } = this;
    const { world } = life;
    return new Promise((resolve, reject) => {
      const answer = (after: number, tell: () => void): void => void world.at(after, () => life.run(tell));
      const fail = (): void => answer(world.random() * DEADLINE, () => reject(new Error('no answer came')));
      world.at(world.random() * WAY, () => {
        if (!life.alive) return;
        if (server.down || ways.cut()) return fail();
        server.turn(this.#transaction, () => {
          if (this.broken) return answer(0, () => reject(new Error('the connection is broken')));
          if (world.chance(server.trouble)) return fail();
          server.statements.push({ time: world.now, instance: this.instance(), sql: what });
          try {
            const result = work();
            if (world.chance(server.trouble)) return fail();
            answer(world.random() * WAY, () => resolve(result));
          } catch (error) {
            answer(world.random() * WAY, () => reject(error));
          }
        });
      });
    });
  }

  break(): void {
    this.broken = true;
    this.end('rollback');
  }

  end(how: 'commit' | 'rollback'): void {
    const open = this.#transaction;
    this.#transaction = undefined;
    if (open) this.server.end(open, how);
  }
}

class SimulatedEngine implements Engine {
  readonly driverName = 'simulated';
  readonly place = 'simulated server';
  readonly tables = TABLES;
  readonly now = NOW;
  readonly commitsAtOnce = 2;
  readonly needsTransaction = false;
  readonly keyStatements = { unlessThere: '', latest: '' };
  instance = '';
  readonly #sessions = new Set<SimulatedSession>();

  constructor(
    private readonly server: SimulatedServer,
    private readonly life: Life,
    private readonly ways: Ways,
  ) {
    life.onStop(() => {
      for (const session of this.#sessions) session.break();
    });
  }

  dataSourceOptions(): DataSourceOptions {
    return { type: 'postgres' };
  }

  use(): void {}
  migrate = (): Promise<void> => Promise.resolve();
  text = (sql: string): string => sql;
  trouble = (): Trouble => 'unknown';
  isRefusal = (): boolean => false;
  isAway = (): boolean => true;

  async session<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const session = new SimulatedSession(this.server, this.life, () => this.instance, this.ways);
    this.#sessions.add(session);
    try {
      return await work(session);
    } finally {
      session.end('rollback');
      this.#sessions.delete(session);
    }
  }

  apply(session: Session, owner: Owner, writes: readonly JobWrite[], now: number): Promise<WriteResult[]> {
    const sent = structuredClone(writes) as JobWrite[];
    return (session as SimulatedSession).ask('apply', () => this.server.apply(owner, sent, now));
  }
}

/** What TypeOrmStorage is over a real server: the same dialect with its lease and its peers, and the same reads. */
export class SharedStorage implements JobStorage {
  readonly durable = true;
  readonly driverName = 'simulated';
  readonly #dialect: ServerDialect;
  readonly #engine: SimulatedEngine;
  #reads: JobReads | undefined;

  constructor(
    private readonly server: SimulatedServer,
    life: Life,
    machine: Machine,
    ways: Ways,
  ) {
    this.#engine = new SimulatedEngine(server, life, ways);
    this.#dialect = new ServerDialect(this.#engine, life.clock, machine);
  }

  get peers(): ServerDialect['peers'] {
    return this.#dialect.peers;
  }

  async open(owner: StorageOwner): Promise<{ id: string }> {
    this.#engine.instance = owner.instance;
    await this.#dialect.claim(owner);
    const { id } = await this.#dialect.identify(this.server.id);
    this.#reads = new JobReads(TABLES, id);
    return { id };
  }

  commit(writes: readonly JobWrite[]): Promise<WriteResult[]> {
    return this.#dialect.commit(writes);
  }

  async unfinished(page: JobPage): Promise<StoredJob[]> {
    return this.#dialect.unfinished(page, this.#reader());
  }

  async countUnfinished(): Promise<number> {
    return Number((await this.#all((reads) => reads.countUnfinished()))[0]?.['count']);
  }

  async get(ids: readonly string[]): Promise<StoredJob[]> {
    if (ids.length === 0) return [];
    return (await this.#all((reads) => reads.get(ids))).map(toStoredJob);
  }

  async list(filter: Parameters<JobStorage['list']>[0]): Promise<StoredJob[]> {
    return (await this.#all((reads) => reads.list(filter))).map(toStoredJob);
  }

  async feedbacks(page: FeedbackPage): Promise<KeptFeedback[]> {
    return (await this.#all((reads) => reads.feedbacks(page))).map(toFeedback);
  }

  async getFeedbacks(ids: readonly string[]): Promise<KeptFeedback[]> {
    if (ids.length === 0) return [];
    return (await this.#all((reads) => reads.getFeedbacks(ids))).map(toFeedback);
  }

  async close(): Promise<void> {
    this.#reads = undefined;
    await this.#dialect.retire();
  }

  async #all(read: (reads: JobReads) => Read): Promise<Row[]> {
    const { sql, params } = read(this.#reader());
    return this.#dialect.all(sql, params);
  }

  #reader(): JobReads {
    if (!this.#reads) throw new JobReactorError('STORAGE', 'The storage is closed.');
    return this.#reads;
  }
}
