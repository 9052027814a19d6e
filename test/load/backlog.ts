import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { DataSource } from 'typeorm';
import type { DatabaseOptions, JobReactorOptions } from '../../lib/index.js';
import { bundle } from '../support/bundle.js';
import { Facts } from '../support/facts.js';
import type { FromLoadProcess, LoadStats, ToLoadProcess } from './load-process.js';

/*
 * npm run test:backlog -- [--count 1000000] [--storage sqlite|postgres] [--what outbox|scheduled] [--drain N]
 *
 * outbox: so many jobs of 220 bytes wait with no node; the application is killed and started again; a node comes and runs
 * them all, or N of them. scheduled: a node keeps so many jobs for later and is started again, while some are due. Both say how much
 * memory that takes, for how long an event loop stood still, and what was lost, ran twice or began early; where that was
 * more than none the run ends with 1. `besideMs` is for how long a process stood still that had nothing to do.
 *
 * PostgreSQL is the one of JOB_REACTOR_TEST_POSTGRES_URL, in a schema of the run's own.
 */
const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '1000000' },
    storage: { type: 'string', default: 'sqlite' },
    what: { type: 'string', default: 'outbox' },
    drain: { type: 'string' },
  },
});
const COUNT = Number(values.count);
/** So many of them are run before the run ends; default: all. */
const DRAIN = Number(values.drain ?? COUNT);
const HOUR = 3_600_000;
/** Of the scheduled jobs so many are due while the run goes on, within this time. */
const DUE_SOON = Math.min(20_000, COUNT / 10);
const SOON = 60_000;
const TOO_LONG = 3 * HOUR;
const wrong: string[] = [];
const children: ChildProcess[] = [];

/** This process does next to nothing: when it stood still, so did others, for want of a processor. */
const beside = monitorEventLoopDelay({ resolution: 5 });
beside.enable();
const besides = (): number => {
  const stood = Math.round(beside.max / 1e6);
  beside.reset();
  return stood;
};

const MB = (bytes: number): number => Math.round(bytes / 2 ** 20);
const seconds = (since: number): number => Math.round((performance.now() - since) / 100) / 10;
const after = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));
const say = (what: string, facts: object): void => console.log(what, JSON.stringify({ ...facts, besideMs: besides() }));

interface Running {
  port: number;
  stats(collect?: boolean): Promise<LoadStats>;
  enqueue(count: number, from: number, due?: [number, number]): Promise<void>;
  joined(): Promise<number>;
  kill(): Promise<void>;
}

async function main(program: string, database: (name: string) => DatabaseOptions): Promise<void> {
  const start = async (options: JobReactorOptions): Promise<Running> => {
    const child = fork(program, [JSON.stringify(options)], { execArgv: ['--expose-gc'] });
    children.push(child);
    const said = new Facts<FromLoadProcess | { exited: string }>();
    child.on('message', (message: FromLoadProcess) => said.tell(message));
    child.once('exit', (code, signal) => said.tell({ exited: String(code ?? signal) }));
    const next = async <K extends string>(key: K): Promise<Extract<FromLoadProcess, Record<K, unknown>>> => {
      const message = await said.next((one) => key in one || 'exited' in one, key, TOO_LONG);
      if ('exited' in message) throw new Error(`A process ended: ${message.exited}`);
      return message as Extract<FromLoadProcess, Record<K, unknown>>;
    };
    const send = (message: ToLoadProcess): void => void child.send(message, () => undefined);
    const { ready: port } = await next('ready');
    return {
      port,
      async stats(collect = false) {
        send({ stats: true, collect });
        return (await next('stats')).stats;
      },
      async enqueue(enqueue, from, due) {
        send({ enqueue, from, ...(due ? { due } : {}) });
        await next('enqueued');
      },
      joined: async () => (await next('joined')).joined,
      async kill() {
        const exit = once(child, 'exit');
        child.kill('SIGKILL');
        await exit;
      },
    };
  };
  const application = (outbox: DatabaseOptions | 'memory', port = 0): Promise<Running> =>
    start({ distributor: { name: 'web', port, maxPending: COUNT * 2, outbox } });
  const node = (port: number): Promise<Running> =>
    start({
      node: {
        name: 'one',
        concurrency: 64,
        prefetch: 512,
        maxStored: COUNT * 2,
        storage: database('node'),
        distributors: [{ host: '127.0.0.1', port }],
      },
    });
  const at = { start, application, node };
  await (values.what === 'scheduled' ? scheduled(at) : outbox(at, database('outbox')));
}

interface Stage {
  application(outbox: DatabaseOptions | 'memory', port?: number): Promise<Running>;
  node(port: number): Promise<Running>;
}

