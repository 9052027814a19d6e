import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DataSource } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../lib/clock.js';
import { createStorage } from '../../../lib/storage/create-storage.js';
import type { JobStorage } from '../../../lib/storage/job-storage.js';
import { memoryStorage } from '../../../lib/storage/memory-storage.js';
import type { StorageOption } from '../../../lib/storage/storage-option.js';
import { MIGRATIONS_TABLE, jobReactorEntities, jobReactorMigrations } from '../../../lib/storage/typeorm/schema.js';
import { sampleJob } from '../../support/sample-job.js';

const OWNER = { role: 'node' as const, name: 'node', instance: '0192f000-0000-7000-8000-000000000001' };
const driver: unknown = createRequire(import.meta.url)('libsql');

describe('createStorage', () => {
  it("makes a memory storage for 'memory', and takes a JobStorage as it is", () => {
    const own = memoryStorage(systemClock);
    expect(createStorage('memory', systemClock).durable).toBe(false);
    expect(createStorage(own, systemClock)).toBe(own);
  });

  it('knows without opening whether a storage is durable', () => {
    expect(createStorage({ type: 'sqlite', database: 'x.sqlite' }, systemClock).durable).toBe(true);
    expect(createStorage({ type: 'sqlite', database: ':memory:' }, systemClock).durable).toBe(false);
  });

  it.each([
    [{ type: 'oracle', database: 'x' }, /'sqlite', 'postgres', 'mysql' or 'mariadb'.*"oracle" is not supported/],
    [{ database: 'x' }, /type undefined is not supported/],
    [{ type: 'postgres', host: 'db' }, /needs 'url', or 'database'/],
    [{ type: 'mariadb' }, /needs 'url', or 'database'/],
    [{ type: 'postgres', database: 'x', schema: '' }, /'schema'/],
    [{ type: 'sqlite', database: 'x', entityPrefix: 'no-dash' }, /'entityPrefix'.*"no-dash"/],
    [{ type: 'sqlite' }, /needs 'database'/],
    [{ type: 'sqlite', database: '' }, /needs 'database'/],
    [{ type: 'sqlite', database: 'libsql://host' }, /not a URL/],
    [{ type: 'better-sqlite3', database: 'x', readonly: true }, /'readonly'/],
    ['sqlite', /A storage is 'memory'/],
    [null, /A storage is 'memory'/],
  ])('refuses %j', (option, message) => {
    const create = (): JobStorage => createStorage(option as unknown as StorageOption, systemClock);
    expect(create).toThrow(message);
    expect(create).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }));
  });
});

describe('the schema', () => {
  let folder: string;
  let database: string;
  const open: { destroy(): Promise<void> }[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'job-reactor-'));
    database = join(folder, 'jobs.sqlite');
  });
  afterEach(async () => {
    for (const source of open.splice(0)) await source.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  const source = async (more: object = {}): Promise<DataSource> => {
    const options = { type: 'better-sqlite3' as const, database, driver, synchronize: false, ...more };
    const dataSource = await new DataSource(options).initialize();
    open.push(dataSource);
    return dataSource;
  };
  const ours = {
    entities: jobReactorEntities,
    migrations: jobReactorMigrations,
    migrationsTableName: MIGRATIONS_TABLE,
  };
  const tables = async (dataSource: DataSource): Promise<string[]> => {
    const rows = await dataSource.query(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    );
    return (rows as { name: string }[]).map(({ name }) => name).sort();
  };
  const withStorage = async (option: object, work: (storage: JobStorage) => Promise<void>): Promise<void> => {
    const storage = createStorage({ type: 'sqlite', database, driver, ...option }, systemClock);
    try {
      await storage.open(OWNER);
      await work(storage);
    } finally {
      await storage.close();
    }
  };

  it('that the migrations make is the one the entities describe', async () => {
    await withStorage({}, async () => undefined);
    const log = await (await source(ours)).driver.createSchemaBuilder().log();
    expect(log.upQueries.map((query) => query.query)).toEqual([]);
  });

  it('can be taken back by its migrations', async () => {
    await withStorage({}, async () => undefined);
    const dataSource = await source(ours);
    for (const _ of jobReactorMigrations) await dataSource.undoLastMigration();
    expect(await tables(dataSource)).toEqual([MIGRATIONS_TABLE]);
  });

  it('is made by whoever runs the migrations, if `migrate: false`', async () => {
    const unmade = withStorage({ migrate: false }, async () => undefined);
    await expect(unmade).rejects.toMatchObject({
      code: 'STORAGE',
      message: expect.stringContaining('run its migrations'),
    });
    await (await source(ours)).runMigrations();
    await withStorage({ migrate: false }, async (storage) => {
      expect(await storage.commit([{ kind: 'insert', job: sampleJob() }])).toEqual(['done']);
    });
  });

  it('of a newer version is refused', async () => {
    await withStorage({}, async () => undefined);
    await (await source()).query('UPDATE job_reactor_storage SET schema_version = 1000');
    await expect(withStorage({}, async () => undefined)).rejects.toMatchObject({
      code: 'STORAGE',
      message: expect.stringContaining('newer version'),
    });
  });

  it("leaves the rest of an application's database alone", async () => {
    const application = await source({ migrations: [], entities: [], migrationsRun: false });
    await application.query('CREATE TABLE users (id integer)');
    const storage = createStorage(application, systemClock);
    await storage.open(OWNER);
    await storage.commit([{ kind: 'insert', job: sampleJob() }]);
    await application.transaction(async (manager) => {
      await manager.query('INSERT INTO users VALUES (1)');
    });
    expect(await storage.countUnfinished()).toBe(1);
    await storage.close();
    expect(application.isInitialized).toBe(true);
    const ownTables = ['feedbacks', 'jobs', 'keys', 'leases', 'migrations', 'pauses', 'places'];
    ownTables.push('schedules', 'storage', 'tombstones');
    expect(await tables(application)).toEqual([...ownTables.map((t) => `job_reactor_${t}`), 'users']);
  });

  it('keeps the storage id, and makes a new incarnation with every opening', async () => {
    const rows: unknown[] = [];
    for (let i = 0; i < 2; i++) {
      await withStorage({}, async () => undefined);
      rows.push(...(await (await source()).query('SELECT id, incarnation FROM job_reactor_storage')));
    }
    const [first, second] = rows as { id: string; incarnation: string }[];
    expect(rows).toHaveLength(2);
    expect(second!.id).toBe(first!.id);
    expect(second!.incarnation).not.toBe(first!.incarnation);
  });
});
