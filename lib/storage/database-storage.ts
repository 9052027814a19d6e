import type { Clock } from '../clock.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { KeptFeedback } from '../job/feedback-record.js';
import type { StoredJob } from '../job/job.js';
import type { JobStatus } from '../job/job-status.js';
import type {
  Enlisted,
  FeedbackPage,
  JobPage,
  JobStorage,
  JobWrite,
  KeyRows,
  PauseRows,
  PlaceRows,
  ScheduleRows,
  StorageOwner,
  StoragePeers,
  WriteResult,
} from './job-storage.js';
import type {
  DatabaseOptions,
  MysqlStorageOptions,
  PostgresStorageOptions,
  SqliteStorageOptions,
  StorageHooks,
} from './storage-option.js';
import type { Dialect } from './typeorm/dialect.js';
import type { Engine } from './typeorm/server/engine.js';

/** Stands for a TypeORM storage until `open()` loads TypeORM, so that who keeps jobs in memory needs not install it. */
export class DatabaseStorage implements JobStorage {
  readonly durable: boolean;
  private opening: Promise<unknown> | undefined;
  private opened: JobStorage | undefined;

  constructor(
    private readonly options: DatabaseOptions,
    private readonly clock: Clock,
    private readonly hooks: StorageHooks,
  ) {
    this.durable = options.database !== ':memory:';
  }

  get driverName(): string | undefined {
    return this.opened?.driverName;
  }

  get commitsAtOnce(): number | undefined {
    return this.opened?.commitsAtOnce;
  }

  get commitsHere(): boolean | undefined {
    return this.opened?.commitsHere;
  }

  get peers(): StoragePeers | undefined {
    return this.opened?.peers;
  }

  get pauses(): PauseRows | undefined {
    return this.opened?.pauses;
  }

  get keys(): KeyRows | undefined {
    return this.opened?.keys;
  }

  get places(): PlaceRows | undefined {
    return this.opened?.places;
  }

  get schedules(): ScheduleRows | undefined {
    return this.opened?.schedules;
  }

  async open(owner: StorageOwner): Promise<{ id: string }> {
    if (this.opening) throw new JobReactorError('STORAGE', `The storage ${this.place()} is open already.`);
    const opening = this.openDatabase(owner);
    this.opening = opening;
    return opening.catch((error: unknown) => {
      this.opening = undefined;
      throw error;
    });
  }

  async commit(writes: readonly JobWrite[]): Promise<WriteResult[]> {
    return this.storage().commit(writes);
  }

  async unfinished(page: JobPage): Promise<StoredJob[]> {
    return this.storage().unfinished(page);
  }

  async countUnfinished(): Promise<number> {
    return this.storage().countUnfinished();
  }

  async get(ids: readonly string[]): Promise<StoredJob[]> {
    return this.storage().get(ids);
  }

  async list(filter: { status?: JobStatus; name?: string; after?: string; limit: number }): Promise<StoredJob[]> {
    return this.storage().list(filter);
  }

  async feedbacks(page: FeedbackPage): Promise<KeptFeedback[]> {
    return this.storage().feedbacks(page);
  }

  async getFeedbacks(ids: readonly string[]): Promise<KeptFeedback[]> {
    return this.storage().getFeedbacks(ids);
  }

  async enlist(manager: object, jobs: readonly StoredJob[], changed: () => void): Promise<Enlisted> {
    const { enlist } = this.storage();
    if (enlist) return enlist.call(this.storage(), manager, jobs, changed);
    const why = `The outbox ${this.place()} is a SQLite file with a connection of its own, which can not be part of your transaction. Keep it in the PostgreSQL, MySQL or MariaDB the transaction is in.`;
    throw new JobReactorError('INVALID_JOB', why);
  }

  async close(): Promise<void> {
    // What is about to open would stay open behind our back, with its lock.
    await this.opening?.catch(() => undefined);
    const storage = this.opened;
    this.opened = undefined;
    await storage?.close();
    this.opening = undefined;
  }

  private async openDatabase(owner: StorageOwner): Promise<{ id: string }> {
    const { TypeOrmStorage } = await loadTypeOrmStorage();
    const storage = new TypeOrmStorage(await this.dialect(), this.options.migrate ?? true);
    const identity = await storage.open(owner);
    this.opened = storage;
    return identity;
  }

  private async dialect(): Promise<Dialect> {
    const { options, clock, hooks } = this;
    if (isSqlite(options)) {
      const { SqliteDialect } = await import('./typeorm/sqlite/sqlite-dialect.js');
      return new SqliteDialect(options, clock, hooks);
    }
    const { ServerDialect } = await import('./typeorm/server/server-dialect.js');
    return new ServerDialect(await this.engine(options), clock);
  }

  private async engine(options: PostgresStorageOptions | MysqlStorageOptions): Promise<Engine> {
    if (options.type === 'postgres') {
      const { PostgresEngine } = await import('./typeorm/postgres/postgres-engine.js');
      return new PostgresEngine(options, this.clock, this.hooks);
    }
    const { MysqlEngine } = await import('./typeorm/mysql/mysql-engine.js');
    return new MysqlEngine(options, this.clock, this.hooks);
  }

  private place(): string {
    return this.options.database ?? this.options.type;
  }

  private storage(): JobStorage {
    if (!this.opened) throw new JobReactorError('STORAGE', `The storage ${this.place()} is not open.`);
    return this.opened;
  }
}

const isSqlite = (options: DatabaseOptions): options is SqliteStorageOptions =>
  options.type === 'sqlite' || options.type === 'better-sqlite3';

async function loadTypeOrmStorage() {
  try {
    return await import('./typeorm/typeorm-storage.js');
  } catch (cause) {
    const missing = (cause as { code?: unknown }).code === 'ERR_MODULE_NOT_FOUND';
    throw new JobReactorError(
      'STORAGE',
      missing ? 'A database storage needs TypeORM: npm install typeorm' : 'TypeORM could not be loaded.',
      { cause },
    );
  }
}
