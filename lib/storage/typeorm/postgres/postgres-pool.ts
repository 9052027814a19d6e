import { createHash } from 'node:crypto';
import type { Clock } from '../../../clock.js';
import type { Row } from '../job-rows.js';
import { DeadlinePassed, withDeadline } from '../server/deadline.js';
import type { Session } from '../server/engine.js';
import { isSqlError } from './postgres-errors.js';

/** What this folder uses of pg. */
export interface PgClient {
  query(config: { text: string; values: readonly unknown[]; name?: string }): Promise<{
    rows: Row[];
    rowCount: number | null;
  }>;
  on(event: 'error', listener: (error: Error) => void): unknown;
  off(event: 'error', listener: (error: Error) => void): unknown;
  release(destroy?: boolean): void;
  connection?: { stream?: { destroy?(): void } };
}

export interface PgPool {
  connect(): Promise<PgClient>;
}

const nothing = (): void => undefined;

/** TypeORM's pool, with a deadline for everything. A connection that let one pass is not used again. */
export class PostgresPool {
  /** Behind a pooler that knows no prepared statements they are given up. */
  private prepares = true;
  private readonly names = new Map<string, { text: string; name: string }>();

  constructor(
    private readonly pool: PgPool,
    private readonly clock: Clock,
    private readonly deadline: number,
    private readonly onStatement: (sql: string) => void,
  ) {}

  async session<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const client = await withDeadline(this.clock, this.deadline, 'A connection', this.pool.connect(), (late) =>
      late.release(),
    );
    let broken = false;
    // A connection that breaks while it is ours would end the process otherwise.
    client.on('error', nothing);
    const query: Session['query'] = async (sql, params = [], keep = false) => {
      this.onStatement(sql);
      try {
        return await this.ask(client, sql, params, keep);
      } catch (error) {
        if (!isSqlError(error)) broken = true;
        if (error instanceof DeadlinePassed) client.connection?.stream?.destroy?.();
        throw error;
      }
    };
    try {
      return await work({ query });
    } finally {
      client.off('error', nothing);
      client.release(broken);
    }
  }

  private async ask(client: PgClient, sql: string, params: readonly unknown[], keep: boolean) {
    const { text, name } = this.numbered(sql);
    const config = { text, values: params };
    const send = async (named: boolean) => {
      const { rows, rowCount } = await withDeadline(
        this.clock,
        this.deadline,
        'A statement',
        client.query(named ? { ...config, name } : config),
      );
      return { rows, count: rowCount ?? 0 };
    };
    if (!keep || !this.prepares) return send(false);
    return send(true).catch((error: unknown) => {
      if (!isLostPreparedStatement(error)) throw error;
      this.prepares = false;
      return send(false);
    });
  }

  /** PostgreSQL's parameters have numbers. */
  private numbered(sql: string): { text: string; name: string } {
    let known = this.names.get(sql);
    if (!known) {
      let count = 0;
      const text = sql.replaceAll('?', () => `$${++count}`);
      // Behind a pooler others' statements are there as well: one name must never stand for two texts.
      const name = `job_reactor_${createHash('sha256').update(text).digest('base64url')}`;
      known = { text, name };
      // Lists of ids make statements of many lengths.
      if (this.names.size < 2_000) this.names.set(sql, known);
    }
    return known;
  }
}

/** A pooler gave us another server connection than the one that prepared it: 26000, or 42P05 for one of that name. */
function isLostPreparedStatement(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return code === '26000' || code === '42P05';
}
