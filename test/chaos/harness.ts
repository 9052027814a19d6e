import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { systemClock } from '../../lib/clock.js';
import { createStorage } from '../../lib/storage/create-storage.js';
import type { DatabaseOptions } from '../../lib/storage/storage-option.js';
import { bundle } from '../support/bundle.js';
import { freePort } from '../support/free-port.js';
import { tcpProxy, type TcpProxy } from '../support/tcp-proxy.js';
import { check, type Verdict } from './checker.js';
import { Journal, monotonic, readJournals } from './journal.js';
import type { Mutation } from './mutations.js';
import { PROGRAM, Processes, passed, type Cast, type Living } from './processes.js';
import { scheduleOf, type Cycle, type Weather } from './schedule.js';

/** A database server of the run's own: it may be killed, started again and frozen. */
export interface OwnServer {
  kill(): Promise<void>;
  start(): Promise<void>;
  freeze(): void;
  thaw(): void;
}

export interface ChaosSettings {
  storage: 'sqlite' | 'postgres' | 'mysql';
  cycles: number;
  seed: number;
  /** Jobs a second. */
  rate: number;
  /** Milliseconds between kills, about. */
  pace: number;
  /** For journals, logs and SQLite files; whoever gives it removes it. */
  folder: string;
  /** On a server: where; tables nobody else has. */
  database?: Exclude<DatabaseOptions, { type: 'sqlite' | 'better-sqlite3' }> & { url: string };
  server?: OwnServer;
  mutation?: Mutation | null;
  /** Kills only: no weather. */
  calm?: boolean;
  /** Milliseconds everything may take to come to an end after the last kill. */
  drain?: number;
  log?: (line: string) => void;
}

export interface Report extends Verdict {
  settings: ChaosSettings;
  kills: Record<string, number>;
  weather: Record<string, number>;
  /** How many kills came at the failpoint they were meant for. */
  failpoints: number;
  /** Milliseconds of kills, and until everything had come to an end after them. */
  took: number;
  /** Or who had what left to do when the patience with them was over. */
  drained: number | string;
}

/** Processes that are loaded ahead of their time: as many as may die at once, and one. */
const SPARES = 3;
const NODES = ['one', 'two'];

/** Kills processes by the schedule of a seed while jobs run, lets everything come to an end, and checks the journals. */
export async function chaos(settings: ChaosSettings): Promise<Report> {
  const program = await bundle(PROGRAM);
  const run = new Run(settings, program.path);
  try {
    return await run.run();
  } finally {
    await run.end();
    await program.remove();
  }
}

class Run {
  readonly #settings: ChaosSettings;
  readonly #journal: Journal;
  readonly #processes: Processes;
  readonly #proxies: TcpProxy[] = [];
  readonly #databases = new Map<string, TcpProxy>();
  readonly #casts = new Map<string, Cast>();
  readonly #living = new Map<string, Living>();
  readonly #passing: Promise<void>[] = [];
  readonly #kills: Record<string, number> = {};
  readonly #weather: Record<string, number> = {};
  #failpoints = 0;

  constructor(settings: ChaosSettings, program: string) {
    this.#settings = settings;
    this.#journal = new Journal(settings.folder, 'harness');
    const { seed, mutation = null, folder } = settings;
    this.#processes = new Processes(folder, this.#journal, { seed, mutation }, program, SPARES);
  }

