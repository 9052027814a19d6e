import { DataSource } from 'typeorm';
import { privateMariadb, privatePostgres } from '../support/private-server.js';
import type { ChaosSettings } from './harness.js';

/** Where a run keeps its jobs: what of its settings says so, how durable that is, and what removes it. */
export interface Place {
  settings: Pick<ChaosSettings, 'storage' | 'database' | 'server'>;
  /** In words, with the settings of the server that count. */
  durability: string;
  end(): Promise<void>;
}

export const SQLITE: Place = {
  settings: { storage: 'sqlite' },
  durability: 'SQLite, WAL, synchronous=FULL: a file for the outbox and one for each of two nodes',
  end: () => Promise.resolve(),
};

/** A server of the run's own, which may be killed and frozen as well. */
export async function ownServer(storage: 'postgres' | 'mysql'): Promise<Place | { reason: string }> {
  // So that a run needs no more connections than a server has by default, however fast processes come and go.
  const made = await (storage === 'postgres' ? privatePostgres({ max_connections: '200' }) : privateMariadb());
  if ('reason' in made) return made;
  await made.query('CREATE DATABASE chaos');
  const url = made.url.replace(/[^/]*$/, 'chaos');
  return {
    settings: { storage, database: options(storage, url), server: made },
    durability: `${await durabilityOf(storage, url)}; its own server, killed and frozen as well`,
    end: () => made.end(),
  };
}

/** A server that others use as well: it is left alone, and everything is in tables of the run's own. */
export async function givenServer(storage: 'postgres' | 'mysql', url: string): Promise<Place> {
  const prefix = `chaos${Date.now().toString(36)}_`;
  const database = { ...options(storage, url), entityPrefix: prefix };
  return {
    settings: { storage, database },
    durability: await durabilityOf(storage, url),
    async end() {
      for (const table of ['jobs', 'feedbacks', 'tombstones', 'storage', 'leases', 'migrations'])
        await ask(storage, url, `DROP TABLE IF EXISTS ${prefix}job_reactor_${table}`);
    },
  };
}

function options(storage: 'postgres' | 'mysql', url: string): NonNullable<ChaosSettings['database']> {
  return storage === 'postgres' ? { type: 'postgres', url } : { type: 'mariadb', url };
}

async function durabilityOf(storage: 'postgres' | 'mysql', url: string): Promise<string> {
  const one = async (sql: string): Promise<string> => String(Object.values((await ask(storage, url, sql))[0] ?? {})[0]);
  if (storage === 'postgres') {
    const [version, fsync, synchronous] = [
      await one('SHOW server_version'),
      await one('SHOW fsync'),
      await one('SHOW synchronous_commit'),
    ];
    return `PostgreSQL ${version}, fsync=${fsync}, synchronous_commit=${synchronous}: one database for the outbox and two nodes`;
  }
  const version = await one('SELECT VERSION()');
  const flush = await one('SELECT @@innodb_flush_log_at_trx_commit');
  return `MariaDB or MySQL ${version}, innodb_flush_log_at_trx_commit=${flush}: one database for the outbox and two nodes`;
}

async function ask(storage: 'postgres' | 'mysql', url: string, sql: string): Promise<Record<string, unknown>[]> {
  const dataSource = await new DataSource({ type: storage === 'postgres' ? 'postgres' : 'mariadb', url }).initialize();
  try {
    return (await dataSource.query(sql)) as Record<string, unknown>[];
  } finally {
    await dataSource.destroy();
  }
}
