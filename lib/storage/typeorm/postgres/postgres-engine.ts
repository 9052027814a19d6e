import { DataSource, MigrationExecutor, type DataSourceOptions } from 'typeorm';
import type { Clock } from '../../../clock.js';
import type { JobWrite, WriteResult } from '../../job-storage.js';
import type { PostgresStorageOptions, StorageHooks } from '../../storage-option.js';
import { MIGRATIONS_TABLE, jobReactorMigrations } from '../schema.js';
import type { Engine, Owner, Session, Trouble } from '../server/engine.js';
import { RENEWAL } from '../server/lease.js';
import { connectionOptions, needDriver, placeOfUrl } from '../server/connection-options.js';
import { statementLogger } from '../statement-logger.js';
import { tableNames, type TableNames } from '../table-names.js';
import { PostgresCommit } from './postgres-commit.js';
import { isPostgresAway, isSqlError, postgresTrouble } from './postgres-errors.js';
import { PostgresPool, numbered, type PgPool } from './postgres-pool.js';

/** While one waits for the disk the other is written; more make smaller groups and gain nothing. */
const COMMITS_AT_ONCE = 2;
/** One for the lease, two for those who look. */
const CONNECTIONS = COMMITS_AT_ONCE + 3;
const DEADLINE = 5_000;
/** Milliseconds an idle connection is kept: were it shorter, each renewal of the lease would need a new one. */
const IDLE_FOR = 3 * RENEWAL;
/** 'jobreact' in ASCII: the lock all starting processes share while tables are made. */
const MIGRATION_LOCK = '7669051087137202036';
/** Milliseconds after which the server takes it back from a process that stands still. */
const MIGRATION_SILENCE = 60_000;

/** PostgreSQL through pg. */
export class PostgresEngine implements Engine {
  readonly driverName = 'pg';
  readonly place: string;
  readonly tables: TableNames;
  readonly now = '(extract(epoch FROM clock_timestamp()) * 1000)::bigint';
  readonly commitsAtOnce = COMMITS_AT_ONCE;
  readonly needsTransaction = false;
  readonly keyStatements = { unlessThere: ' ON CONFLICT (id) DO NOTHING', latest: '' };
  private readonly prefix: string;
  private readonly commits: PostgresCommit;
  private pool: PostgresPool | undefined;

  constructor(
    private readonly options: PostgresStorageOptions,
    private readonly clock: Clock,
    private readonly hooks: StorageHooks,
  ) {
    this.place = placeOf(options);
    this.prefix = options.entityPrefix ?? '';
    this.tables = tableNames({ prefix: this.prefix, schema: options.schema }, '"');
    this.commits = new PostgresCommit(this.tables, this.now);
  }

  dataSourceOptions(): DataSourceOptions {
    needDriver('pg', this.options.driver);
    return this.connecting(CONNECTIONS);
  }

  use(dataSource: DataSource): void {
    const { master } = dataSource.driver as unknown as { master: PgPool };
    this.pool = new PostgresPool(master, this.clock, DEADLINE, (sql) => this.hooks.onStatement?.(sql));
  }

  /** On a connection of its own, without a deadline: a large table takes its time. */
  async migrate(): Promise<void> {
    const dataSource = await new DataSource(this.connecting(1)).initialize();
    try {
      const queryRunner = dataSource.createQueryRunner();
      await queryRunner.startTransaction();
      try {
        // Both end with the transaction, so they work behind a pooler.
        await queryRunner.query(`SET LOCAL idle_in_transaction_session_timeout = ${MIGRATION_SILENCE}`);
        await queryRunner.query(`SELECT pg_advisory_xact_lock(${MIGRATION_LOCK})`);
        await this.createSchema((sql, params) => queryRunner.query(sql, params));
        const executor = new MigrationExecutor(dataSource, queryRunner);
        executor.transaction = 'none';
        await executor.executePendingMigrations();
        await queryRunner.commitTransaction();
      } catch (error) {
        await queryRunner.rollbackTransaction().catch(() => undefined);
        throw error;
      } finally {
        await queryRunner.release();
      }
    } finally {
      await dataSource.destroy();
    }
  }

  text(sql: string): string {
    return numbered(sql);
  }

  session<T>(work: (session: Session) => Promise<T>): Promise<T> {
    if (!this.pool) return Promise.reject(new Error('not connected'));
    return this.pool.session(work);
  }

  apply(session: Session, owner: Owner, writes: readonly JobWrite[], now: number): Promise<WriteResult[]> {
    return this.commits.apply(session, owner, writes, now);
  }

  trouble(error: unknown): Trouble {
    return postgresTrouble(error);
  }

  isRefusal(error: unknown): boolean {
    return isSqlError(error);
  }

  isAway(error: unknown): boolean {
    return isPostgresAway(error);
  }

  private connecting(poolSize: number): DataSourceOptions {
    const { extra, ...given } = connectionOptions(this.options);
    return {
      connectTimeoutMS: DEADLINE,
      applicationName: 'nestjs-job-reactor',
      ...given,
      extra: { idleTimeoutMillis: IDLE_FOR, ...(extra as object | undefined) },
      type: 'postgres',
      poolSize,
      entityPrefix: this.prefix,
      migrations: jobReactorMigrations,
      migrationsTableName: `${this.prefix}${MIGRATIONS_TABLE}`,
      installExtensions: false,
      logger: statementLogger((sql) => this.hooks.onStatement?.(sql)),
    } as DataSourceOptions;
  }

  /** Only where it is missing: it takes a right that is not needed otherwise. */
  private async createSchema(query: (sql: string, params?: unknown[]) => Promise<unknown>): Promise<void> {
    const { schema } = this.options;
    if (schema === undefined) return;
    const found = (await query('SELECT 1 FROM pg_namespace WHERE nspname = $1', [schema])) as unknown[];
    if (found.length === 0) await query(`CREATE SCHEMA "${schema.replaceAll('"', '""')}"`);
  }
}

function placeOf({ url, host, port, database, schema }: PostgresStorageOptions): string {
  const at = url === undefined ? `${host ?? 'localhost'}:${port ?? 5432}/${database ?? ''}` : placeOfUrl(url);
  return `PostgreSQL ${at}${schema === undefined ? '' : ` (schema ${schema})`}`;
}
