import type { DataSource, EntityManager, EntitySubscriberInterface, QueryRunner } from 'typeorm';
import { JobReactorError } from '../../../job-reactor.error.js';
import type { Row } from '../job-rows.js';
import type { Session } from './engine.js';

/** The caller's transaction as a session of ours. Its deadlines are the caller's. */
export function sessionOf(manager: EntityManager, text: (sql: string) => string): Session {
  return {
    async query(sql, params = []) {
      const answer: unknown = await manager.query(text(sql), [...params]);
      if (Array.isArray(answer)) return { rows: answer as Row[], count: 0 };
      return { rows: [], count: Number((answer as { affectedRows?: unknown } | undefined)?.affectedRows ?? 0) };
    },
  };
}

/** What ends in the application's transactions, as far as TypeORM tells. */
export class CallersTransactions {
  /** By DataSource of the application: our subscriber, and who waits for which of its connections. */
  private readonly sources = new Map<DataSource, Map<QueryRunner, Set<() => void>>>();
  private readonly subscribers = new Map<DataSource, EntitySubscriberInterface>();
  private readonly checked = new WeakSet<DataSource>();

  /** That our rows are where they have to be. @throws {JobReactorError} INVALID_JOB */
  async assertSameDatabase(manager: EntityManager, session: Session, table: string, database: string): Promise<void> {
    const { dataSource } = manager;
    if (this.checked.has(dataSource)) return;
    const found = await session.query(`SELECT id FROM ${table}`).catch((cause: unknown) => {
      throw elsewhere(cause);
    });
    if (found.rows[0]?.['id'] !== database) throw elsewhere();
    this.checked.add(dataSource);
  }

  /** `changed` is called when the transaction, or a part of it, has ended. The answer says whether all of it has. */
  watch({ dataSource, queryRunner }: EntityManager, changed: () => void): () => 'open' | 'ended' | 'unknown' {
    // Not in a transaction that TypeORM knows of: its end is not told, and may be past already.
    if (!queryRunner?.isTransactionActive) return () => 'unknown';
    const waiting = this.waitingAt(dataSource);
    const those = waiting.get(queryRunner) ?? new Set();
    waiting.set(queryRunner, those);
    let ended = false;
    const told = (): void => {
      ended = !queryRunner.isTransactionActive;
      if (ended) those.delete(told);
      if (those.size === 0) waiting.delete(queryRunner);
      changed();
    };
    those.add(told);
    return () => (ended ? 'ended' : queryRunner.isReleased ? 'unknown' : 'open');
  }

  stop(): void {
    for (const [dataSource, subscriber] of this.subscribers) {
      const { subscribers } = dataSource;
      if (subscribers.includes(subscriber)) subscribers.splice(subscribers.indexOf(subscriber), 1);
    }
    this.subscribers.clear();
    this.sources.clear();
  }

  private waitingAt(dataSource: DataSource): Map<QueryRunner, Set<() => void>> {
    const known = this.sources.get(dataSource);
    if (known) return known;
    const waiting = new Map<QueryRunner, Set<() => void>>();
    const tell = ({ queryRunner }: { queryRunner: QueryRunner }): void => {
      for (const told of waiting.get(queryRunner) ?? []) told();
    };
    const subscriber: EntitySubscriberInterface = { afterTransactionCommit: tell, afterTransactionRollback: tell };
    dataSource.subscribers.push(subscriber);
    this.sources.set(dataSource, waiting);
    this.subscribers.set(dataSource, subscriber);
    return waiting;
  }
}

const elsewhere = (cause?: unknown): JobReactorError =>
  new JobReactorError(
    'INVALID_JOB',
    'The transaction of `manager` is not in the database of `distributor.outbox`, so the job can not be part of it.',
    cause === undefined ? undefined : { cause },
  );
