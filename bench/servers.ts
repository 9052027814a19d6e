import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import type { Contender, RedisMode } from './contenders.ts';
import { QUEUE, type Place } from './contenders/contender.ts';

export interface ServerOptions {
  postgres: string;
  redis: string;
}

/** Named so that nobody's own database is taken for ours. */
const DATABASE = 'job_reactor_bench';

const PERSISTENCE: Partial<Record<RedisMode, string[]>> = {
  'redis, AOF everysec': ['--appendonly', 'yes', '--appendfsync', 'everysec'],
  'redis, AOF always': ['--appendonly', 'yes', '--appendfsync', 'always'],
};

/** The servers contenders are measured on, and an empty place in one for each measurement. */
export class Servers {
  readonly #options: ServerOptions;
  readonly #started = new Map<RedisMode, { url: string; process: ChildProcess }>();
  #folder = '';
  #checked = false;

  constructor(options: ServerOptions) {
    this.#options = options;
  }

  async empty({ server }: Contender): Promise<Place> {
    this.#folder ||= await mkdtemp(join(tmpdir(), 'job-reactor-bench-'));
    const place: Place = {
      postgres: '',
      redis: '',
      folder: await mkdtemp(join(this.#folder, 'place-')),
      port: await freePort(),
    };
    if (server === 'postgres') place.postgres = await this.#emptyDatabase();
    else if (server !== 'none') place.redis = await this.#emptyRedis(server);
    return place;
  }

  /** Versions and settings that say what the figures are worth, for the report. */
  async describe(contenders: readonly Contender[]): Promise<string[]> {
    const lines: string[] = [];
    if (contenders.some(({ server }) => server === 'postgres')) {
      const shown = await this.#asAdministrator(async (client) => {
        const show = async (name: string): Promise<string> =>
          String(Object.values((await client.query<Record<string, unknown>>(`SHOW ${name}`)).rows[0]!)[0]);
        const names = ['fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'max_wal_size'];
        const settings: string[] = [];
        for (const name of names) settings.push(`${name} ${await show(name)}`);
        return `PostgreSQL ${(await show('server_version')).split(' ')[0]}: ${settings.join(', ')}`;
      });
      if (!/fsync on, synchronous_commit on/.test(shown)) throw new Error(`Not a durable server: ${shown}`);
      lines.push(shown);
    }
    const modes = new Set(contenders.map(({ server }) => server).filter((server) => server.startsWith('redis')));
    for (const mode of modes as Set<RedisMode>) {
      const redis = new Redis(await this.#redis(mode));
      const version = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1];
      const get = async (name: string): Promise<string> => ((await redis.config('GET', name)) as string[])[1] ?? '';
      const [save, appendonly, fsync] = [await get('save'), await get('appendonly'), await get('appendfsync')];
      redis.disconnect();
      if (mode === 'redis' && (save !== '' || appendonly !== 'no')) {
        throw new Error('The Redis of --redis is to be without persistence: CONFIG SET save "" and appendonly no.');
      }
      const persistence = appendonly === 'yes' ? `appendonly yes, appendfsync ${fsync}` : 'no persistence';
      lines.push(`Redis ${version}: ${persistence}`);
    }
    return lines;
  }

  async stop(): Promise<void> {
    for (const { process } of this.#started.values()) process.kill();
    if (this.#checked) {
      const redis = new Redis(this.#options.redis);
      await redis.flushdb();
      redis.disconnect();
    }
    await this.#asAdministrator((client) => client.query(`DROP DATABASE IF EXISTS ${DATABASE} WITH (FORCE)`)).catch(
      () => undefined,
    );
    if (this.#folder) await rm(this.#folder, { recursive: true, force: true });
  }

  async #asAdministrator<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client(this.#options.postgres);
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  }

  /** A new one for each measurement: no dead rows, plans or pages of another's work. */
  async #emptyDatabase(): Promise<string> {
    await this.#asAdministrator(async (client) => {
      await client.query(`DROP DATABASE IF EXISTS ${DATABASE} WITH (FORCE)`);
      await client.query(`CREATE DATABASE ${DATABASE}`);
      // What the one before has written is not to be paid by this one.
      await client.query('CHECKPOINT').catch(() => undefined);
    });
    const url = new URL(this.#options.postgres);
    url.pathname = `/${DATABASE}`;
    return url.href;
  }

  async #emptyRedis(mode: RedisMode): Promise<string> {
    const url = await this.#redis(mode);
    const redis = new Redis(url);
    if (mode === 'redis' && !this.#checked) {
      const others = (await redis.keys('*')).filter((key) => !key.includes(`:${QUEUE}`));
      if (others.length > 0)
        throw new Error(`${url} holds ${others[0]}: give an empty database in --redis, it is flushed.`);
      this.#checked = true;
    }
    await redis.flushdb();
    redis.disconnect();
    return url;
  }

  /** Without persistence the one that is there; the others are started for the run. */
  async #redis(mode: RedisMode): Promise<string> {
    const persistence = PERSISTENCE[mode];
    if (!persistence) return this.#options.redis;
    const running = this.#started.get(mode);
    if (running) return running.url;
    const folder = await mkdtemp(join(tmpdir(), 'job-reactor-redis-'));
    const port = await freePort();
    const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', ...persistence];
    const child = spawn('redis-server', args, { stdio: 'ignore' });
    child.once('exit', () => void rm(folder, { recursive: true, force: true }));
    const url = `redis://127.0.0.1:${port}`;
    this.#started.set(mode, { url, process: child });
    const redis = new Redis(url, { maxRetriesPerRequest: 50 });
    redis.on('error', () => undefined); // it is not up yet
    await redis.ping();
    redis.disconnect();
    return url;
  }
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** So many commands were run by a Redis, those of this question aside. */
export async function redisCommands(url: string): Promise<number> {
  const redis = new Redis(url);
  const stats = await redis.info('commandstats');
  redis.disconnect();
  const mine = /^cmdstat_(?:info|select|client|hello|config|flushdb|dbsize|ping)/;
  return stats
    .split('\r\n')
    .filter((line) => line.startsWith('cmdstat_') && !mine.test(line))
    .reduce((sum, line) => sum + Number(/calls=(\d+)/.exec(line)?.[1] ?? 0), 0);
}

export function commit(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { cwd: import.meta.dirname })
        .toString()
        .trim();
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--', '../lib') ? ' with changes' : '');
  } catch {
    return 'unknown';
  }
}
