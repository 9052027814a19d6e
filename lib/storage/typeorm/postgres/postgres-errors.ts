import type { Trouble } from '../server/engine.js';

/*
 * SQLSTATE classes, https://www.postgresql.org/docs/current/errcodes-appendix.html
 */

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
