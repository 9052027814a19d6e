import { Table, TableIndex, type MigrationInterface, type QueryRunner, type TableColumnOptions } from 'typeorm';
import { columnOf, schemaPlace } from './schema-place.js';

const columns: TableColumnOptions[] = [
  { name: 'id', type: 'varchar', length: '36', isPrimary: true },
  { name: 'owner', type: 'varchar', length: '36', isPrimary: true },
  { name: 'held', type: 'integer' },
  { name: 'wanting', type: 'boolean' },
];

/** How much of a limit over all nodes each of them has. */
export class AddPlaces1799884800000 implements MigrationInterface {
  name = 'AddPlaces1799884800000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const { kind, quoted, table, index } = schemaPlace(queryRunner);
    const made = new Table({
      name: table('places'),
      columns: columns.map((column) => columnOf(kind, column)),
      indices: [new TableIndex({ name: index('places_owner'), columnNames: ['owner'] })],
      ...(kind === 'mysql' ? { engine: 'InnoDB' } : {}),
    });
    // MySQL ends a transaction at each table: a migration that was interrupted begins again.
    await queryRunner.createTable(made, kind === 'mysql');
    await queryRunner.query(`UPDATE ${quoted.storage} SET schema_version = 8`);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    const { quoted, table } = schemaPlace(queryRunner);
    await queryRunner.query(`UPDATE ${quoted.storage} SET schema_version = 7`);
    await queryRunner.dropTable(table('places'));
  }
}
