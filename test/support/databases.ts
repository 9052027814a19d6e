import { randomBytes } from 'node:crypto';
import { DataSource } from 'typeorm';
import { describe, inject } from 'vitest';
import type { MysqlStorageOptions, PostgresStorageOptions } from '../../lib/storage/storage-option.js';

/** A database server that tests may use: each test gets tables of its own in it. */
export interface TestDatabase {
  readonly kind: 'PostgreSQL' | 'MySQL/MariaDB';
  /** New options for tables nobody else has, and what removes them. */
  make(): { storage: PostgresStorageOptions | MysqlStorageOptions; drop(): Promise<void> };
}

const unique = (): string => `t${randomBytes(5).toString('hex')}`;

function postgres(url: string): TestDatabase {
  return {
    kind: 'PostgreSQL',
    make() {
      const schema = unique();
      return {
        storage: { type: 'postgres', url, schema },
        drop: () => run({ type: 'postgres', url }, [`DROP SCHEMA IF EXISTS ${schema} CASCADE`]),
      };
    },
  };
}

function mysql(url: string): TestDatabase {
  return {
    kind: 'MySQL/MariaDB',
    make() {
      const entityPrefix = `${unique()}_`;
      const tables = [
        'jobs',
        'feedbacks',
        'tombstones',
        'storage',
        'leases',
        'schedules',
        'pauses',
        'keys',
        'places',
        'migrations',
      ];
      const drops = tables.map((table) => `DROP TABLE IF EXISTS ${entityPrefix}job_reactor_${table}`);
      return { storage: { type: 'mariadb', url, entityPrefix }, drop: () => run({ type: 'mariadb', url }, drops) };
    },
  };
}

async function run(options: { type: 'postgres' | 'mariadb'; url: string }, statements: string[]): Promise<void> {
  const dataSource = await new DataSource(options).initialize();
  try {
    for (const statement of statements) await dataSource.query(statement);
  } finally {
    await dataSource.destroy();
  }
}

const urls = inject('databases');

export const postgresDatabase = urls.postgres === null ? null : postgres(urls.postgres);
export const mysqlDatabase = urls.mysql === null ? null : mysql(urls.mysql);

/** A group of tests for each server that is there; the set-up has said which are not. */
export function describeEachDatabase(name: string, tests: (database: TestDatabase) => void): void {
  for (const [kind, database] of [
    ['PostgreSQL', postgresDatabase],
    ['MySQL/MariaDB', mysqlDatabase],
  ] as const) {
    describe.skipIf(database === null)(`${name}, ${kind}`, () => {
      if (database) tests(database);
    });
  }
}

export type DatabaseKind = 'SQLite' | TestDatabase['kind'];

/** Those that are there: SQLite always. */
export const databaseKinds: readonly DatabaseKind[] = [
  'SQLite',
  ...[postgresDatabase, mysqlDatabase].flatMap((database) => (database ? [database.kind] : [])),
];

export const serverOf = (kind: Exclude<DatabaseKind, 'SQLite'>): TestDatabase =>
  (kind === 'PostgreSQL' ? postgresDatabase : mysqlDatabase) as TestDatabase;
