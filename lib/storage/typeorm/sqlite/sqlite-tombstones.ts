import type { SqliteConnection } from './sqlite-connection.js';

const EVERY = 3_600_000;
/** Bounds what one commit has to bear; what is left goes with the next ones. */
const ROWS_AT_ONCE = 1000;

/** Expired tombstones go along with a commit that happens anyway: a timer would wake an idle storage. */
export class TombstonePruning {
  private readonly sql: string;
  private dueAt = -Infinity;

  constructor(tombstones: string) {
    this.sql =
      `DELETE FROM ${tombstones} WHERE id IN ` +
      `(SELECT id FROM ${tombstones} WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)`;
  }

  prune(connection: SqliteConnection, now: number): void {
    if (now < this.dueAt) return;
    const pruned = connection.run(this.sql, [now, ROWS_AT_ONCE]);
    if (pruned < ROWS_AT_ONCE) this.dueAt = now + EVERY;
  }
}
