import type { Row, RowValue } from '../job-rows.js';
import type { SqliteDatabase, SqliteStatement } from './sqlite-database.js';

/** The connection TypeORM made, for statements that are prepared once and kept. */
export class SqliteConnection {
  private readonly statements = new Map<string, SqliteStatement>();

  constructor(
    private readonly database: SqliteDatabase,
    private readonly onStatement: (sql: string) => void,
  ) {}

  /** Returns how many rows changed. */
  run(sql: string, params: readonly RowValue[] = []): number {
    params.forEach(assertBindable);
    return Number(this.prepared(sql).run(params).changes);
  }

  all(sql: string, params: readonly RowValue[] = []): Row[] {
    return this.prepared(sql).all(params) as Row[];
  }

  /** All or nothing of `work`, which is synchronous: nothing else can come in between. */
  transaction<T>(work: () => T): T {
    this.run('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.run('COMMIT');
      return result;
    } catch (error) {
      this.undo('ROLLBACK');
      throw error;
    }
  }

  /** Undoes `work` alone if it throws. Inside a transaction only. */
  savepoint<T>(work: () => T): T {
    this.run('SAVEPOINT one_row');
    try {
      const result = work();
      this.run('RELEASE one_row');
      return result;
    } catch (error) {
      this.undo('ROLLBACK TO one_row');
      this.undo('RELEASE one_row');
      throw error;
    }
  }

  private undo(sql: string): void {
    try {
      this.run(sql);
    } catch {
      // After a full disk or an I/O error SQLite has rolled back by itself, and says there is nothing to undo.
    }
  }

  private prepared(sql: string): SqliteStatement {
    let statement = this.statements.get(sql);
    if (!statement) {
      statement = this.database.prepare(sql);
      this.statements.set(sql, statement);
    }
    this.onStatement(sql);
    return statement;
  }
}

/** libsql ends the process at a boolean and cuts a text at a NUL; NaN would become NULL, and Infinity a float, in all of them. */
function assertBindable(value: unknown): void {
  if (value === null) return;
  if (typeof value === 'string') {
    if (value.includes('\0')) throw new TypeError('A text with a NUL character can not be stored.');
  } else if (!Number.isFinite(value)) {
    throw new TypeError(`${String(value)} is no text, no finite number and not null, and can not be stored.`);
  }
}
