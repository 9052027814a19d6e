import type { Clock } from '../../../clock.js';
import type { Row } from '../job-rows.js';
import { DeadlinePassed, withDeadline } from '../server/deadline.js';
import { LONGEST_SILENCE, NotConnected, type Session } from '../server/engine.js';
import { isReadOnly, isSqlError } from './mysql-errors.js';

type Callback<T> = (error: Error | null, value: T) => void;
type Answer = Row[] | { affectedRows: number };

/** What this folder uses of mysql2. */
export interface MysqlConnection {
  query(sql: string, values: readonly unknown[], callback: Callback<Answer>): void;
  on(event: 'error', listener: (error: Error) => void): unknown;
  off(event: 'error', listener: (error: Error) => void): unknown;
  release(): void;
  destroy(): void;
}

export interface MysqlPool {
  getConnection(callback: Callback<MysqlConnection>): void;
}

/**
 * Ours, whatever the server's defaults are: values that don't fit are refused and not cut, a backslash escapes, and
 * what others committed is seen.
 */
const SETTINGS = [
  "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
  'SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED',
];

/** MariaDB breaks off a transaction that says nothing; MySQL knows only connections that say nothing, so they get longer. */
const OF_MARIADB = `SET SESSION idle_transaction_timeout = ${LONGEST_SILENCE / 1000}`;
const OF_MYSQL = 'SET SESSION wait_timeout = 60';
/** Milliseconds after which a connection to MySQL is not trusted to be there any more. */
const STALE_AFTER = 45_000;

const nothing = (): void => undefined;

/** TypeORM's pool, with a deadline for everything. A connection that let one pass is not used again. */
export class MysqlConnections {
  private readonly prepared = new WeakSet<MysqlConnection>();
  /** When those to MySQL were used last. */
  private readonly used = new WeakMap<MysqlConnection, number>();

  constructor(
    private readonly pool: MysqlPool,
    private readonly clock: Clock,
    private readonly deadline: number,
    private readonly onStatement: (sql: string) => void,
  ) {}

  async session<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const connection = await this.fresh();
    let broken = false;
    // A connection that breaks while it is ours would end the process otherwise.
    connection.on('error', nothing);
    const query: Session['query'] = async (sql, params = []) => {
      this.onStatement(sql);
      try {
        const answer = await withDeadline(this.clock, this.deadline, 'A statement', ask(connection, sql, params));
        return Array.isArray(answer) ? { rows: answer, count: 0 } : { rows: [], count: answer.affectedRows };
      } catch (error) {
        // One that can't write is replaced as well: the server that can may be another one by now.
        if (!isSqlError(error) || isReadOnly(error)) broken = true;
        // At once: a ROLLBACK that waits behind a frozen statement would wait as long again.
        if (error instanceof DeadlinePassed) connection.destroy();
        throw error;
      }
    };
    try {
      if (!this.prepared.has(connection)) {
        if (!(await this.prepare(query))) this.used.set(connection, this.clock.monotonic());
        this.prepared.add(connection);
      }
      return await work({ query });
    } finally {
      connection.off('error', nothing);
      if (broken) connection.destroy();
      else {
        if (this.used.has(connection)) this.used.set(connection, this.clock.monotonic());
        connection.release();
      }
    }
  }

  private async fresh(): Promise<MysqlConnection> {
    for (;;) {
      const connection = await this.connect();
      const used = this.used.get(connection);
      if (used === undefined || this.clock.monotonic() - used < STALE_AFTER) return connection;
      connection.destroy();
    }
  }

  private async connect(): Promise<MysqlConnection> {
    const connecting = new Promise<MysqlConnection>((resolve, reject) =>
      this.pool.getConnection((error, connection) => (error ? reject(error) : resolve(connection))),
    );
    try {
      return await withDeadline(this.clock, this.deadline, 'A connection', connecting, (late) => late.release());
    } catch (cause) {
      throw new NotConnected(cause);
    }
  }

  /** True when it leads to a MariaDB. */
  private async prepare(query: Session['query']): Promise<boolean> {
    try {
      const { rows } = await query('SELECT VERSION() AS version');
      const isMariadb = String(rows[0]?.['version']).includes('MariaDB');
      for (const setting of [...SETTINGS, isMariadb ? OF_MARIADB : OF_MYSQL]) await query(setting);
      return isMariadb;
    } catch (cause) {
      throw new NotConnected(cause);
    }
  }
}

function ask(connection: MysqlConnection, sql: string, params: readonly unknown[]): Promise<Answer> {
  return new Promise((resolve, reject) =>
    connection.query(sql, params, (error, answer) => (error ? reject(error) : resolve(answer))),
  );
}
