import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Payload } from '@nestjs/microservices';
import { systemClock, type Clock } from '../../lib/clock.js';
import type { JobHandler } from '../../lib/handlers/job-handler.js';
import { Job, JobReactorClient, JobReactorDistributor, JobReactorModule } from '../../lib/index.js';
import { readOptions } from '../../lib/job-reactor.read-options.js';
import { MemoryStorage } from '../../lib/storage/memory-storage.js';
import { tcpTransport } from '../../lib/transport/tcp-transport.js';
import { WorkerNode } from '../../lib/worker-node/worker-node.js';
import { FUZZED_JOB, POOL } from './fuzzed-jobs.js';
import { mutate, type Mutation } from './mutations.js';
import { Stalls } from './stalls.js';

/*
 * The processes that are fuzzed and flooded. `application`: a distributor that keeps a steady trickle of jobs going.
 * `node`: the honest worker of that trickle. `fuzzed nodes`: eight that dial the fuzzer. `nodes`: many that only connect.
 */
export interface Settings {
  role: 'application' | 'node' | 'nodes' | 'fuzzed nodes';
  port: number;
  secret: string;
  nodes?: number;
  mutation?: Mutation | undefined;
}

export interface Stats {
  /** Bytes. */
  rss: number;
  /** Of them, those in use after a collection. */
  used: number;
  /** Milliseconds since the last time it was asked: the longest that its thread ran without a look at what waits, and that something waited by the clock. */
  stall: number;
  stallOfAll: number;
  unhandled: string[];
  /** Of the trickle. */
  done: number;
  failed: string[];
  slowest: number;
  /** Honest nodes that were lost. */
  lost: string[];
  nodes: number;
  refused: Record<string, number>;
}

export interface ToFuzzProcess {
  stats: true;
  collect: boolean;
}
export type FromFuzzProcess = { ready: number } | { stats: Stats };

const settings = JSON.parse(process.argv[2] as string) as Settings;
const auth = { secret: settings.secret };
/** What is kept of jobs on purpose is not to count as memory that was lost. */
const jobs = { retention: { removeFailed: true, dedupRetention: '1s' } };
const stalls = new Stalls();
const unhandled: string[] = [];
for (const event of ['unhandledRejection', 'uncaughtException'] as const) {
  process.on(event, (error: unknown) => unhandled.push(error instanceof Error ? String(error.stack) : String(error)));
}
process.on('disconnect', () => process.exit(0));
const tell = (message: FromFuzzProcess): void => void process.send?.(message);

let stats: () => Partial<Stats> = () => ({});
process.on('message', (message: ToFuzzProcess) => {
  const all: Stats = {
    ...memory(message.collect),
    stall: stalls.longest,
    stallOfAll: stalls.longestOfAll,
    unhandled,
    done: 0,
    failed: [],
    slowest: 0,
    lost: [],
    nodes: 0,
    refused: {},
    ...stats(),
  };
  stalls.reset();
  tell({ stats: all });
});

/** A collection takes a tenth of a second, which is not to count as a stall. */
function memory(collect: boolean): Pick<Stats, 'rss' | 'used'> {
  if (collect) (globalThis as { gc?: () => void }).gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, used: heapUsed + external };
}

if (settings.mutation) mutate(settings.mutation);
if (settings.role === 'application') await application();
else if (settings.role === 'node') await honestNode();
else if (settings.role === 'nodes') await manyNodes();
else fuzzedNodes(settings.port);
stalls.start();

async function application(): Promise<void> {
  const distributor = { name: 'web', port: settings.port, auth, maxPending: 2000 };
  @Module({ imports: [JobReactorModule.forRoot({ distributor, jobs })] })
  class App {}
  const app = await NestFactory.createApplicationContext(App, { logger: false });
  const client = app.get(JobReactorClient);
  const view = app.get(JobReactorDistributor);
  const lost: string[] = [];
  view.on('node lost', ({ node, reason }) => {
    if (node.name === 'honest') lost.push(reason);
  });
  const trickle = { done: 0, failed: [] as string[], slowest: 0 };
  stats = () => {
    const now = { ...trickle, lost, nodes: view.nodes().length, refused: view.refused() };
    trickle.slowest = 0;
    return now;
  };
  setInterval(() => {
    const began = performance.now();
    void client.run('fuzz.echo', { at: began }, { node: 'honest' }).then(
      () => {
        trickle.done++;
        trickle.slowest = Math.max(trickle.slowest, performance.now() - began);
      },
      (error: unknown) => trickle.failed.push(String(error)),
    );
    // These are for whoever offers to run them; an id that is known is no new job.
    for (const id of POOL) void client.enqueue(FUZZED_JOB, { id }, { id }).catch(() => undefined);
  }, 50);
  tell({ ready: (await view.address()).port });
}

async function honestNode(): Promise<void> {
  @Controller()
  class Echo {
    @Job('fuzz.echo')
    echo(@Payload() args: object): object {
      return args;
    }
  }
  const node = {
    name: 'honest',
    storage: 'memory' as const,
    distributors: [{ host: '127.0.0.1', port: settings.port }],
    auth,
  };
  @Module({ imports: [JobReactorModule.forRoot({ node })], controllers: [Echo] })
  class Worker {}
  const app = await NestFactory.createMicroservice(Worker, { ...JobReactorModule.transport(), logger: false });
  await app.listen();
  tell({ ready: 0 });
}

/** They dial as soon as they are left, so that fuzzing them is worth while. */
function fuzzedNodes(port: number): void {
  // Different versions wait for a minute, which nothing else does to the fraction.
  const clock: Clock = {
    ...systemClock,
    after: (wait, run, keepAlive) => systemClock.after(wait === 60_000.25 ? 1 : wait, run, keepAlive),
  };
  const random = (): number => 0.001;
  const handler = {
    name: FUZZED_JOB,
    defaults: {},
    callbacks: 0,
    errbacks: 0,
    attempt: () => ({
      job: (payload: unknown) => Promise.resolve(payload),
      onSuccess: () => Promise.resolve(),
      onError: () => Promise.resolve(),
    }),
  } satisfies JobHandler;
  for (let i = 0; i < 8; i++) void worker(port, { clock, random, handler }, `fuzzed ${i}`).start();
  tell({ ready: 0 });
}

function worker(
  port: number,
  parts: { clock: Clock; random: () => number; handler?: JobHandler },
  name: string,
): WorkerNode {
  const { clock, random, handler } = parts;
  const options = {
    name,
    storage: 'memory' as const,
    maxStored: 1000,
    distributors: [{ host: '127.0.0.1', port }],
    auth,
  };
  const { node, jobs: jobsSettings } = readOptions({ node: options, jobs });
  return new WorkerNode({
    settings: node!,
    jobs: jobsSettings,
    instance: randomUUID(),
    handlers: {
      names: () => (handler ? [handler.name] : ['none']),
      find: (wanted) => (wanted === handler?.name ? handler : undefined),
    },
    threads: null,
    awaited: () => false,
    storage: new MemoryStorage(clock),
    transport: tcpTransport({ clock }),
    clock,
    random,
    emit: () => {},
    addresses: node!.distributors.map((address) => () => Promise.resolve(address)),
    names: [],
    resolve: () => Promise.resolve([]),
  });
}

async function manyNodes(): Promise<void> {
  const { nodes = 1, port } = settings;
  for (let i = 0; i < nodes; i++) await worker(port, { clock: systemClock, random: Math.random }, `many ${i}`).start();
  tell({ ready: 0 });
}
