import type { Trouble } from '../server/engine.js';

/*
 * Numbers of https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html, the same in MariaDB.
 */
const AGAIN = new Set([
  1213, // ER_LOCK_DEADLOCK
  1205, // ER_LOCK_WAIT_TIMEOUT
  1062, // ER_DUP_ENTRY: another process was quicker, which the next look sees
  1020, // ER_CHECKREAD: MariaDB with innodb_snapshot_isolation
]);
const ROW = new Set([
  1048, // ER_BAD_NULL_ERROR
  1264, // ER_WARN_DATA_OUT_OF_RANGE
  1265, // WARN_DATA_TRUNCATED
  1300, // ER_INVALID_CHARACTER_STRING
  1366, // ER_TRUNCATED_WRONG_VALUE_FOR_FIELD
  1406, // ER_DATA_TOO_LONG
]);

/** Another process came in between what was read and what was to be written. */
export class Overtaken extends Error {}

/** The server said so, and its connection is fit for use. */
export function isSqlError(error: unknown): boolean {
  const { errno, sqlState, fatal } = (error ?? {}) as { errno?: unknown; sqlState?: unknown; fatal?: unknown };
  return typeof errno === 'number' && typeof sqlState === 'string' && fatal !== true;
}

export function mysqlTrouble(error: unknown): Trouble {
  if (error instanceof Overtaken) return 'again';
  if (!isSqlError(error)) return 'unknown';
  const { errno } = error as { errno: number };
  if (AGAIN.has(errno)) return 'again';
  return ROW.has(errno) ? 'row' : 'unknown';
}
