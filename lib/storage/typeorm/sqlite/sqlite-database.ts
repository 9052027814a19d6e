/** What TypeORM and this folder use of better-sqlite3's interface; all drivers have it, or get it. */
export interface SqliteStatement {
  readonly reader: boolean;
  run(...params: unknown[]): { changes: number | bigint };
  all(...params: unknown[]): unknown[];
}

export interface SqliteDatabase {
  prepare(sql: string): SqliteStatement;
  exec(sql: string): unknown;
  pragma(source: string): unknown;
  close(): void;
}

export type SqliteDriver = new (path: string, options?: object) => SqliteDatabase;
