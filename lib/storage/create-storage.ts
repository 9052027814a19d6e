import type { Clock } from '../clock.js';
import { JobReactorError } from '../job-reactor.error.js';
import { DatabaseStorage } from './database-storage.js';
import type { JobStorage } from './job-storage.js';
import { MemoryStorage } from './memory-storage.js';
import type { DataSourceLike, SqliteStorageOptions, StorageHooks, StorageOption } from './storage-option.js';

/**
 * The storage an option asks for, not yet open. Nothing of TypeORM is loaded before `open()`.
 * @throws {JobReactorError} INVALID_OPTIONS
 */
export function createStorage(option: StorageOption, clock: Clock, hooks: StorageHooks = {}): JobStorage {
  if (option === 'memory') return new MemoryStorage(clock);
  if (typeof option !== 'object' || option === null) {
    throw invalid(
      `A storage is 'memory', { type: 'sqlite', database }, a DataSource or a JobStorage, not ${String(option)}.`,
    );
  }
  if (isJobStorage(option)) return option;
  return new DatabaseStorage(sqliteOptions(isDataSource(option) ? optionsOf(option) : option), clock, hooks);
}

function sqliteOptions(option: SqliteStorageOptions): SqliteStorageOptions {
  const { type, database } = option as Partial<Record<keyof SqliteStorageOptions, unknown>>;
  if (type !== 'sqlite' && type !== 'better-sqlite3') {
    throw invalid(
      `This version keeps jobs in SQLite only (type 'sqlite' or 'better-sqlite3') or in memory; type ${JSON.stringify(type)} is not supported.`,
    );
  }
  if (typeof database !== 'string' || database === '') {
    throw invalid(`A storage of type '${type}' needs 'database': the path of its file, or ':memory:'.`);
  }
  if (/^(file:|[a-z]+:\/\/)/i.test(database)) {
    throw invalid(`'database' of a SQLite storage is the path of a file, not a URL: ${database}`);
  }
  if ((option as { readonly?: unknown }).readonly) {
    throw invalid(`The SQLite storage ${database} can't be opened with 'readonly': jobs are written to it.`);
  }
  return option;
}

function optionsOf(dataSource: DataSourceLike): SqliteStorageOptions {
  // The very library the application loaded: two copies of SQLite in one process undo each other's locks on a file.
  const driver = (dataSource as { driver?: { sqlite?: unknown } }).driver?.sqlite;
  return { ...(dataSource.options as SqliteStorageOptions), ...(driver === undefined ? {} : { driver }) };
}

const isJobStorage = (option: object): option is JobStorage =>
  typeof (option as Partial<JobStorage>).commit === 'function' &&
  typeof (option as Partial<JobStorage>).open === 'function';

const isDataSource = (option: object): option is DataSourceLike =>
  typeof (option as Partial<DataSourceLike>).initialize === 'function' &&
  typeof (option as Partial<DataSourceLike>).options === 'object';

const invalid = (message: string): JobReactorError => new JobReactorError('INVALID_OPTIONS', message);
