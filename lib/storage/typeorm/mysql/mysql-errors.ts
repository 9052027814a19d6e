import type { Trouble } from '../server/engine.js';
import { driverError, isNetworkTrouble } from '../server/network-errors.js';

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

const READ_ONLY = new Set([
  1290, // ER_OPTION_PREVENTS_STATEMENT: --read-only, as of a replica
  1792, // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
  1836, // ER_READ_ONLY_MODE
]);
const AWAY = new Set([
  1021, // ER_DISK_FULL
  1040, // ER_CON_COUNT_ERROR
  1053, // ER_SERVER_SHUTDOWN
  1114, // ER_RECORD_FILE_FULL
  1203, // ER_TOO_MANY_USER_CONNECTIONS
  1927, // ER_CONNECTION_KILLED, of MariaDB
]);
/** What fails for many reasons, of which a full disk is one: the message has the number of the reason. */
const MAYBE_FULL = new Set([
  3, // EE_WRITE
  1005, // ER_CANT_CREATE_TABLE
  1026, // ER_ERROR_ON_WRITE
  1030, // ER_GET_ERRNO
]);
/** ENOSPC of the system, HA_ERR_RECORD_FILE_FULL of the storage engine. */
const FULL = /\b(?:errcode|errno|error):? (?:28|135)\b/i;

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

/** Nobody can write through this connection: it leads to a replica, or to a server that was told to take no writes. */
export const isReadOnly = (error: unknown): boolean => READ_ONLY.has((error as { errno?: number } | null)?.errno ?? 0);

/** What passes by itself: the server is away, starting, stopping, full, out of connections, or a replica. */
export function isMysqlAway(given: unknown): boolean {
  const error = driverError(given);
  if (isNetworkTrouble(error) || isReadOnly(error)) return true;
  const { errno, message } = (error ?? {}) as { errno?: number; message?: string };
  if (errno === undefined) return false;
  return AWAY.has(errno) || AGAIN.has(errno) || (MAYBE_FULL.has(errno) && FULL.test(String(message)));
}
