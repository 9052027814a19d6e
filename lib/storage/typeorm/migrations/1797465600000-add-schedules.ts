import { Table, type MigrationInterface, type QueryRunner, type TableColumnOptions } from 'typeorm';
import { columnOf, schemaPlace } from './schema-place.js';

const varchar = (name: string, length: number): TableColumnOptions => ({
  name,
  type: 'varchar',
  length: String(length),
});
const bigint = (name: string): TableColumnOptions => ({ name, type: 'bigint' });
const text = (name: string): TableColumnOptions => ({ name, type: 'text' });
const nullable = (column: TableColumnOptions): TableColumnOptions => ({ ...column, isNullable: true });

const columns: TableColumnOptions[] = [
  { ...varchar('id', 36), isPrimary: true },
  varchar('distributor', 255),
  varchar('schedule_key', 255),
  bigint('revision'),
  text('rule'),
  varchar('job_name', 255),
  nullable(text('args')),
  text('options'),
  { name: 'priority', type: 'integer' },
  nullable(bigint('expires_after')),
  { name: 'paused', type: 'boolean' },
  bigint('done_until'),
  bigint('runs'),
  nullable(bigint('last_slot')),
  bigint('since'),
  bigint('changed_at'),
];

/** Applications keep their schedules beside their outbox. */
export class AddSchedules1797465600000 implements MigrationInterface {
  name = 'AddSchedules1797465600000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const place = schemaPlace(queryRunner);
    const { kind, quoted } = place;
    const made = new Table({
      name: place.table('schedules'),
      columns: columns.map((column) => columnOf(kind, column)),
      indices: [{ name: place.index('schedules_distributor'), columnNames: ['distributor', 'id'] }],
      ...(kind === 'mysql' ? { engine: 'InnoDB' } : {}),
    });
    // MySQL ends a transaction at each table: a migration that was interrupted begins again.
    await queryRunner.createTable(made, kind === 'mysql');
    await queryRunner.query(`UPDATE ${quoted.storage} SET schema_version = 4`);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    const place = schemaPlace(queryRunner);
    await queryRunner.query(`UPDATE ${place.quoted.storage} SET schema_version = 3`);
    await queryRunner.dropTable(place.table('schedules'));
  }
}
