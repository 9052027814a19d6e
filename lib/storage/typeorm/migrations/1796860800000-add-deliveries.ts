import type { MigrationInterface, QueryRunner } from 'typeorm';
import { schemaPlace } from './schema-place.js';

/** A feedback says how often its delivery failed and when it is tried again. */
export class AddDeliveries1796860800000 implements MigrationInterface {
  name = 'AddDeliveries1796860800000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const place = schemaPlace(queryRunner);
    const { quoted } = place;
    for (const [column, type] of Object.entries(COLUMNS[place.kind])) {
      // MySQL ends a transaction at each change of a table: a migration that was interrupted begins again.
      if (await queryRunner.hasColumn(place.table('feedbacks'), column)) continue;
      await queryRunner.query(`ALTER TABLE ${quoted.feedbacks} ADD COLUMN ${column} ${type}`);
    }
    await queryRunner.query(`UPDATE ${quoted.storage} SET schema_version = 3`);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    const { kind, quoted } = schemaPlace(queryRunner);
    await queryRunner.query(`UPDATE ${quoted.storage} SET schema_version = 2`);
    for (const column of Object.keys(COLUMNS[kind]).toReversed()) {
      await queryRunner.query(`ALTER TABLE ${quoted.feedbacks} DROP COLUMN ${column}`);
    }
  }
}

/** With defaults, so that an insert that knows nothing of them is right. */
const columns = { failures: 'integer NOT NULL DEFAULT 0', due_at: 'bigint DEFAULT 0', last_error: 'text' };
const COLUMNS = {
  sqlite: columns,
  postgres: columns,
  mysql: { ...columns, last_error: 'longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin' },
};
