import type { DataSource, DataSourceOptions } from 'typeorm';
import type { JobWrite, StorageOwner, WriteResult } from '../../job-storage.js';
import type { Row } from '../job-rows.js';
import type { KeyStatements } from '../key-statements.js';
import type { TableNames } from '../table-names.js';

/** One connection; each statement has a deadline. In `sql` each `?` is a parameter. */
export interface Session {
  /** `count`: rows that were changed. `keep`: prepared once and kept. */
  query(sql: string, params?: readonly unknown[], keep?: boolean): Promise<{ rows: Row[]; count: number }>;
  /** To be said once a transaction has begun. */
  readonly atBegin?: string;
}

/**
 * Milliseconds in which a transaction may say nothing before the server breaks it off. A process that stands still in the
 * middle of one keeps its locks, the row that each start needs among them; one that lives gives up after its statement's
 * deadline, which is shorter.
 */
export const LONGEST_SILENCE = 8_000;

/** Whose rows are written: an owner, and the instance that has to hold its lease. */
export interface Owner extends StorageOwner {
  readonly id: string;
}

/** There was no connection to say anything on: nothing was written. */
export class NotConnected extends Error {
  constructor(cause: unknown) {
    super(String((cause as Error)?.message || cause), { cause });
  }
}

/** What was written is committed, and what came of it could not be found out. */
export class Unanswered extends Error {
  constructor(cause: unknown) {
    super(String((cause as Error)?.message || cause), { cause });
  }
}

/** The lease is another's: nothing was written. */
export class LeaseLost extends Error {}

/** The database is not the one it was: nothing was written. */
export class SetBack extends Error {}

/** The lease has run out, or is another's: nothing was written. */
export class LeaseExpired extends Error {}

/**
 * - `row`: the values of one row are refused; nothing was written.
 * - `again`: a deadlock or the like; nothing was written, and the same may succeed at once.
 * - `unknown`: anything else. What was being written may be there.
 */
export type Trouble = 'row' | 'again' | 'unknown';

/** A database server, and what it does its own way. */
export interface Engine {
  readonly driverName: string;
  /** Which server, for messages; without secrets. */
  readonly place: string;
  readonly tables: TableNames;
  /** The database's clock in milliseconds since the epoch, as an SQL expression. */
  readonly now: string;
  /** See JobStorage.commitsAtOnce. */
  readonly commitsAtOnce: number;
  /** Whether what `apply` does needs a transaction around it. */
  readonly needsTransaction: boolean;
  readonly keyStatements: KeyStatements;
  /** @throws {JobReactorError} STORAGE when the driver is missing */
  dataSourceOptions(): DataSourceOptions;
  use(dataSource: DataSource): void;
  /** Brings the tables up to date while other processes wait. */
  migrate(): Promise<void>;
  /** A statement with `?` as this server takes it. */
  text(sql: string): string;
  session<T>(work: (session: Session) => Promise<T>): Promise<T>;
  /** All of `writes`, none of which is about the same job as another, in one go. @throws LeaseExpired */
  apply(session: Session, owner: Owner, writes: readonly JobWrite[], now: number): Promise<WriteResult[]>;
  /** Reason why this value can't be kept, beyond what any database refuses. */
  trouble(error: unknown): Trouble;
  /** Whether the server itself refused, so that nothing was committed. */
  isRefusal(error: unknown): boolean;
  /** Whether an error, of TypeORM as well, means that the server may be there later. */
  isAway(error: unknown): boolean;
}

/** All or nothing of `work`. */
export async function transaction<T>(session: Session, work: () => Promise<T>): Promise<T> {
  await session.query('BEGIN');
  try {
    if (session.atBegin !== undefined) await session.query(session.atBegin);
    const result = await work();
    await session.query('COMMIT');
    return result;
  } catch (error) {
    await session.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}
