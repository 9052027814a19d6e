import type { Clock } from '../clock.js';
import { JobReactorError } from '../job-reactor.error.js';
import { DatabaseStorage } from './database-storage.js';
import type { JobStorage } from './job-storage.js';
import { MemoryStorage } from './memory-storage.js';
import type {
  DataSourceLike,
  DatabaseOptions,
  MysqlStorageOptions,
  PostgresStorageOptions,
  SqliteStorageOptions,
  StorageHooks,
  StorageOption,
} from './storage-option.js';

/**
 * The storage an option asks for, not yet open. Nothing of TypeORM is loaded before `open()`.
 * @throws {JobReactorError} INVALID_OPTIONS
 */
export function createStorage(option: StorageOption, clock: Clock, hooks: StorageHooks = {}): JobStorage {
  if (option === 'memory') return new MemoryStorage(clock);
  if (typeof option !== 'object' || option === null) {
    throw invalid(
      `A storage is 'memory', { type: 'sqlite', database }, { type: 'postgres', url }, a DataSource or a JobStorage, not ${String(option)}.`,
    );
  }
  if (isJobStorage(option)) return option;
  return new DatabaseStorage(databaseOptions(isDataSource(option) ? optionsOf(option) : option), clock, hooks);
}

/** Only what can be seen from here; the rest the database says when it is opened. */
function databaseOptions(option: DatabaseOptions): DatabaseOptions {
  const { type, entityPrefix } = option as { type?: unknown; entityPrefix?: unknown };
  if (entityPrefix !== undefined && (typeof entityPrefix !== 'string' || !/^\w{0,30}$/.test(entityPrefix))) {
    throw invalid(
      `'entityPrefix' of a storage has at most 30 letters, digits and underscores: ${JSON.stringify(entityPrefix)}`,
    );
  }
  switch (type) {
    case 'sqlite':
    case 'better-sqlite3':
      return sqliteOptions(option as SqliteStorageOptions);
    case 'postgres':
    case 'mysql':
    case 'mariadb':
      return serverOptions(option as PostgresStorageOptions | MysqlStorageOptions);
    default:
      throw invalid(
        `Jobs are kept in a database of type 'sqlite', 'postgres', 'mysql' or 'mariadb', or in 'memory'; type ${JSON.stringify(type)} is not supported.`,
      );
  }
}

function sqliteOptions(option: SqliteStorageOptions): SqliteStorageOptions {
  const { type, database } = option as Partial<Record<keyof SqliteStorageOptions, unknown>>;
  if (typeof database !== 'string' || database === '') {
    throw invalid(`A storage of type '${type as string}' needs 'database': the path of its file, or ':memory:'.`);
  }
  if (/^(file:|[a-z]+:\/\/)/i.test(database)) {
    throw invalid(`'database' of a SQLite storage is the path of a file, not a URL: ${database}`);
  }
  if ((option as { readonly?: unknown }).readonly) {
    throw invalid(`The SQLite storage ${database} can't be opened with 'readonly': jobs are written to it.`);
  }
  return option;
}

function serverOptions<O extends PostgresStorageOptions | MysqlStorageOptions>(option: O): O {
  const { type, url, database, schema, replication } = option as unknown as Record<string, unknown>;
  const named = (value: unknown): boolean => typeof value === 'string' && value !== '';
  if (!named(url) && !named(database) && replication === undefined) {
    throw invalid(
      `A storage of type '${type as string}' needs 'url', or 'database' with 'host', 'username' and so on.`,
    );
  }
  if (schema !== undefined && !named(schema)) {
    throw invalid(`'schema' of a storage is the name of a PostgreSQL schema, not ${JSON.stringify(schema)}.`);
  }
  return option;
}

function optionsOf(dataSource: DataSourceLike): DatabaseOptions {
  // The very library the application loaded: for SQLite, two copies in one process undo each other's locks on a file.
  const loaded = (dataSource as { driver?: Record<'sqlite' | 'postgres' | 'mysql', unknown> }).driver;
  const driver = loaded?.sqlite ?? loaded?.postgres ?? loaded?.mysql;
  return { ...(dataSource.options as DatabaseOptions), ...(driver === undefined ? {} : { driver }) };
}

const isJobStorage = (option: object): option is JobStorage =>
  typeof (option as Partial<JobStorage>).commit === 'function' &&
  typeof (option as Partial<JobStorage>).open === 'function';

const isDataSource = (option: object): option is DataSourceLike =>
  typeof (option as Partial<DataSourceLike>).initialize === 'function' &&
  typeof (option as Partial<DataSourceLike>).options === 'object';

const invalid = (message: string): JobReactorError => new JobReactorError('INVALID_OPTIONS', message);
