import { createRequire } from 'node:module';
import { join } from 'node:path';
import { JobReactorError } from '../../../job-reactor.error.js';
import { nodeSqliteDriver } from './node-sqlite-driver.js';
import { assertSound } from './sound-driver.js';
import type { SqliteDriver } from './sqlite-database.js';

export interface LoadedDriver {
  name: string;
  driver: SqliteDriver;
}

export interface DriverWish {
  type: 'sqlite' | 'better-sqlite3';
  driver?: unknown;
}

const ORDER = {
  sqlite: ['node:sqlite', 'libsql', 'better-sqlite3'],
  // Whoever names it may have it open on the same file already, and two copies of SQLite in one process undo each other's locks.
  'better-sqlite3': ['better-sqlite3', 'node:sqlite', 'libsql'],
};

/**
 * The driver asked for, else the first that is there and proves sound.
 * @throws {JobReactorError} NO_SQLITE_DRIVER
 */
export function loadSqliteDriver(wish: DriverWish, load: (name: string) => unknown = loadModule): LoadedDriver {
  if (wish.driver !== undefined) return proveGiven(wish.driver);
  const failures: string[] = [];
  for (const name of ORDER[wish.type]) {
    try {
      const loaded = load(name);
      const driver = name === 'node:sqlite' ? nodeSqliteDriver(loaded) : (loaded as SqliteDriver);
      assertSound(driver);
      return { name, driver };
    } catch (error) {
      failures.push(`${name}: ${firstLine(error)}`);
    }
  }
  throw new JobReactorError(
    'NO_SQLITE_DRIVER',
    'No SQLite driver works here. Use Node 22.13 or later, which has node:sqlite, or run "npm install libsql" ' +
      `or "npm install better-sqlite3". Tried ${failures.join('; ')}.`,
  );
}

function proveGiven(given: unknown): LoadedDriver {
  const name = typeof given === 'function' && given.name ? given.name : 'driver';
  try {
    assertSound(given as SqliteDriver);
  } catch (cause) {
    const message = `The driver given for the SQLite storage does not work as better-sqlite3 does: ${firstLine(cause)}`;
    throw new JobReactorError('NO_SQLITE_DRIVER', message, { cause });
  }
  return { name, driver: given as SqliteDriver };
}

/** From where this package is installed, else from the application: strict package managers show only one of them. */
function loadModule(name: string): unknown {
  try {
    return createRequire(import.meta.url)(name);
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'MODULE_NOT_FOUND') throw error;
    return createRequire(join(process.cwd(), 'package.json'))(name);
  }
}

const firstLine = (error: unknown): string => String((error as Error)?.message ?? error).split('\n')[0] ?? '';
