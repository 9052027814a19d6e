import type { MigrationInterface, QueryRunner } from 'typeorm';
import { schemaPlace } from './schema-place.js';

/** A lease tells its process that others of its role and name have begun. */
export class AddNewcomers1798675200000 implements MigrationInterface {
  name = 'AddNewcomers1798675200000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const { quoted, table } = schemaPlace(queryRunner);
    // MySQL ends a transaction at each change of a table: a migration that was interrupted begins again.
    if (!(await queryRunner.hasColumn(table('leases'), 'newcomers')))
      await queryRunner.query(`ALTER TABLE ${quoted.leases} ADD COLUMN newcomers integer NOT NULL DEFAULT 0`);
    await queryRunner.query(`UPDATE ${quoted.storage} SET schema_version = 6`);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    const { quoted } = schemaPlace(queryRunner);
    await queryRunner.query(`UPDATE ${quoted.storage} SET schema_version = 5`);
    await queryRunner.query(`ALTER TABLE ${quoted.leases} DROP COLUMN newcomers`);
  }
}
