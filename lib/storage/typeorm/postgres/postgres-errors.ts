import type { Trouble } from '../server/engine.js';
import { driverError, isNetworkTrouble } from '../server/network-errors.js';

/*
 * SQLSTATE classes, https://www.postgresql.org/docs/current/errcodes-appendix.html
 */

/** read_only_sql_transaction */
const READ_ONLY = '25006';

/** The server said so, and its connection is fit for use: not what pg says of itself, and no FATAL. */
export function isSqlError(error: unknown): boolean {
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown };
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && severity === 'ERROR';
}

export function postgresTrouble(error: unknown): Trouble {
  if (!isSqlError(error)) return 'unknown';
  const { code } = error as { code: string };
  // serialization_failure, deadlock_detected, lock_not_available
  if (code === '40001' || code === '40P01' || code === '55P03') return 'again';
  // data exceptions, integrity constraints, program limits
  if (/^(22|23|54)/.test(code)) return 'row';
  return 'unknown';
}

/** Nobody can write through this connection: it leads to a standby, or to a server that was told to take no writes. */
export const isReadOnly = (error: unknown): boolean => (error as { code?: unknown } | null)?.code === READ_ONLY;

/** What passes by itself: the server is away, starting, stopping, full, out of connections, or a standby. */
export function isPostgresAway(given: unknown): boolean {
  const error = driverError(given);
  if (isNetworkTrouble(error)) return true;
  const { code } = (error ?? {}) as { code?: unknown };
  if (typeof code !== 'string') return false;
  // connection exceptions, insufficient resources, operator intervention, system errors; deadlocks and the like
  return code === READ_ONLY || /^(08|40|53|55P03|57|58)/.test(code);
}
