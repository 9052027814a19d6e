import { randomUUID } from 'node:crypto';
import { Table, type MigrationInterface, type QueryRunner, type TableColumnOptions } from 'typeorm';
import { columnOf, schemaPlace, type SchemaPlace } from './schema-place.js';

const varchar = (name: string, length: number): TableColumnOptions => ({
  name,
  type: 'varchar',
  length: String(length),
});

const oldLeases: TableColumnOptions[] = [
  { ...varchar('instance', 36), isPrimary: true },
  varchar('name', 255),
  varchar('role', 16),
  { name: 'expires_at', type: 'bigint' },
];

const leases: TableColumnOptions[] = [
  { ...varchar('id', 36), isPrimary: true },
  varchar('role', 16),
  varchar('name', 255),
  varchar('instance', 36),
  varchar('process', 255),
  { name: 'expires_at', type: 'bigint' },
];

/** Rows have owners, so that many nodes and outboxes can use one database, and leases say who the owners are. */
export class AddOwners1795651200000 implements MigrationInterface {
  name = 'AddOwners1795651200000';

  async up(queryRunner: QueryRunner): Promise<void> {
    const place = schemaPlace(queryRunner);
    const { kind, quoted } = place;
    // Nobody wrote leases before.
    await this.replaceLeases(queryRunner, place, leases);
    if (!(await queryRunner.hasColumn(place.table('feedbacks'), 'owner'))) {
      await queryRunner.query(`ALTER TABLE ${quoted.feedbacks} ADD COLUMN owner ${OWNER_TYPE[kind]}`);
    }
    if (kind !== 'sqlite') await this.indexOwners(queryRunner, place);
    if (kind === 'postgres') {
      // Starts and attempts stay on their page, and dead rows go in proportion to the work.
      const upkeep = 'fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000';
      await queryRunner.query(`ALTER TABLE ${quoted.jobs} SET (${upkeep})`);
    }
    const rows: unknown[] = await queryRunner.query(`SELECT id FROM ${quoted.storage}`);
    await queryRunner.query(
      rows.length > 0
        ? `UPDATE ${quoted.storage} SET schema_version = 2`
        : `INSERT INTO ${quoted.storage} (id, incarnation, schema_version) VALUES ('${randomUUID()}', '${randomUUID()}', 2)`,
    );
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    const place = schemaPlace(queryRunner);
    const { kind, quoted } = place;
    await queryRunner.query(`UPDATE ${quoted.storage} SET schema_version = 1`);
    if (kind !== 'sqlite') {
      await queryRunner.dropIndex(place.table('feedbacks'), place.index('feedbacks_owner'));
      await queryRunner.dropIndex(place.table('jobs'), place.index('jobs_owner'));
    }
    await queryRunner.query(`ALTER TABLE ${quoted.feedbacks} DROP COLUMN owner`);
    await this.replaceLeases(queryRunner, place, oldLeases);
  }

  private async replaceLeases(
    queryRunner: QueryRunner,
    place: SchemaPlace,
    columns: TableColumnOptions[],
  ): Promise<void> {
    await queryRunner.dropTable(place.table('leases'), true);
    await queryRunner.createTable(
      new Table({
        name: place.table('leases'),
        columns: columns.map((column) => columnOf(place.kind, column)),
        ...(place.kind === 'mysql' ? { engine: 'InnoDB' } : {}),
      }),
    );
  }

  /** A start changes none of these columns, so that it costs starts and ends nothing. */
  private async indexOwners(queryRunner: QueryRunner, { kind, quoted, index, table }: SchemaPlace): Promise<void> {
    const has = async (name: 'jobs' | 'feedbacks'): Promise<boolean> =>
      ((await queryRunner.getTable(table(name)))?.indices ?? []).some((known) => known.name === index(`${name}_owner`));
    const q = kind === 'mysql' ? '`' : '"';
    const [columns, where] = kind === 'mysql' ? ['unfinished, due_at', ''] : ['due_at', ' WHERE unfinished'];
    if (!(await has('jobs'))) {
      await queryRunner.query(
        `CREATE INDEX ${q}${index('jobs_owner')}${q} ON ${quoted.jobs} (owner, ${columns}, id)${where}`,
      );
    }
    if (!(await has('feedbacks'))) {
      await queryRunner.query(`CREATE INDEX ${q}${index('feedbacks_owner')}${q} ON ${quoted.feedbacks} (owner, id)`);
    }
  }
}

const OWNER_TYPE = {
  sqlite: 'varchar(36)',
  postgres: 'uuid',
  mysql: 'varchar(36) CHARACTER SET ascii COLLATE ascii_bin',
};
