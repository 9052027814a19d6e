import type { Clock } from '../../../clock.js';
import type { JobWrite, WriteResult } from '../../job-storage.js';
import type { Read } from '../job-reads.js';
import type { Row } from '../job-rows.js';
import { LeaseExpired, NotConnected, transaction, Unanswered, type Engine, type Session } from './engine.js';
import { InDoubt } from './in-doubt.js';
import type { Lease } from './lease.js';

/** How often a group is tried, after a deadlock or the like. */
const TRIES = 5;
/** Milliseconds before the second try, at most; each further one may wait so much longer. */
const AGAIN_WITHIN = 20;
const PRUNE_EVERY = 3_600_000;
const PRUNED_AT_ONCE = 1_000;

/**
 * The commits of a database that many processes use: in groups, again after a deadlock, row by row where a row is
 * refused, and looked at where nobody knows whether one happened.
 */
export class ServerCommits {
  private readonly doubts = new InDoubt();
  private pruneAt = -Infinity;

  /** @param lease of this process; throws where there is none */
  constructor(
    private readonly engine: Engine,
    private readonly clock: Clock,
    private readonly lease: () => Lease,
  ) {}

  async commit(writes: readonly JobWrite[]): Promise<WriteResult[]> {
    const lease = this.lease();
    const group = (): Promise<WriteResult[]> => this.engine.session((session) => this.commitGroup(session, writes));
    const results = await this.held(() => this.again(group));
    // This process stood still before it read the answer: others may have run since what it says is ours.
    if (lease.hasLapsed) throw new Unanswered(new Error('The answer was read after the lease had run out.'));
    const doubtful = this.doubts.doubtful(writes, results);
    const rows = doubtful.length === 0 ? [] : await this.look(doubtful);
    return this.doubts.settle(writes, results, rows, lease.owner);
  }

  /** In one transaction with a statement that has to change so many rows. Null: it did not, and nothing else was written. */
  commitWith(guard: Read, writes: readonly JobWrite[], rows: number): Promise<WriteResult[] | null> {
    const group = (): Promise<WriteResult[] | null> =>
      this.engine.session((session) => this.guarded(session, guard, writes, rows));
    return this.held(() => this.again(group));
  }

  /** In a transaction of somebody else, who commits it. */
  within(session: Session, writes: readonly JobWrite[]): Promise<WriteResult[]> {
    return this.held(() => this.apply(session, writes));
  }

  /** Whether these may have been written although this was thrown; they are looked at when they come again. */
  maybeDone(error: unknown, writes: readonly JobWrite[]): boolean {
    const surelyNot = error instanceof NotConnected || error instanceof LeaseExpired || this.engine.isRefusal(error);
    if (surelyNot || writes.length === 0) return false;
    this.doubts.add(writes);
    return true;
  }

  /** Rows may have changed hands: what is there now need not be what was written here. */
  regained(): void {
    this.doubts.clear();
  }

  /** Expired tombstones go with a commit that happens anyway: a timer would wake an idle storage. */
  async prune(): Promise<void> {
    const now = this.clock.now();
    if (now < this.pruneAt) return;
    this.pruneAt = now + PRUNE_EVERY;
    const { tombstones } = this.engine.tables;
    // The inner select is wrapped once more, as MySQL knows no LIMIT in a subquery.
    const sql =
      `DELETE FROM ${tombstones} WHERE id IN (SELECT id FROM ` +
      `(SELECT id FROM ${tombstones} WHERE expires_at <= ? ORDER BY expires_at LIMIT ${PRUNED_AT_ONCE}) AS expired)`;
    const pruned = await this.engine.session((session) => session.query(sql, [now])).catch(() => undefined);
    if (pruned && pruned.count === PRUNED_AT_ONCE) this.pruneAt = now;
  }

  private async commitGroup(session: Session, writes: readonly JobWrite[]): Promise<WriteResult[]> {
    try {
      const apply = (): Promise<WriteResult[]> => this.apply(session, writes);
      return await (this.engine.needsTransaction ? transaction(session, apply) : apply());
    } catch (error) {
      if (this.engine.trouble(error) !== 'row') throw error;
      return transaction(session, () => this.eachAlone(session, writes));
    }
  }

  /** When a row's values are refused the group is done again with a savepoint for each row; that is slow, and rare. */
  private async eachAlone(session: Session, writes: readonly JobWrite[]): Promise<WriteResult[]> {
    const results: WriteResult[] = [];
    for (const kind of ['insert', 'claim', 'start', 'save', 'delete', 'save-delivery', 'forget-feedback'] as const) {
      for (const [i, write] of writes.entries()) {
        if (write.kind !== kind) continue;
        await session.query('SAVEPOINT one_row');
        try {
          results[i] = (await this.apply(session, [write]))[0] as WriteResult;
          await session.query('RELEASE SAVEPOINT one_row');
        } catch (error) {
          if (this.engine.trouble(error) !== 'row') throw error;
          results[i] = { error: error instanceof Error ? error : new Error(String(error)) };
          await session.query('ROLLBACK TO SAVEPOINT one_row');
        }
      }
    }
    return results;
  }

  private apply(session: Session, writes: readonly JobWrite[]): Promise<WriteResult[]> {
    return this.engine.apply(session, this.lease().owner, writes, this.clock.now());
  }

  private guarded(
    session: Session,
    { sql, params }: Read,
    writes: readonly JobWrite[],
    rows: number,
  ): Promise<WriteResult[] | null> {
    return transaction(session, async () => {
      if ((await session.query(sql, params)).count !== rows) return null;
      return writes.length === 0 ? [] : this.apply(session, writes);
    });
  }

  private async look(ids: readonly string[]): Promise<Row[]> {
    const sql = `SELECT id, fence, status, owner FROM ${this.engine.tables.jobs} WHERE id IN (${ids.map(() => '?').join(', ')})`;
    try {
      return (await this.engine.session((session) => session.query(sql, ids))).rows;
    } catch (cause) {
      throw new Unanswered(cause);
    }
  }

  /** A process that was away for too long first takes up its lease again: what it wants to write may be stale by then. */
  private async held<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof LeaseExpired)) throw error;
      await this.lease().renew();
      return work();
    }
  }

  private async again<T>(work: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await work();
      } catch (error) {
        if (tries === TRIES || this.engine.trouble(error) !== 'again') throw error;
        // Two that were in each other's way would be so again, if they came back at the same moment.
        const wait = Math.random() * AGAIN_WITHIN * tries;
        await new Promise<void>((resolve) => void this.clock.after(wait, resolve));
      }
    }
  }
}