async function outbox({ application, node }: Stage, place: DatabaseOptions): Promise<void> {
  const first = await application(place);
  const idle = await settled(first);
  let since = performance.now();
  await first.enqueue(COUNT, 0);
  const took = seconds(since);
  const enqueued = await first.stats();
  const waits = await settled(first);
  say('enqueued', {
    seconds: took,
    jobsPerSecond: Math.round(COUNT / took),
    idleMB: MB(idle.rss),
    mostMB: MB(enqueued.most),
    thenMB: MB(waits.rss),
    heapMB: MB(waits.heap),
    stallMs: Math.round(enqueued.stall),
    pending: waits.pending,
  });
  if (waits.pending !== COUNT) wrong.push(`${waits.pending} of ${COUNT} wait`);
  await first.kill();

  since = performance.now();
  const second = await application(place);
  const startedIn = seconds(since);
  const started = await second.stats();
  const quiet = await settled(second);
  say('started again', {
    seconds: startedIn,
    mostMB: MB(started.most),
    thenMB: MB(quiet.rss),
    heapMB: MB(quiet.heap),
    stallMs: Math.round(started.stall),
    pending: quiet.pending,
  });
  if (quiet.pending !== COUNT) wrong.push(`${quiet.pending} of ${COUNT} wait after the restart`);

  since = performance.now();
  const worker = await node(second.port);
  const joined = await second.joined();
  const seen = { most: 0, stall: 0, nodeMost: 0 };
  for (let at = 0; ; at++) {
    await after(200);
    const [here, there] = [await second.stats(), await worker.stats()];
    seen.most = Math.max(seen.most, here.most);
    seen.stall = Math.max(seen.stall, here.stall);
    seen.nodeMost = Math.max(seen.nodeMost, there.most);
    if (at % 150 === 0) say('running', { starts: there.starts, pending: here.pending, mostMB: MB(here.most) });
    if (there.starts < DRAIN || (DRAIN === COUNT && here.unconfirmed > 0)) {
      if (seconds(since) * 1000 < TOO_LONG) continue;
      wrong.push('it took too long');
    }
    say('drained', {
      seconds: seconds(since),
      jobsPerSecond: Math.round(there.starts / seconds(since)),
      firstStartAfterJoinMs: there.firstStart === null ? null : there.firstStart - joined,
      mostMB: MB(seen.most),
      stallMs: Math.round(seen.stall),
      nodeMostMB: MB(seen.nodeMost),
      ran: there.starts,
      twice: there.twice,
      lost: DRAIN === COUNT ? COUNT - (there.starts - there.twice) : 'not all were run',
    });
    const lacks = DRAIN === COUNT && there.starts !== COUNT;
    if (there.twice > 0 || lacks) wrong.push(`${there.starts} starts of ${COUNT}, ${there.twice} twice`);
    return;
  }
}

async function scheduled({ application, node }: Stage): Promise<void> {
  const web = await application('memory');
  const first = await node(web.port);
  await web.joined();
  const idle = await settled(first);
  let since = performance.now();
  await web.enqueue(COUNT - DUE_SOON, 0, [12 * HOUR, 36 * HOUR]);
  for (;;) {
    await after(200);
    if ((await web.stats()).unconfirmed === 0) break;
  }
  const took = seconds(since);
  const stored = await first.stats();
  const waits = await settled(first);
  say('stored', {
    seconds: took,
    jobsPerSecond: Math.round((COUNT - DUE_SOON) / took),
    idleMB: MB(idle.rss),
    mostMB: MB(stored.most),
    thenMB: MB(waits.rss),
    heapMB: MB(waits.heap),
    stallMs: Math.round(stored.stall),
  });
  await first.kill();
  since = performance.now();
  const second = await node(web.port);
  await web.joined();
  const startedIn = seconds(since);
  const started = await second.stats();
  const quiet = await settled(second);
  say('started again', {
    seconds: startedIn,
    mostMB: MB(started.most),
    thenMB: MB(quiet.rss),
    overIdleMB: MB(quiet.rss - idle.rss),
    stallMs: Math.round(started.stall),
  });
  since = performance.now();
  await web.enqueue(DUE_SOON, COUNT, [1, SOON]);
  let seen = { most: 0, stall: 0 };
  for (;;) {
    await after(200);
    const now = await second.stats();
    seen = { most: Math.max(seen.most, now.most), stall: Math.max(seen.stall, now.stall) };
    if (now.starts < DUE_SOON && seconds(since) * 1000 < SOON * 5) continue;
    const facts = { seconds: seconds(since), mostMB: MB(seen.most), stallMs: Math.round(seen.stall) };
    say('due', { ...facts, ran: now.starts, twice: now.twice, early: now.early });
    if (now.starts !== DUE_SOON || now.twice > 0) wrong.push(`${now.starts} starts of ${DUE_SOON}`);
    if (now.early > 0) wrong.push(`${now.early} began early`);
    return;
  }
}

/** Once nothing moves any more; with what is in use when garbage has been collected. */
async function settled(process: Running): Promise<LoadStats> {
  await after(5_000);
  const { rss } = await process.stats();
  await process.stats(true);
  const collected = await process.stats(true);
  return { ...collected, rss };
}

const folder = await mkdtemp(join(tmpdir(), 'job-reactor-load-'));
const program = await bundle(join(import.meta.dirname, 'load-process.ts'));
const url = process.env['JOB_REACTOR_TEST_POSTGRES_URL'] ?? '';
const schema = `load${Date.now().toString(36)}`;
const isPostgres = values.storage === 'postgres';
if (isPostgres && url === '') throw new Error('JOB_REACTOR_TEST_POSTGRES_URL says where PostgreSQL is.');
console.log(
  `npm run test:backlog -- --count ${COUNT} --storage ${values.storage} --what ${values.what}; Node ${process.version}`,
);
try {
  await main(program.path, (name) =>
    isPostgres ? { type: 'postgres', url, schema } : { type: 'sqlite', database: join(folder, `${name}.sqlite`) },
  );
} finally {
  for (const child of children) child.kill('SIGKILL');
  await program.remove();
  await rm(folder, { recursive: true, force: true });
  if (isPostgres) {
    const dataSource = await new DataSource({ type: 'postgres', url }).initialize();
    await dataSource.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
    await dataSource.destroy();
  }
}
for (const line of wrong) console.log(`Failed: ${line}`);
process.exit(wrong.length > 0 ? 1 : 0);
