import { access, mkdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { randomUUID } from 'node:crypto';
import type { DataSource, DataSourceOptions } from 'typeorm';
import type { Clock } from '../../../clock.js';
import { JobReactorError } from '../../../job-reactor.error.js';
import type { StoredJob } from '../../../job/job.js';
import type { JobPage, JobWrite, StorageOwner, WriteResult } from '../../job-storage.js';
import type { SqliteStorageOptions, StorageHooks } from '../../storage-option.js';
import type { Dialect } from '../dialect.js';
import type { JobReads, Read } from '../job-reads.js';
import type { Row, RowValue } from '../job-rows.js';
import { MIGRATIONS_TABLE, jobReactorMigrations } from '../schema.js';
import { statementLogger } from '../statement-logger.js';
import { tableNames, type TableNames } from '../table-names.js';
import { SqliteStatements, commitGroup, insertAll } from './sqlite-commit.js';
import { SqliteConnection } from './sqlite-connection.js';
import type { SqliteDatabase } from './sqlite-database.js';
import { loadSqliteDriver, type LoadedDriver } from './sqlite-driver.js';
import { storageError } from './sqlite-errors.js';
import { SqliteLock } from './sqlite-lock.js';
import { readUnfinished } from './sqlite-unfinished.js';
import { TombstonePruning } from './sqlite-tombstones.js';
import { SqliteTurn } from './sqlite-turn.js';

/** How long another connection may be in the way of a statement. */
const PATIENCE = 5_000;

/** A file of its own for one node or one outbox, on one connection. */
export class SqliteDialect implements Dialect {
  readonly durable: boolean;
  readonly tables: TableNames;
  private readonly statements: SqliteStatements;
  private readonly file: string;
  private readonly turn: SqliteTurn;
  private readonly pruning: TombstonePruning;
  private readonly onStatement: (sql: string) => void;
  private loaded: LoadedDriver | undefined;
  private lock: SqliteLock | undefined;
  readonly commitsHere = true;
  private connection: SqliteConnection | undefined;
  private isOpen = false;

  constructor(
    private readonly options: SqliteStorageOptions,
    private readonly clock: Clock,
    hooks: StorageHooks,
  ) {
    this.durable = options.database !== ':memory:';
    this.file = this.durable ? resolve(options.database) : options.database;
    this.turn = new SqliteTurn(clock);
    this.tables = tableNames({ prefix: options.entityPrefix ?? '', schema: undefined }, '"');
    this.statements = new SqliteStatements(this.tables);
    this.pruning = new TombstonePruning(this.tables.tombstones);
    this.onStatement = (sql) => hooks.onStatement?.(sql);
  }

  get driverName(): string {
    return this.loaded?.name ?? '';
  }

  async claim(_owner: StorageOwner): Promise<DataSourceOptions> {
    this.loaded ??= loadSqliteDriver(this.options);
    if (this.durable) {
      await this.prepareFolder().catch((cause: unknown) => Promise.reject(storageError(cause, this.file)));
      this.lock = await SqliteLock.take(this.loaded.driver, this.file, this.clock);
    }
    const { key, nativeBinding, prepareDatabase } = this.options;
    return {
      type: 'better-sqlite3',
      database: this.file,
      driver: this.loaded.driver,
      entityPrefix: this.options.entityPrefix ?? '',
      migrations: jobReactorMigrations,
      migrationsTableName: `${this.options.entityPrefix ?? ''}${MIGRATIONS_TABLE}`,
      synchronize: false,
      timeout: 1,
      logger: statementLogger(this.onStatement),
      ...(key === undefined ? {} : { key }),
      ...(nativeBinding === undefined ? {} : { nativeBinding }),
      ...(prepareDatabase === undefined ? {} : { prepareDatabase }),
    };
  }

  async connect(dataSource: DataSource): Promise<void> {
    await this.insist(() => dataSource.initialize());
    const { databaseConnection } = dataSource.driver as unknown as { databaseConnection: SqliteDatabase };
    const connection = new SqliteConnection(databaseConnection, this.onStatement);
    this.connection = connection;
    await this.insist(() => {
      for (const pragma of ['busy_timeout = 1', 'journal_mode = WAL', 'synchronous = FULL'])
        connection.all(`PRAGMA ${pragma}`);
    });
  }

  async migrate(dataSource: DataSource): Promise<void> {
    await this.insist(() => dataSource.runMigrations());
  }

  /** The file is ours alone. Its incarnation is new with every opening. */
  async identify(database: string): Promise<{ id: string; owner: null }> {
    await this.insist(() => this.open().run(`UPDATE ${this.tables.storage} SET incarnation = ?`, [randomUUID()]));
    this.isOpen = true;
    return { id: database, owner: null };
  }

  all(sql: string, params: readonly RowValue[]): Promise<Row[]> {
    return this.insist(() => this.open().all(sql, params));
  }

  commit(writes: readonly JobWrite[]): Promise<WriteResult[]> {
    return this.insist(() => {
      const connection = this.open();
      const now = this.clock.now();
      const at = { connection, statements: this.statements };
      return commitGroup(at, writes, now, () => this.pruning.prune(connection, now));
    });
  }

  commitWith(guard: Read, jobs: readonly StoredJob[], rows = 1): Promise<WriteResult[] | null> {
    return this.insist(() => {
      const connection = this.open();
      const at = { connection, statements: this.statements };
      return connection.transaction(() =>
        connection.run(guard.sql, guard.params) === rows ? insertAll(at, jobs, this.clock.now()) : null,
      );
    });
  }

  unfinished(page: JobPage, reads: JobReads): Promise<StoredJob[]> {
    return this.insist(() => readUnfinished(this.open(), page, reads, this.clock));
  }

  async retire(): Promise<void> {
    const { connection } = this;
    this.connection = undefined;
    // Leaves one complete file behind. A reader may be in the way, and then the next opening does it.
    await this.turn.take(() => connection?.all('PRAGMA wal_checkpoint(TRUNCATE)')).catch(() => undefined);
  }

  async release(): Promise<void> {
    const { lock } = this;
    this.lock = undefined;
    lock?.release();
  }

  private async insist<T>(work: () => T | Promise<T>): Promise<T> {
    try {
      return await this.turn.insist(PATIENCE, work);
    } catch (error) {
      throw storageError(error, this.file, !this.isOpen);
    }
  }

  private open(): SqliteConnection {
    if (!this.connection) throw new JobReactorError('STORAGE', `The SQLite storage ${this.file} is closed.`);
    return this.connection;
  }

  private async prepareFolder(): Promise<void> {
    if (this.options.fileMustExist) await access(this.file);
    else await mkdir(dirname(this.file), { recursive: true });
  }
}
