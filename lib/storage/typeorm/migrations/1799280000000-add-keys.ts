import { Table, TableIndex, type MigrationInterface, type QueryRunner, type TableColumnOptions } from 'typeorm';
import { columnOf, schemaPlace } from './schema-place.js';

const columns: TableColumnOptions[] = [
  { name: 'id', type: 'varchar', length: '36', isPrimary: true },
  { name: 'name', type: 'varchar', length: '255' },
  { name: 'key_value', type: 'varchar', length: '255' },
  { name: 'job_id', type: 'varchar', length: '36' },
  { name: 'expires_at', type: 'bigint', isNullable: true },
];

/** Which job has which key. */
export class AddKeys1799280000000 implements MigrationInterface {
  name = 'AddKeys1799280000000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const { kind, quoted, table, index } = schemaPlace(queryRunner);
    const made = new Table({
      name: table('keys'),
      columns: columns.map((column) => columnOf(kind, column)),
      indices: [new TableIndex({ name: index('keys_expiry'), columnNames: ['expires_at'] })],
      ...(kind === 'mysql' ? { engine: 'InnoDB' } : {}),
    });
    // MySQL ends a transaction at each table: a migration that was interrupted begins again.
    await queryRunner.createTable(made, kind === 'mysql');
    await queryRunner.query(`UPDATE ${quoted.storage} SET schema_version = 7`);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    const { quoted, table } = schemaPlace(queryRunner);
    await queryRunner.query(`UPDATE ${quoted.storage} SET schema_version = 6`);
    await queryRunner.dropTable(table('keys'));
  }
}
