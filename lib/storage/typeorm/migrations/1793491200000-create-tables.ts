import {
  Table,
  type MigrationInterface,
  type QueryRunner,
  type TableColumnOptions,
  type TableIndexOptions,
} from 'typeorm';
import { columnOf, schemaPlace } from './schema-place.js';

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

const TABLES = { jobs, feedbacks, tombstones, storage, leases };

export class CreateTables1793491200000 implements MigrationInterface {
  name = 'CreateTables1793491200000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const place = schemaPlace(queryRunner);
    const { kind } = place;
    const indices: Record<string, TableIndexOptions[]> = {
      // Where a database is shared, whose jobs they are comes first; the next migration sees to it.
      jobs: kind === 'sqlite' ? [{ name: place.index('jobs_due'), columnNames: ['unfinished', 'due_at', 'id'] }] : [],
      feedbacks: [{ name: place.index('feedbacks_job'), columnNames: ['job_id'] }],
      tombstones: [{ name: place.index('tombstones_expiry'), columnNames: ['expires_at'] }],
    };
    for (const [name, columns] of Object.entries(TABLES)) {
      const made = new Table({
        name: place.table(name),
        columns: columns.map((column) => columnOf(kind, column)),
        indices: indices[name] ?? [],
        ...(kind === 'mysql' ? { engine: 'InnoDB' } : {}),
      });
      // MySQL ends a transaction at each table: a migration that was interrupted begins again.
      await queryRunner.createTable(made, kind === 'mysql');
    }
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    const place = schemaPlace(queryRunner);
    for (const name of Object.keys(TABLES).toReversed()) await queryRunner.dropTable(place.table(name));
  }
}