  async run(): Promise<Report> {
    const settings = this.#settings;
    const { server } = settings;
    await this.#cast();
    await Promise.all([...this.#casts.keys()].map((name) => this.#start(name)));
    const schedule = scheduleOf({
      ...settings,
      nodes: NODES.length,
      server: settings.storage !== 'sqlite',
      ownServer: server !== undefined,
    });
    const since = monotonic();
    for (const [index, cycle] of schedule.entries()) {
      await passed(cycle.after);
      if (cycle.weather && !settings.calm) this.#passing.push(this.#storm(cycle.weather));
      await this.#cycle(cycle);
      if ((index + 1) % 50 === 0) settings.log?.(`${index + 1} of ${settings.cycles} kills`);
    }
    const took = monotonic() - since;
    const drained = await this.#drain();
    await this.#stop();
    await this.#rows();
    const verdict = await check(readJournals(settings.folder));
    const [kills, weather, failpoints] = [this.#kills, this.#weather, this.#failpoints];
    return { ...verdict, settings, kills, weather, failpoints, took, drained };
  }

  async end(): Promise<void> {
    await Promise.allSettled(this.#passing);
    await this.#processes.end();
    await Promise.all(this.#proxies.map((proxy) => proxy.close()));
    this.#journal.close();
  }

  /** Who there is, and through which proxies they reach each other and the database. */
  async #cast(): Promise<void> {
    const { rate, storage, folder } = this.#settings;
    const port = await freePort();
    const common = { rate, predecessor: null, keep: false };
    await mkdir(join(folder, 'data'), { recursive: true });
    for (const [index, name] of NODES.entries()) {
      const proxy = await tcpProxy(port);
      this.#proxies.push(proxy);
      const place = await this.#place(name);
      this.#casts.set(name, { ...common, ...place, role: 'node', name, port: proxy.port, keep: index === 0 });
    }
    const place = await this.#place('web');
    this.#casts.set('web', { ...common, ...place, role: 'application', name: 'web', port });
    this.#settings.log?.(`${storage}, journals in ${folder}`);
  }

  async #place(name: string): Promise<{ storage: DatabaseOptions; label: string }> {
    const { database, folder } = this.#settings;
    if (!database) {
      const file = join(folder, 'data', `${name}.sqlite`);
      return { storage: { type: 'sqlite', database: file }, label: name };
    }
    const url = new URL(database.url);
    const proxy = await tcpProxy(Number(url.port || (database.type === 'postgres' ? 5432 : 3306)), url.hostname);
    this.#databases.set(name, proxy);
    Object.assign(url, { hostname: '127.0.0.1', port: String(proxy.port) });
    return { storage: { ...database, url: url.href }, label: 'shared' };
  }

  async #start(name: string): Promise<Living> {
    const predecessor = this.#living.get(name)?.process ?? null;
    const living = await this.#processes.start(this.#casts.get(name)!, predecessor);
    this.#living.set(name, living);
    return living;
  }

  async #cycle({ victim, node, failpoint, down, impatient }: Cycle): Promise<void> {
    this.#kills[victim] = (this.#kills[victim] ?? 0) + 1;
    this.#journal.write({ fact: 'fault', what: `kill -9 ${victim}` });
    if (victim === 'database') {
      await this.#settings.server!.kill();
      await passed(down[0]);
      return this.#settings.server!.start();
    }
    const names = victim === 'both' ? ['web', NODES[node]!] : [victim === 'application' ? 'web' : NODES[node]!];
    await Promise.all(
      names.map(async (name, index) => {
        const living = this.#living.get(name)!;
        if (failpoint === null) await living.kill();
        else if ((await living.killAt(failpoint, 1_500)) === 'there') this.#failpoints++;
        await passed(down[index]!);
        const next = await this.#start(name);
        // It may be killed again as it starts, and then it is the next one that has to be ready.
        if (!impatient) await next.ready.catch(() => undefined);
      }),
    );
  }

  async #storm(weather: Weather): Promise<void> {
    this.#weather[weather.what] = (this.#weather[weather.what] ?? 0) + 1;
    this.#journal.write({ fact: 'fault', what: JSON.stringify(weather) });
    const nameOf = (whom: 'application' | number): string => (whom === 'application' ? 'web' : NODES[whom]!);
    switch (weather.what) {
      case 'freeze': {
        const living = this.#living.get(nameOf(weather.whom))!;
        living.freeze();
        await passed(weather.milliseconds);
        return living.thaw();
      }
      case 'cut':
        return this.#proxies[weather.whom]!.cut();
      case 'reset':
        return this.#proxies[weather.whom]!.reset();
      case 'database cut':
        for (const proxy of this.#databases.values()) proxy.cut();
        return;
      case 'commit reply lost': {
        const proxy = this.#databases.get(nameOf(weather.whom))!;
        // PostgreSQL's commit is one prepared statement, called by its name; the others say COMMIT.
        const commit = this.#settings.storage === 'postgres' ? 'job_reactor_' : 'COMMIT';
        return void proxy.loseAnswerTo(commit);
      }
      case 'database frozen':
        this.#settings.server!.freeze();
        await passed(weather.milliseconds);
        return this.#settings.server!.thaw();
      case 'blackhole': {
        const proxy = this.#proxies[weather.whom]!;
        proxy.freeze();
        await passed(weather.milliseconds);
        return proxy.thaw();
      }
      default: {
        const proxy = this.#proxies[weather.whom]!;
        const how = { delay: { delay: 300 }, slices: { slice: 1 }, throttle: { rate: 64_000 } };
        proxy.slow(how[weather.what]);
        await passed(weather.milliseconds);
        return proxy.slow({});
      }
    }
  }

  /** Milliseconds until nobody had anything left to do; what they had when that did not come. */
  async #drain(): Promise<number | string> {
    const since = monotonic();
    await Promise.all(this.#passing);
    for (const living of this.#living.values()) await living.ready.catch(() => undefined);
    this.#living.get('web')!.send({ enough: true });
    const patience = this.#settings.drain ?? 120_000;
    for (let idle = 0; ;) {
      const left = await Promise.all([...this.#living.values()].map((living) => living.left()));
      // Twice: between two looks a job may be on its way from one to the other.
      idle = left.every((counts) => counts && Object.values(counts).every((count) => count === 0)) ? idle + 1 : 0;
      if (idle === 2) return monotonic() - since;
      if (left.includes(null) || monotonic() - since > patience)
        return [...this.#living.keys()].map((name, i) => `${name} ${JSON.stringify(left[i] ?? 'is dead')}`).join(', ');
      await passed(100);
    }
  }

  async #stop(): Promise<void> {
    const [web, ...nodes] = ['web', ...NODES].map((name) => this.#living.get(name)!);
    await Promise.all(nodes.map((node) => node.stop()));
    await web!.stop();
  }

  /** What lies in the storages now is the last word. */
  async #rows(): Promise<void> {
    for (const { storage: option, label, role, name } of this.#casts.values()) {
      const storage = createStorage(option, systemClock);
      await storage.open({ role: role === 'node' ? 'node' : 'outbox', name, instance: randomUUID() });
      for (let after: string | undefined; ;) {
        const page = await storage.list({ limit: 1_000, ...(after === undefined ? {} : { after }) });
        for (const { id, status } of page) this.#journal.write({ fact: 'row', id, status, storage: label });
        after = page.at(-1)?.id;
        if (page.length < 1_000) break;
      }
      await storage.close();
    }
  }
}

export const removed = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true });
