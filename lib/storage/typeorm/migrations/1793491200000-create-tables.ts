import {
  Table,
  type MigrationInterface,
  type QueryRunner,
  type TableColumnOptions,
  type TableIndexOptions,
} from 'typeorm';

/*
 * A migration that was published never changes: what the entities become later is said by later migrations. Hence it
 * spells out its columns and shares nothing with the entities.
 */

const text = (name: string): TableColumnOptions => ({ name, type: 'text' });
const varchar = (name: string, length: number): TableColumnOptions => ({
  name,
  type: 'varchar',
  length: String(length),
});
const integer = (name: string): TableColumnOptions => ({ name, type: 'integer' });
const bigint = (name: string): TableColumnOptions => ({ name, type: 'bigint' });
const boolean = (name: string): TableColumnOptions => ({ name, type: 'boolean' });
const nullable = (column: TableColumnOptions): TableColumnOptions => ({ ...column, isNullable: true });
const primary = (column: TableColumnOptions): TableColumnOptions => ({ ...column, isPrimary: true });

const jobs = [
  primary(varchar('id', 36)),
  varchar('name', 255),
  text('args'),
  text('options'),
  integer('priority'),
  bigint('enqueued_at'),
  bigint('run_at'),
  text('origin'),
  varchar('listeners', 16),
  boolean('given_id'),
  integer('assignment'),
  nullable(varchar('holder', 36)),
  nullable(varchar('owner', 36)),
  bigint('fence'),
  varchar('status', 16),
  integer('run'),
  integer('attempt'),
  integer('crashes'),
  bigint('due_at'),
  nullable(bigint('started_at')),
  nullable(bigint('failed_at')),
  nullable(bigint('finished_at')),
  nullable(text('last_error')),
  nullable(text('result')),
  boolean('unfinished'),
  nullable(varchar('key', 255)),
  nullable(varchar('group_key', 255)),
];

const feedbacks = [
  primary(varchar('id', 64)),
  varchar('job_id', 36),
  varchar('name', 255),
  text('origin'),
  varchar('listeners', 16),
  integer('assignment'),
  varchar('status', 16),
  boolean('final'),
  varchar('side', 16),
  text('args'),
  nullable(text('result')),
  nullable(text('error')),
  text('job'),
];

const tombstones = [primary(varchar('id', 36)), bigint('expires_at')];
const storage = [primary(varchar('id', 36)), varchar('incarnation', 36), integer('schema_version')];
const leases = [primary(varchar('instance', 36)), varchar('name', 255), varchar('role', 16), bigint('expires_at')];

const jobsDue: TableIndexOptions = { name: 'job_reactor_jobs_due', columnNames: ['unfinished', 'due_at', 'id'] };
const feedbacksJob: TableIndexOptions = { name: 'job_reactor_feedbacks_job', columnNames: ['job_id'] };
const tombstonesExpiry: TableIndexOptions = { name: 'job_reactor_tombstones_expiry', columnNames: ['expires_at'] };

const TABLES = [
  { name: 'job_reactor_jobs', columns: jobs, indices: [jobsDue] },
  { name: 'job_reactor_feedbacks', columns: feedbacks, indices: [feedbacksJob] },
  { name: 'job_reactor_tombstones', columns: tombstones, indices: [tombstonesExpiry] },
  { name: 'job_reactor_storage', columns: storage },
  { name: 'job_reactor_leases', columns: leases },
];

export class CreateTables1793491200000 implements MigrationInterface {
  name = 'CreateTables1793491200000';

  async up(queryRunner: QueryRunner): Promise<void> {
    for (const table of TABLES) await queryRunner.createTable(new Table(table));
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    for (const { name } of TABLES.toReversed()) await queryRunner.dropTable(name);
  }
}
