import type { DataSource, DataSourceOptions } from 'typeorm';
import type { StoredJob } from '../../job/job.js';
import type { Enlisted, JobPage, JobWrite, StorageOwner, StoragePeers, WriteResult } from '../job-storage.js';
import type { PlaceRows } from '../place-rows.js';
import type { Row, RowValue } from './job-rows.js';
import type { JobReads, Read } from './job-reads.js';
import type { KeyStatements } from './key-statements.js';
import type { Session } from './server/engine.js';
import type { TableNames } from './table-names.js';

/**
 * What one kind of database does its own way: how it is claimed and connected, and the statements of the hot path.
 * TypeOrmStorage does the rest, the same for all of them.
 */
export interface Dialect {
  readonly durable: boolean;
  readonly driverName: string;
  readonly tables: TableNames;
  /** See JobStorage.commitsAtOnce. */
  readonly commitsAtOnce?: number;
  /** See JobStorage.commitsHere. */
  readonly commitsHere?: boolean;
  /** See JobStorage.peers. */
  readonly peers?: StoragePeers;
  /** See JobStorage.places. */
  readonly places?: PlaceRows;
  /** How to connect. What has to be had before that is taken here. @throws STORAGE_IN_USE, NO_SQLITE_DRIVER */
  claim(owner: StorageOwner): Promise<DataSourceOptions>;
  /** Connects `dataSource`, before anything is asked of it. @throws STORAGE */
  connect(dataSource: DataSource): Promise<void>;
  /** Brings the tables up to date, where several processes may want to at once. @throws STORAGE */
  migrate(dataSource: DataSource): Promise<void>;
  /**
   * Called when the tables are there: makes the rows of this owner ours.
   * @param database id of the database's row in job_reactor_storage
   * @returns the storage id, and whose rows we read: null where all are ours
   * @throws STORAGE_IN_USE
   */
  identify(database: string): Promise<{ id: string; owner: string | null }>;
  /** The rows of one SELECT; each `?` is a parameter. Has a deadline. @throws STORAGE */
  all(sql: string, params: readonly RowValue[]): Promise<Row[]>;
  /** See JobStorage.commit(). */
  commit(writes: readonly JobWrite[]): Promise<WriteResult[]>;
  /**
   * In one transaction a statement that has to change so many rows (default: one), and inserts of jobs. Null: it did not,
   * and no job was inserted.
   */
  commitWith(guard: Read, jobs: readonly StoredJob[], rows?: number): Promise<WriteResult[] | null>;
  /**
   * See JobStorage.enlist(). Absent where a transaction of others can't hold our rows. `select`: has its say first, in the
   * same transaction, and gives those of the jobs that are to be inserted.
   */
  enlist?(
    manager: object,
    jobs: readonly StoredJob[],
    changed: () => void,
    select?: (session: Session) => Promise<readonly StoredJob[]>,
  ): Promise<Enlisted>;
  /** Present with `enlist`. */
  readonly keyStatements?: KeyStatements;
  /** See JobStorage.unfinished(). */
  unfinished(page: JobPage, reads: JobReads): Promise<StoredJob[]>;
  /** Ends what `connect`, `identify` and `claim` began; the caller disconnects in between. Twice is safe. */
  retire(): Promise<void>;
  release(): Promise<void>;
}
