import { JobReactorError } from '../../../job-reactor.error.js';

/** Primary result codes, https://www.sqlite.org/rescode.html */
const BUSY = 5;
const LOCKED = 6;
const FULL = 13;
const ROW_TROUBLE = new Map([
  ['TOOBIG', 18],
  ['CONSTRAINT', 19],
  ['MISMATCH', 20],
  ['RANGE', 25],
]);

/** Another connection holds the file; it passes. */
export function isBusy(error: unknown): boolean {
  const code = primaryCode(error);
  return code === BUSY || code === LOCKED;
}

/**
 * The trouble is with this row's values and not with the database: a constraint, or something that didn't come from
 * SQLite at all, as a value that can't be serialised or bound.
 */
export function isRowTrouble(error: unknown): boolean {
  if (error instanceof JobReactorError) return false;
  const code = primaryCode(error);
  return code === undefined || [...ROW_TROUBLE.values()].includes(code);
}

/** `opening`: whoever opens it may wait for what passes. */
export function storageError(error: unknown, file: string, opening = false): JobReactorError {
  if (error instanceof JobReactorError) return error;
  const code = opening && (isBusy(error) || primaryCode(error) === FULL) ? 'STORAGE_UNAVAILABLE' : 'STORAGE';
  const reason = isBusy(error)
    ? 'another connection kept it locked for too long; close whatever else writes to it'
    : String((error as Error)?.message ?? error);
  return new JobReactorError(code, `The SQLite storage ${file} failed: ${reason}`, { cause: error });
}

/** better-sqlite3 tells the code by name, libsql by name and number, node:sqlite by number; TypeORM wraps them all. */
function primaryCode(error: unknown): number | undefined {
  const { driverError, errcode, rawCode, code } = (error ?? {}) as Record<string, unknown>;
  if (driverError !== undefined && driverError !== error) return primaryCode(driverError);
  if (typeof errcode === 'number') return errcode & 0xff;
  if (typeof rawCode === 'number') return rawCode & 0xff;
  const name = typeof code === 'string' ? /^SQLITE_([A-Z]+)/.exec(code)?.[1] : undefined;
  if (name === undefined) return undefined;
  if (name === 'BUSY') return BUSY;
  if (name === 'LOCKED') return LOCKED;
  if (name === 'FULL') return FULL;
  return ROW_TROUBLE.get(name) ?? 1;
}
