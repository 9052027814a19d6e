import { Table, type MigrationInterface, type QueryRunner, type TableColumnOptions } from 'typeorm';
import { columnOf, schemaPlace } from './schema-place.js';

const columns: TableColumnOptions[] = [
  { name: 'id', type: 'varchar', length: '36', isPrimary: true },
  { name: 'kind', type: 'varchar', length: '16' },
  { name: 'name', type: 'varchar', length: '255' },
  { name: 'paused', type: 'boolean' },
  { name: 'changed_at', type: 'bigint' },
];

/** What is paused stays so over restarts of everybody. */
export class AddPauses1798070400000 implements MigrationInterface {
  name = 'AddPauses1798070400000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const { kind, quoted, table } = schemaPlace(queryRunner);
    const made = new Table({
      name: table('pauses'),
      columns: columns.map((column) => columnOf(kind, column)),
      ...(kind === 'mysql' ? { engine: 'InnoDB' } : {}),
    });
    // MySQL ends a transaction at each table: a migration that was interrupted begins again.
    await queryRunner.createTable(made, kind === 'mysql');
    await queryRunner.query(`UPDATE ${quoted.storage} SET schema_version = 5`);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    const { quoted, table } = schemaPlace(queryRunner);
    await queryRunner.query(`UPDATE ${quoted.storage} SET schema_version = 4`);
    await queryRunner.dropTable(table('pauses'));
  }
}
