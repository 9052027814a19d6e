import { createHash } from 'node:crypto';
import type { Clock } from '../../../clock.js';
import type { Row } from '../job-rows.js';
import { DeadlinePassed, withDeadline } from '../server/deadline.js';
import { LONGEST_SILENCE, NotConnected, type Session } from '../server/engine.js';
import { isReadOnly, isSqlError } from './postgres-errors.js';

/** What this folder uses of pg. */
export interface PgClient {
  query(config: { text: string; values: readonly unknown[]; name?: string }): Promise<{
    rows: Row[];
    rowCount: number | null;
  }>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  release(destroy?: boolean): void;
  /** The server's process, as it said when the connection was made. */
  readonly processID?: number | null;
  connection?: { stream?: { destroy?(): void } };
}

export interface PgPool {
  connect(): Promise<PgClient>;
  /** One is handed out: before its own listener for errors is taken away, and before whoever asked for it has it. */
  on(event: 'acquire', listener: (client: PgClient) => void): unknown;
}

const SILENCE = `idle_in_transaction_session_timeout = ${LONGEST_SILENCE}`;

/**
 * A group's rows are looked up by their ids, whatever the planner believes about a table that was empty a moment ago. A
 * plan that reads the whole table is right for as long as that is small, and is kept when it is not. Pages come in the order
 * of their index: by a sort each of them would read all that is behind it. What has to read a whole table all the same counts
 * as endlessly dear then, and would be compiled first, which takes a tenth of a second: hence no jit.
 */
const SETTINGS = [
  'SET enable_seqscan = off',
  'SET enable_hashjoin = off',
  'SET enable_mergejoin = off',
  'SET enable_sort = off',
  'SET jit = off',
  `SET ${SILENCE}`,
];

const nothing = (): void => undefined;

/** PostgreSQL's parameters have numbers. */
export function numbered(sql: string): string {
  let count = 0;
  return sql.replaceAll('?', () => `$${++count}`);
}

/** TypeORM's pool, with a deadline for everything. A connection that let one pass is not used again. */
export class PostgresPool {
  /** Whether a connection leads to one server process for good: not through a pooler in transaction mode. */
  private readonly direct = new WeakMap<PgClient, boolean>();
  private readonly names = new Map<string, { text: string; name: string }>();

  constructor(
    private readonly pool: PgPool,
    private readonly clock: Clock,
    private readonly deadline: number,
    private readonly onStatement: (sql: string) => void,
  ) {
    const known = new WeakSet<PgClient>();
    // One that breaks would end the process otherwise.
    pool.on('acquire', (client) => {
      if (!known.has(client)) client.on('error', nothing);
      known.add(client);
    });
  }

  async session<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const client = await this.connect();
    let broken = false;
    const query: Session['query'] = async (sql, params = [], keep = false) => {
      this.onStatement(sql);
      try {
        return await this.ask(client, sql, params, keep);
      } catch (error) {
        // One that can't write is replaced as well: the server that can may be another one by now.
        if (!isSqlError(error) || isReadOnly(error)) broken = true;
        if (error instanceof DeadlinePassed) client.connection?.stream?.destroy?.();
        throw error;
      }
    };
    try {
      if (!this.direct.has(client)) {
        const direct = await this.prepare(client, query).catch((cause: unknown) =>
          Promise.reject(new NotConnected(cause)),
        );
        this.direct.set(client, direct);
      }
      // Behind a pooler only what ends with the transaction is ours to set.
      return await work(this.direct.get(client) ? { query } : { query, atBegin: `SET LOCAL ${SILENCE}` });
    } finally {
      client.release(broken);
    }
  }

  private async connect(): Promise<PgClient> {
    const connecting = this.pool.connect();
    try {
      return await withDeadline(this.clock, this.deadline, 'A connection', connecting, (late) => late.release());
    } catch (cause) {
      throw new NotConnected(cause);
    }
  }

  private async ask(client: PgClient, sql: string, params: readonly unknown[], keep: boolean) {
    const { text, name } = this.named(sql);
    const config = { text, values: params };
    const asked = client.query(keep && this.direct.get(client) ? { ...config, name } : config);
    const { rows, rowCount } = await withDeadline(this.clock, this.deadline, 'A statement', asked);
    return { rows, count: rowCount ?? 0 };
  }

  /**
   * A pooler makes up the number of the server's process, as each statement may go to another one. Settings would fall
   * to whoever comes next then, and prepared statements may be gone: there are neither.
   */
  private async prepare(client: PgClient, query: Session['query']): Promise<boolean> {
    const { rows } = await query('SELECT pg_backend_pid() AS pid');
    if (rows[0]?.['pid'] !== client.processID) return false;
    for (const setting of SETTINGS) await query(setting);
    return true;
  }

  private named(sql: string): { text: string; name: string } {
    let known = this.names.get(sql);
    if (!known) {
      const text = numbered(sql);
      // One name must never stand for two texts, whoever else prepares statements on this connection.
      const name = `job_reactor_${createHash('sha256').update(text).digest('base64url')}`;
      known = { text, name };
      // Lists of ids make statements of many lengths.
      if (this.names.size < 2_000) this.names.set(sql, known);
    }
    return known;
  }
}
