import type { Clock } from '../clock.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { FeedbackRecord, StoredJob } from '../job/job.js';
import type { JobStatus } from '../job/job-status.js';
import type { JobPage, JobStorage, JobWrite, StorageOwner, WriteResult } from './job-storage.js';
import type { SqliteStorageOptions, StorageHooks } from './storage-option.js';

/** Stands for a TypeORM storage until `open()` loads TypeORM, so that who keeps jobs in memory needs not install it. */
export class DatabaseStorage implements JobStorage {
  readonly durable: boolean;
  private opening: Promise<unknown> | undefined;
  private opened: JobStorage | undefined;

  constructor(
    private readonly options: SqliteStorageOptions,
    private readonly clock: Clock,
    private readonly hooks: StorageHooks,
  ) {
    this.durable = options.database !== ':memory:';
  }

  get driverName(): string | undefined {
    return this.opened?.driverName;
  }

  async open(owner: StorageOwner): Promise<{ id: string }> {
    if (this.opening) throw new JobReactorError('STORAGE', `The storage ${this.options.database} is open already.`);
    const opening = this.openDatabase(owner);
    this.opening = opening;
    return opening.catch((error: unknown) => {
      this.opening = undefined;
      throw error;
    });
  }

  async commit(writes: readonly JobWrite[]): Promise<WriteResult[]> {
    return this.storage().commit(writes);
  }

  async unfinished(page: JobPage): Promise<StoredJob[]> {
    return this.storage().unfinished(page);
  }

  async countUnfinished(): Promise<number> {
    return this.storage().countUnfinished();
  }

  async get(ids: readonly string[]): Promise<StoredJob[]> {
    return this.storage().get(ids);
  }

  async list(filter: { status?: JobStatus; name?: string; after?: string; limit: number }): Promise<StoredJob[]> {
    return this.storage().list(filter);
  }

  async feedbacks(page: { after: string | null; limit: number }): Promise<FeedbackRecord[]> {
    return this.storage().feedbacks(page);
  }

  async close(): Promise<void> {
    // What is about to open would stay open behind our back, with its lock.
    await this.opening?.catch(() => undefined);
    const storage = this.opened;
    this.opened = undefined;
    await storage?.close();
    this.opening = undefined;
  }

  private async openDatabase(owner: StorageOwner): Promise<{ id: string }> {
    const { TypeOrmStorage } = await loadTypeOrmStorage();
    const { SqliteDialect } = await import('./typeorm/sqlite/sqlite-dialect.js');
    const storage = new TypeOrmStorage(
      new SqliteDialect(this.options, this.clock, this.hooks),
      this.options.migrate ?? true,
    );
    const identity = await storage.open(owner);
    this.opened = storage;
    return identity;
  }

  private storage(): JobStorage {
    if (!this.opened) throw new JobReactorError('STORAGE', `The storage ${this.options.database} is not open.`);
    return this.opened;
  }
}

async function loadTypeOrmStorage() {
  try {
    return await import('./typeorm/typeorm-storage.js');
  } catch (cause) {
    const missing = (cause as { code?: unknown }).code === 'ERR_MODULE_NOT_FOUND';
    throw new JobReactorError(
      'STORAGE',
      missing ? 'A database storage needs TypeORM: npm install typeorm' : 'TypeORM could not be loaded.',
      { cause },
    );
  }
}
