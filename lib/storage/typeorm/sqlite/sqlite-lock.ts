import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Clock } from '../../../clock.js';
import { JobReactorError } from '../../../job-reactor.error.js';
import { isBusy, storageError } from './sqlite-errors.js';
import type { SqliteDatabase, SqliteDriver } from './sqlite-database.js';
import { retryWhileBusy } from './sqlite-turn.js';

/** A predecessor that was just killed may still be on its way out. */
const PATIENCE = 2_000;

/**
 * Keeps a second node or outbox away from a jobs file, without being in the way of those who read it: a transaction
 * held open on an empty database beside it. The operating system ends it with the process, however that dies. The lock
 * file stays where it is: deleting it would let two processes lock two files of one name.
 */
export class SqliteLock {
  private constructor(private readonly database: SqliteDatabase) {}

  /** @throws {JobReactorError} STORAGE_IN_USE, STORAGE */
  static async take(Driver: SqliteDriver, file: string, clock: Clock): Promise<SqliteLock> {
    const path = `${await realPath(file)}.lock`;
    let database: SqliteDatabase | undefined;
    try {
      const opened = (database = new Driver(path));
      opened.pragma('busy_timeout = 1');
      await retryWhileBusy(clock, PATIENCE, () => opened.exec('BEGIN EXCLUSIVE'));
      return new SqliteLock(opened);
    } catch (error) {
      database?.close();
      if (!isBusy(error)) throw storageError(error, path);
      const message = `Another node or outbox has the storage ${file} open. Each node and each outbox needs a file of its own.`;
      throw new JobReactorError('STORAGE_IN_USE', message, { cause: error });
    }
  }

  release(): void {
    // libsql closes a file only when garbage is collected; a transaction ends at once.
    this.database.exec('ROLLBACK');
    this.database.close();
  }
}

/** Two ways to one file must meet at one lock. The file itself need not exist yet. */
async function realPath(file: string): Promise<string> {
  return realpath(file).catch(async () => join(await realpath(dirname(file)), basename(file)));
}
