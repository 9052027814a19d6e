import { DataSource } from 'typeorm';
import { JobReactorError } from '../../job-reactor.error.js';
import type { KeptFeedback } from '../../job/feedback-record.js';
import type { StoredJob } from '../../job/job.js';
import type { JobStatus } from '../../job/job-status.js';
import type {
  FeedbackPage,
  JobPage,
  JobStorage,
  JobWrite,
  StorageOwner,
  StoragePeers,
  WriteResult,
} from '../job-storage.js';
import type { PlaceRows } from '../place-rows.js';
import type { Dialect } from './dialect.js';
import { JobReads, type Read } from './job-reads.js';
import { isUuid, toFeedback, toStoredJob, type Row } from './job-rows.js';
import { SCHEMA_VERSION, TOO_NEW } from './schema.js';
import { TypeOrmKeys } from './typeorm-keys.js';
import { TypeOrmPauses } from './typeorm-pauses.js';
import { TypeOrmSchedules } from './typeorm-schedules.js';

/** So many ids in one statement, well below any database's limit of parameters. */
const IDS_AT_ONCE = 500;

/** Jobs in a database through TypeORM: the statements that look are the same for all, those of the hot path the dialect's. */
export class TypeOrmStorage implements JobStorage {
  readonly durable: boolean;
  readonly peers: StoragePeers | undefined;
  readonly places: PlaceRows | undefined;
  readonly schedules: TypeOrmSchedules;
  readonly pauses: TypeOrmPauses;
  readonly keys: TypeOrmKeys;
  readonly enlist?: NonNullable<JobStorage['enlist']>;
  private dataSource: DataSource | undefined;
  private opened: JobReads | undefined;

  constructor(
    private readonly dialect: Dialect,
    private readonly migrate: boolean,
  ) {
    this.durable = dialect.durable;
    this.peers = dialect.peers;
    this.places = dialect.places;
    this.schedules = new TypeOrmSchedules(dialect);
    this.pauses = new TypeOrmPauses(dialect);
    this.keys = new TypeOrmKeys(dialect);
    if (dialect.enlist) this.enlist = (...given) => dialect.enlist!(...given);
  }

  get commitsAtOnce(): number | undefined {
    return this.dialect.commitsAtOnce;
  }

  get commitsHere(): boolean | undefined {
    return this.dialect.commitsHere;
  }

  get driverName(): string {
    return this.dialect.driverName;
  }

  async open(owner: StorageOwner): Promise<{ id: string }> {
    const options = await this.dialect.claim(owner);
    try {
      const dataSource = new DataSource(options);
      this.dataSource = dataSource;
      await this.dialect.connect(dataSource);
      if (this.migrate && !(await this.isUpToDate())) await this.dialect.migrate(dataSource);
      const identity = await this.dialect.identify(await this.databaseId());
      this.opened = new JobReads(this.dialect.tables, identity.owner);
      return { id: identity.id };
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  commit(writes: readonly JobWrite[]): Promise<WriteResult[]> {
    return this.dialect.commit(writes);
  }

  async unfinished(page: JobPage): Promise<StoredJob[]> {
    return this.dialect.unfinished(page, this.reads());
  }

  async countUnfinished(): Promise<number> {
    const rows = await this.all((reads) => reads.countUnfinished());
    return Number(rows[0]?.['count']);
  }

  async get(ids: readonly string[]): Promise<StoredJob[]> {
    this.reads();
    const known = [...new Set(ids)].filter(isUuid);
    const jobs: StoredJob[] = [];
    for (let i = 0; i < known.length; i += IDS_AT_ONCE) {
      const rows = await this.all((reads) => reads.get(known.slice(i, i + IDS_AT_ONCE)));
      jobs.push(...rows.map(toStoredJob));
    }
    return jobs;
  }

  async list(filter: { status?: JobStatus; name?: string; after?: string; limit: number }): Promise<StoredJob[]> {
    return (await this.all((reads) => reads.list(filter))).map(toStoredJob);
  }

  async feedbacks(page: FeedbackPage): Promise<KeptFeedback[]> {
    return (await this.all((reads) => reads.feedbacks(page))).map(toFeedback);
  }

  async getFeedbacks(ids: readonly string[]): Promise<KeptFeedback[]> {
    const known = [...new Set(ids)];
    const feedbacks: KeptFeedback[] = [];
    for (let i = 0; i < known.length; i += IDS_AT_ONCE) {
      const rows = await this.all((reads) => reads.getFeedbacks(known.slice(i, i + IDS_AT_ONCE)));
      feedbacks.push(...rows.map(toFeedback));
    }
    return feedbacks;
  }

  async close(): Promise<void> {
    const { dataSource } = this;
    this.dataSource = undefined;
    this.opened = undefined;
    await this.dialect.retire();
    if (dataSource?.isInitialized) await dataSource.destroy();
    await this.dialect.release();
  }

  private async all(read: (reads: JobReads) => Read): Promise<Row[]> {
    const { sql, params } = read(this.reads());
    return this.dialect.all(sql, params);
  }

  private reads(): JobReads {
    if (!this.opened) throw new JobReactorError('STORAGE', 'The storage is closed.');
    return this.opened;
  }

  /** Asked first, as that has a deadline and migrations can't have one. False as well when it can't be told. */
  private async isUpToDate(): Promise<boolean> {
    const sql = `SELECT schema_version FROM ${this.dialect.tables.storage}`;
    const rows = await this.dialect.all(sql, []).catch(() => []);
    return Number(rows[0]?.['schema_version'] ?? 0) >= SCHEMA_VERSION;
  }

  /** The id of the database, which the migrations made. */
  private async databaseId(): Promise<string> {
    const rows = await this.dialect
      .all(`SELECT id, schema_version FROM ${this.dialect.tables.storage}`, [])
      .catch((cause: unknown) => {
        if (this.migrate) throw cause;
        throw outdated(cause);
      });
    const row = rows[0];
    const version = Number(row?.['schema_version'] ?? 0);
    if (version >= TOO_NEW) {
      const message =
        `The tables were changed by a newer version of nestjs-job-reactor in a way that this one can not work with (schema ${version}, ` +
        `this one knows ${SCHEMA_VERSION} and takes what is below ${TOO_NEW}). Update nestjs-job-reactor here as well.`;
      throw new JobReactorError('STORAGE', message);
    }
    if (!row || version < SCHEMA_VERSION) throw outdated();
    return row['id'] as string;
  }
}

const outdated = (cause?: unknown): JobReactorError =>
  new JobReactorError(
    'STORAGE',
    'The tables of JobReactor are missing or outdated: run its migrations, or leave out `migrate: false`.',
    cause === undefined ? undefined : { cause },
  );
