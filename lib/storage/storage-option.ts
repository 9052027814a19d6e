import type { JobStorage } from './job-storage.js';

/** A SQLite file (or `:memory:`) of its own for one node or one outbox. */
export interface SqliteStorageOptions {
  /** `'sqlite'` takes whichever driver is there; `'better-sqlite3'` prefers that one. */
  readonly type: 'sqlite' | 'better-sqlite3';
  /** Path of the file, created with its folder if missing, or `':memory:'`. Required. */
  readonly database: string;
  /** A class with better-sqlite3's interface. Default: node:sqlite, libsql or better-sqlite3, the first that is there and works. */
  readonly driver?: unknown;
  /** Create and migrate our tables when the storage opens. Default true; false is for teams that run migrations themselves. */
  readonly migrate?: boolean;
  /** Before the names of our tables; letters, digits and underscores. Default ''. */
  readonly entityPrefix?: string;
  /** Refuse to create the file. Default false. */
  readonly fileMustExist?: boolean;
  /** Key for drivers that encrypt. */
  readonly key?: string;
  /** Where better-sqlite3 finds its binary. */
  readonly nativeBinding?: string;
  /** Called with the connection before its first use. */
  prepareDatabase?(database: unknown): void | Promise<void>;
}

/** What storages on a database server have in common. Beyond these they take what TypeORM's options take to connect. */
interface ServerStorageOptions {
  /** `postgres://user:password@host:port/database`, instead of the five below. */
  readonly url?: string;
  /** Default: localhost. */
  readonly host?: string;
  /** Default: the server's standard port. */
  readonly port?: number;
  readonly username?: string;
  readonly password?: string | (() => string) | (() => Promise<string>);
  readonly database?: string;
  /** As the driver takes it; `true` checks the server's certificate. */
  readonly ssl?: unknown;
  /** Handed to the driver as it is; the size of the pool aside, which is ours: at most 4 connections. */
  readonly extra?: unknown;
  /** The driver's module, if it is not to be found by its name. */
  readonly driver?: unknown;
  /** Before the names of our tables; letters, digits and underscores, at most 30. Default ''. */
  readonly entityPrefix?: string;
  /** Create and migrate our tables when the storage opens. Default true; false is for teams that run migrations themselves. */
  readonly migrate?: boolean;
}

/** PostgreSQL 12 or later, through the package `pg`. Nodes and outboxes may share it. */
export interface PostgresStorageOptions extends ServerStorageOptions {
  readonly type: 'postgres';
  /** Where our tables are; created if missing. Default: where the search path leads. */
  readonly schema?: string;
}

/** MySQL 8 or MariaDB 10.6 and later, through the package `mysql2`. Nodes and outboxes may share it. */
export interface MysqlStorageOptions extends ServerStorageOptions {
  readonly type: 'mysql' | 'mariadb';
  readonly socketPath?: string;
}

export type DatabaseOptions = SqliteStorageOptions | PostgresStorageOptions | MysqlStorageOptions;

/** A TypeORM DataSource. Only its options are taken: the storage connects by itself, with nothing but its own tables. */
export interface DataSourceLike {
  readonly options: { readonly type: string };
  initialize(): Promise<unknown>;
}

/** `'memory'`, options as TypeORM's for SQLite, PostgreSQL, MySQL or MariaDB, a TypeORM DataSource, or a JobStorage of one's own. */
export type StorageOption = 'memory' | DatabaseOptions | DataSourceLike | JobStorage;

export interface StorageHooks {
  /** Sees every SQL statement, BEGIN and COMMIT included: how a test shows that an idle storage asks nothing. */
  onStatement?(sql: string): void;
}
