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

/** A TypeORM DataSource. Only its options are taken: the storage connects by itself, with nothing but its own tables. */
export interface DataSourceLike {
  readonly options: { readonly type: string };
  initialize(): Promise<unknown>;
}

/** `'memory'`, options as TypeORM's for SQLite, a TypeORM DataSource, or a JobStorage of one's own. */
export type StorageOption = 'memory' | SqliteStorageOptions | DataSourceLike | JobStorage;

export interface StorageHooks {
  /** Sees every SQL statement, BEGIN and COMMIT included: how a test shows that an idle storage asks nothing. */
  onStatement?(sql: string): void;
}
