import type { DataSource, DataSourceOptions } from 'typeorm';
import type { StoredJob } from '../../job/job.js';
import type { JobPage, JobWrite, StorageOwner, WriteResult } from '../job-storage.js';

/**
 * What one kind of database does its own way: how it is claimed and connected, and the statements of the hot path.
 * TypeOrmStorage does the rest, the same for all of them.
 */
export interface Dialect {
  readonly durable: boolean;
  readonly driverName: string;
  /** Makes sure nobody else works on this database, and says how to connect to it. @throws STORAGE_IN_USE, NO_SQLITE_DRIVER */
  claim(owner: StorageOwner): Promise<DataSourceOptions>;
  /** Called once, when `dataSource` is connected and before anything is asked of it. */
  use(dataSource: DataSource): Promise<void>;
  /** Runs TypeORM work where it can't mix with a commit. May run it again, so `work` must bear that. @throws STORAGE */
  run<T>(work: () => Promise<T>): Promise<T>;
  /** See JobStorage.commit(). */
  commit(writes: readonly JobWrite[]): Promise<WriteResult[]>;
  /** See JobStorage.unfinished(). */
  unfinished(page: JobPage): Promise<StoredJob[]>;
  /** Ends what `use` and `claim` began; the caller disconnects in between. Twice is safe. */
  retire(): Promise<void>;
  release(): Promise<void>;
}
