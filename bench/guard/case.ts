import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PerformanceObserver } from 'node:perf_hooks';
import { JobReactorClient } from '../../lib/client/job-reactor-client.js';
import { systemClock } from '../../lib/clock.js';
import { Distributor } from '../../lib/distributor/distributor.js';
import type { JobHandler } from '../../lib/handlers/job-handler.js';
import { readOptions } from '../../lib/job-reactor.read-options.js';
import { createStorage } from '../../lib/storage/create-storage.js';
import type { JobStorage } from '../../lib/storage/job-storage.js';
import type { StorageOption } from '../../lib/storage/storage-option.js';
import { WorkerNode } from '../../lib/worker-node/worker-node.js';
import { countedTransport, type Traffic } from './counted-transport.js';

/*
 * Runs the jobs of one case in this process, with both roles and everything between them but the socket, and prints
 * what one job cost: node --expose-gc … case.ts '<Case as JSON>'
 */
export interface Case {
  outbox: 'memory' | 'sqlite' | 'postgres';
  node: 'memory' | 'sqlite' | 'postgres';
  inFlight: number;
  jobs: number;
  confirm?: 'stored';
  /** Results are told to a declared feedback. */
  feedback?: boolean;
  /** Bytes taken from the heap are counted: needs a young generation that holds all of them. */
  allocations?: boolean;
}

/** Of one job. */
export interface Costs {
  frames: number;
  bytes: number;
  writes: number;
  commits: number;
  statements: number;
  allocated?: number;
}

interface Counts extends Traffic {
  commits: number;
  statements: number;
}

const counts: Counts = { frames: 0, bytes: 0, writes: 0, commits: 0, statements: 0 };
const NAME = 'guard';
const ARGS = { path: '/var/pictures/2026/11/upload.jpg', text: 'x'.repeat(160) };
const ADDRESS = { host: '127.0.0.1', port: 1 };

const wanted = JSON.parse(process.argv[2] ?? '{}') as Case;
const folder = await mkdtemp(join(tmpdir(), 'job-reactor-guard-'));
const postgres = wanted.outbox === 'postgres' || wanted.node === 'postgres' ? await emptyDatabase() : null;

function option(kind: Case['node'], file: string): StorageOption {
  if (kind === 'memory') return kind;
  if (kind === 'postgres') return { type: 'postgres', url: postgres! };
  return { type: 'sqlite', database: join(folder, file) };
}

/** A storage whose statements, and calls to commit, are counted. */
function counted(kind: Case['node'], file: string): JobStorage {
  const storage = createStorage(option(kind, file), systemClock, { onStatement: () => void counts.statements++ });
  const commit = storage.commit.bind(storage);
  storage.commit = (writes) => {
    counts.commits++;
    return commit(writes);
  };
  return storage;
}

async function emptyDatabase(): Promise<string> {
  const url = new URL(process.env['JOB_REACTOR_TEST_POSTGRES_URL']!);
  const { default: pg } = await import('pg');
  const client = new pg.Client(url.href);
  await client.connect();
  await client.query('DROP DATABASE IF EXISTS job_reactor_guard WITH (FORCE)');
  await client.query('CREATE DATABASE job_reactor_guard');
  await client.end();
  url.pathname = '/job_reactor_guard';
  return url.href;
}

const handler: JobHandler = {
  name: NAME,
  defaults: {},
  callbacks: 0,
  errbacks: 0,
  attempt: () => ({ job: async () => undefined, onSuccess: async () => undefined, onError: async () => undefined }),
};

let told = 0;
let ran: () => void = () => undefined;
const declared = { invoke: async () => void (told++, ran()) };

const options = readOptions({
  distributor: { name: 'app', port: ADDRESS.port },
  node: { name: 'node', storage: 'memory', distributors: [ADDRESS], concurrency: 64, prefetch: 64 },
});
const transport = countedTransport(counts);
const shared = { jobs: options.jobs, transport, clock: systemClock, emit: () => undefined };
const distributor = new Distributor({
  ...shared,
  settings: options.distributor!,
  instance: randomUUID(),
  outbox: wanted.outbox === 'memory' ? null : counted(wanted.outbox, 'outbox.sqlite'),
  declared: { success: () => (wanted.feedback ? [declared] : []), error: () => [] },
});
const node = new WorkerNode({
  ...shared,
  settings: options.node!,
  instance: randomUUID(),
  handlers: { names: () => [NAME], find: (name) => (name === NAME ? handler : undefined) },
  storage: counted(wanted.node, 'node.sqlite'),
  threads: null,
  awaited: () => false,
  random: Math.random,
  addresses: [async () => ADDRESS],
  names: [],
  resolve: async () => [],
});
const client = new JobReactorClient(distributor, options.jobs, systemClock);

/** Each of `inFlight` loops enqueues one after another; over when everything has been done and put away. */
async function run(jobs: number): Promise<void> {
  let left = jobs;
  const before = told;
  const loop = async (): Promise<void> => {
    while (left-- > 0) {
      const job = await client.enqueue(NAME, ARGS, wanted.confirm ? { confirm: wanted.confirm } : {});
      if (!wanted.feedback && wanted.inFlight === 1) await job.result();
    }
  };
  await Promise.all(Array.from({ length: wanted.inFlight }, loop));
  if (wanted.feedback) {
    const all = new Promise<void>((resolve) => (ran = () => told - before >= jobs && resolve()));
    if (told - before < jobs) await all;
  }
  // Nothing tells of the last row that goes: nothing more happens once nothing was counted for some turns.
  for (let still = 0, last = ''; still < 200; still++) {
    await new Promise((resolve) => setImmediate(resolve));
    const now = JSON.stringify(counts);
    if (now !== last || distributor.health.unconfirmed > 0) still = 0;
    last = now;
  }
}

function heapUsed(): number {
  return process.memoryUsage().heapUsed;
}

await distributor.listen();
await node.start();
// Code that is new allocates by itself, and types settle.
await run(wanted.allocations ? 3 * wanted.jobs : 64);
let collections = 0;
const observer = new PerformanceObserver((list) => void (collections += list.getEntries().length));
globalThis.gc?.();
await new Promise((resolve) => setTimeout(resolve, 50)); // the observer is told later
observer.observe({ entryTypes: ['gc'] });
Object.assign(counts, { frames: 0, bytes: 0, writes: 0, commits: 0, statements: 0 });
const before = heapUsed();
await run(wanted.jobs);
const allocated = heapUsed() - before;
const costs = Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, count / wanted.jobs]));
await new Promise((resolve) => setTimeout(resolve, 50));
if (wanted.allocations && collections > 0) throw new Error('memory was collected: what was allocated is not known');
process.stdout.write(
  JSON.stringify({ ...costs, ...(wanted.allocations ? { allocated: allocated / wanted.jobs } : {}) }),
);
await node.stop();
await distributor.stop();
await rm(folder, { recursive: true, force: true });
process.exit();
