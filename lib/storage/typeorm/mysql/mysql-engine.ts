import { DataSource, MigrationExecutor, type DataSourceOptions } from 'typeorm';
import type { Clock } from '../../../clock.js';
import { JobReactorError } from '../../../job-reactor.error.js';
import type { JobWrite, WriteResult } from '../../job-storage.js';
import type { MysqlStorageOptions, StorageHooks } from '../../storage-option.js';
import { MIGRATIONS_TABLE, jobReactorMigrations } from '../schema.js';
import { connectionOptions, needDriver, placeOfUrl } from '../server/connection-options.js';
import type { Engine, Owner, Session, Trouble } from '../server/engine.js';
import { statementLogger } from '../statement-logger.js';
import { tableNames, type TableNames } from '../table-names.js';
import { MysqlCommit } from './mysql-commit.js';
import { isMysqlAway, isSqlError, mysqlTrouble, Overtaken } from './mysql-errors.js';
import { MysqlConnections, type MysqlPool } from './mysql-pool.js';

/** One for commits, one for the lease, two for those who look. */
const CONNECTIONS = 4;
const DEADLINE = 5_000;
/** The lock all starting processes share while tables are made; how long they wait for each other, in seconds. */
const MIGRATION_LOCK = "LEFT(CONCAT('job_reactor.', DATABASE()), 64)";
const MIGRATION_PATIENCE = 120;

/** MySQL and MariaDB through mysql2. */
export class MysqlEngine implements Engine {
  readonly driverName = 'mysql2';
  readonly place: string;
  readonly tables: TableNames;
  readonly now = 'CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)';
  /** Two transactions would wait for each other's locks between the keys. */
  readonly commitsAtOnce = 1;
  readonly needsTransaction = true;
  /** Not INSERT IGNORE: of two that wait for a third both would read-lock the row, and then want to write. */
  readonly keyStatements = { unlessThere: ' ON DUPLICATE KEY UPDATE id = id', latest: ' FOR UPDATE' };
  private readonly prefix: string;
  private readonly commits: MysqlCommit;
  private connections: MysqlConnections | undefined;

  constructor(
    private readonly options: MysqlStorageOptions,
    private readonly clock: Clock,
    private readonly hooks: StorageHooks,
  ) {
    this.place = placeOf(options);
    this.prefix = options.entityPrefix ?? '';
    this.tables = tableNames({ prefix: this.prefix, schema: undefined }, '`');
    this.commits = new MysqlCommit(this.tables, this.now);
  }

  dataSourceOptions(): DataSourceOptions {
    needDriver('mysql2', this.options.driver);
    return this.connecting(CONNECTIONS);
  }

  use(dataSource: DataSource): void {
    const { pool } = dataSource.driver as unknown as { pool: MysqlPool };
    this.connections = new MysqlConnections(pool, this.clock, DEADLINE, (sql) => this.hooks.onStatement?.(sql));
  }

  /** On a connection of its own, without a deadline: a large table takes its time. */
  async migrate(): Promise<void> {
    const dataSource = await new DataSource(this.connecting(1)).initialize();
    try {
      const queryRunner = dataSource.createQueryRunner();
      // The server takes the lock back from a process that stands still.
      await queryRunner.query('SET SESSION wait_timeout = 60');
      const lock = await queryRunner.query(`SELECT GET_LOCK(${MIGRATION_LOCK}, ${MIGRATION_PATIENCE}) AS locked`);
      if (Number((lock as { locked: unknown }[])[0]?.locked) !== 1) {
        throw new JobReactorError(
          'STORAGE',
          `Another process has been changing the tables in ${this.place} for minutes.`,
        );
      }
      const executor = new MigrationExecutor(dataSource, queryRunner);
      executor.transaction = 'none';
      await executor.executePendingMigrations();
    } finally {
      // The lock goes with its connection.
      await dataSource.destroy();
    }
  }

  text(sql: string): string {
    return sql;
  }

  session<T>(work: (session: Session) => Promise<T>): Promise<T> {
    if (!this.connections) return Promise.reject(new Error('not connected'));
    return this.connections.session(work);
  }

  apply(session: Session, owner: Owner, writes: readonly JobWrite[], now: number): Promise<WriteResult[]> {
    return this.commits.apply(session, owner, writes, now);
  }

  trouble(error: unknown): Trouble {
    return mysqlTrouble(error);
  }

  isRefusal(error: unknown): boolean {
    return isSqlError(error) || error instanceof Overtaken;
  }

  isAway(error: unknown): boolean {
    return isMysqlAway(error);
  }

  private connecting(poolSize: number): DataSourceOptions {
    return {
      connectTimeout: DEADLINE,
      ...connectionOptions(this.options),
      type: this.options.type,
      charset: 'utf8mb4',
      poolSize,
      entityPrefix: this.prefix,
      migrations: jobReactorMigrations,
      migrationsTableName: `${this.prefix}${MIGRATIONS_TABLE}`,
      logger: statementLogger((sql) => this.hooks.onStatement?.(sql)),
    } as DataSourceOptions;
  }
}

function placeOf({ type, url, host, port, database, socketPath }: MysqlStorageOptions): string {
  const at =
    url === undefined ? `${socketPath ?? `${host ?? 'localhost'}:${port ?? 3306}`}/${database ?? ''}` : placeOfUrl(url);
  return `${type === 'mariadb' ? 'MariaDB' : 'MySQL'} ${at}`;
}
