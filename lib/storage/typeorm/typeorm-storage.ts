import { randomUUID } from 'node:crypto';
import { DataSource, In, MoreThan, type FindOptionsWhere } from 'typeorm';
import { JobReactorError } from '../../job-reactor.error.js';
import type { FeedbackRecord, StoredJob } from '../../job/job.js';
import type { JobStatus } from '../../job/job-status.js';
import type { JobPage, JobStorage, JobWrite, StorageOwner, WriteResult } from '../job-storage.js';
import type { Dialect } from './dialect.js';
import { FeedbackEntity } from './entities/feedback.entity.js';
import { JobEntity } from './entities/job.entity.js';
import { StorageEntity } from './entities/storage.entity.js';
import { SCHEMA_VERSION } from './schema.js';

/** So many ids in one statement, well below any database's limit of parameters. */
const IDS_AT_ONCE = 500;

/** Jobs in a database through TypeORM: entities for looking, the dialect's own statements for the hot path. */
export class TypeOrmStorage implements JobStorage {
  readonly durable: boolean;
  private dataSource: DataSource | undefined;

  constructor(
    private readonly dialect: Dialect,
    private readonly migrate: boolean,
  ) {
    this.durable = dialect.durable;
  }

  get driverName(): string {
    return this.dialect.driverName;
  }

  async open(owner: StorageOwner): Promise<{ id: string }> {
    const options = await this.dialect.claim(owner);
    try {
      const dataSource = new DataSource(options);
      await this.dialect.run(() => dataSource.initialize());
      this.dataSource = dataSource;
      await this.dialect.use(dataSource);
      if (this.migrate) await this.dialect.run(() => dataSource.runMigrations());
      return { id: await this.identify(dataSource) };
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  commit(writes: readonly JobWrite[]): Promise<WriteResult[]> {
    return this.dialect.commit(writes);
  }

  unfinished(page: JobPage): Promise<StoredJob[]> {
    return this.dialect.unfinished(page);
  }

  countUnfinished(): Promise<number> {
    return this.read((source) => source.getRepository(JobEntity).countBy({ unfinished: true }));
  }

  async get(ids: readonly string[]): Promise<StoredJob[]> {
    const jobs: StoredJob[] = [];
    for (let i = 0; i < ids.length; i += IDS_AT_ONCE) {
      const id = In(ids.slice(i, i + IDS_AT_ONCE));
      jobs.push(...(await this.read((source) => source.getRepository(JobEntity).findBy({ id }))).map(toStoredJob));
    }
    return jobs;
  }

  async list(filter: { status?: JobStatus; name?: string; after?: string; limit: number }): Promise<StoredJob[]> {
    const where: FindOptionsWhere<JobEntity> = {};
    if (filter.status !== undefined) where.status = filter.status;
    if (filter.name !== undefined) where.name = filter.name;
    if (filter.after !== undefined) where.id = MoreThan(filter.after);
    const page = { where, order: { id: 'ASC' as const }, take: filter.limit };
    return (await this.read((source) => source.getRepository(JobEntity).find(page))).map(toStoredJob);
  }

  async feedbacks({ after, limit }: { after: string | null; limit: number }): Promise<FeedbackRecord[]> {
    const where = after === null ? {} : { id: MoreThan(after) };
    const page = { where, order: { id: 'ASC' as const }, take: limit };
    const rows = await this.read((source) => source.getRepository(FeedbackEntity).find(page));
    return rows.map((row) => ({ ...row }));
  }

  async close(): Promise<void> {
    const { dataSource } = this;
    this.dataSource = undefined;
    await this.dialect.retire();
    if (dataSource?.isInitialized) await dataSource.destroy();
    await this.dialect.release();
  }

  private read<T>(ask: (source: DataSource) => Promise<T>): Promise<T> {
    return this.dialect.run(() => {
      if (!this.dataSource) throw new JobReactorError('STORAGE', 'The storage is closed.');
      return ask(this.dataSource);
    });
  }

  /** The storage's id, made the first time. Its incarnation is new with every opening. */
  private async identify(dataSource: DataSource): Promise<string> {
    const rows = dataSource.getRepository(StorageEntity);
    const known = await this.dialect
      .run(() => rows.find())
      .catch((cause: unknown) => {
        if (this.migrate) throw cause;
        const message =
          'The tables of JobReactor are missing or outdated: run its migrations, or leave out `migrate: false`.';
        throw new JobReactorError('STORAGE', message, { cause });
      });
    const version = known[0]?.schemaVersion ?? SCHEMA_VERSION;
    if (version > SCHEMA_VERSION) {
      const message = `The storage was made by a newer version of nestjs-job-reactor (schema ${version}, this one knows ${SCHEMA_VERSION}).`;
      throw new JobReactorError('STORAGE', message);
    }
    const id = known[0]?.id ?? randomUUID();
    const row = { id, incarnation: randomUUID(), schemaVersion: SCHEMA_VERSION };
    await this.dialect.run(() => rows.upsert(row, ['id']));
    return id;
  }
}

function toStoredJob(entity: JobEntity): StoredJob {
  const { unfinished: _unfinished, key: _key, groupKey: _groupKey, ...job } = entity;
  return job;
}
