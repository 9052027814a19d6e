import { existsSync } from 'node:fs';
import type { SqliteDatabase, SqliteDriver, SqliteStatement } from './sqlite-database.js';

/** The part of node:sqlite that is used; the types of Node 20 don't have it. */
interface NodeStatement {
  run(...params: unknown[]): { changes: number | bigint };
  all(...params: unknown[]): Record<string, unknown>[];
  setReadBigInts(enabled: boolean): void;
  columns?(): unknown[];
}
interface NodeDatabase {
  prepare(sql: string): NodeStatement;
  exec(sql: string): void;
  close(): void;
}
interface NodeSqlite {
  DatabaseSync: new (path: string, options?: object) => NodeDatabase;
}

const READS = /^\s*(SELECT|PRAGMA|WITH|EXPLAIN|VALUES)\b|\bRETURNING\b/i;

/** better-sqlite3's interface over node:sqlite, as far as TypeORM and we use it. */
export function nodeSqliteDriver(module: unknown): SqliteDriver {
  const { DatabaseSync } = module as NodeSqlite;
  return class NodeSqlite implements SqliteDatabase {
    private readonly database: NodeDatabase;

    constructor(path: string, options: { fileMustExist?: boolean } = {}) {
      if (options.fileMustExist && path !== ':memory:' && !existsSync(path)) throw new Error(`${path} does not exist`);
      this.database = new DatabaseSync(path);
    }

    prepare(sql: string): SqliteStatement {
      const statement = this.database.prepare(sql);
      // columns() came with 22.16.
      const reader = statement.columns ? statement.columns().length > 0 : READS.test(sql);
      return {
        reader,
        run: (...params) => statement.run(...params.flat()),
        all: (...params) => readAll(statement, params.flat()),
      };
    }

    exec(sql: string): void {
      this.database.exec(sql);
    }

    pragma(source: string): unknown {
      return this.prepare(`PRAGMA ${source}`).all();
    }

    close(): void {
      this.database.close();
    }
  };
}

/** Beyond 2^53 node:sqlite throws where the others round: so do we, and pay for BigInts only then. */
function readAll(statement: NodeStatement, params: unknown[]): unknown[] {
  try {
    return statement.all(...params);
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_OUT_OF_RANGE') throw error;
  }
  statement.setReadBigInts(true);
  try {
    return statement.all(...params).map(rounded);
  } finally {
    statement.setReadBigInts(false);
  }
}

const rounded = (row: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(row).map(([key, value]) => [key, typeof value === 'bigint' ? Number(value) : value]),
  );
