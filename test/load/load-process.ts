import 'reflect-metadata';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Injectable } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import {
  Job,
  JobContext,
  JobReactorClient,
  JobReactorDistributor,
  JobReactorModule,
  type JobReactorOptions,
} from '../../lib/index.js';

/** An application or a node of a load run, told what to do by its parent. */
export type ToLoadProcess =
  /** `due`: milliseconds from now at which the first and the last of them are due; absent: at once. */
  { enqueue: number; from: number; due?: [first: number, last: number] } | { stats: true };

export type FromLoadProcess = { ready: number } | { enqueued: number } | { stats: LoadStats } | { joined: number };

/** `most` and `stall` are those since the last time they were asked for. */
export interface LoadStats {
  rss: number;
  most: number;
  /** The longest time, in milliseconds, for which the event loop stood still. */
  stall: number;
  pending: number;
  unconfirmed: number;
  /** Handlers begun, and when the first of them was. */
  starts: number;
  firstStart: number | null;
  /** Jobs that ran more than once, and those that began before their time. */
  twice: number;
  early: number;
}

/** With the rest of the JSON these args have 220 bytes. */
const PAD = 'x'.repeat(190);
const BATCH = 500;
const AT_ONCE = 4;

// Loading it holds up an event loop for a while, whatever is done with it then.
await import('typeorm');
const delay = monitorEventLoopDelay({ resolution: 5 });
delay.enable();
let most = 0;
const look = (): number => {
  const { rss } = process.memoryUsage();
  most = Math.max(most, rss);
  return rss;
};
setInterval(look, 100).unref();
const tell = (message: FromLoadProcess): void => void process.send!(message);

/** A byte for each job, in pages, so that what is counted takes next to no memory. */
const PAGE = 65_536;
const pages = new Map<number, Uint8Array>();
let starts = 0;
let firstStart: number | null = null;
let twice = 0;
let early = 0;

function count(n: number): void {
  const at = Math.floor(n / PAGE);
  let page = pages.get(at);
  if (!page) pages.set(at, (page = new Uint8Array(PAGE)));
  if (++page[n % PAGE]! === 2) twice++;
}

@Injectable()
class Works {
  @Job('work')
  work(@Payload() { n }: { n: number }, @Ctx() { job }: JobContext): void {
    const now = Date.now();
    firstStart ??= now;
    starts++;
    count(n);
    if (now < job.runAt) early++;
  }
}

async function main(options: JobReactorOptions): Promise<void> {
  class Root {}
  const module = {
    module: Root,
    imports: [JobReactorModule.forRoot(options)],
    providers: options.node ? [Works] : [],
  };
  let distributor: JobReactorDistributor | undefined;
  let client: JobReactorClient | undefined;
  if (options.node) {
    const app = await NestFactory.createMicroservice(module, { ...JobReactorModule.transport(), logger: false });
    await app.listen();
  } else {
    const app = await NestFactory.createApplicationContext(module, { logger: false });
    const own = app.get(JobReactorDistributor);
    distributor = own;
    own.on('node joined', () => tell({ joined: Date.now() }));
    client = app.get(JobReactorClient);
  }
  process.on('disconnect', () => process.exit(3));
  process.on('message', (message: ToLoadProcess) => {
    if ('enqueue' in message) return void enqueue(client!, message).then(() => tell({ enqueued: message.enqueue }));
    const stall = delay.max / 1e6;
    const rss = look();
    const { pending = 0, unconfirmed = 0 } = distributor?.backlog() ?? {};
    tell({ stats: { rss, most, stall, pending, unconfirmed, starts, firstStart, twice, early } });
    most = 0;
    delay.reset();
  });
  tell({ ready: distributor ? (await distributor.address()).port : 0 });
}

async function enqueue(
  client: JobReactorClient,
  { enqueue: jobs, from, due }: Extract<ToLoadProcess, { enqueue: number }>,
): Promise<void> {
  const now = Date.now();
  let next = from;
  const end = from + jobs;
  const some = async (): Promise<void> => {
    while (next < end) {
      const size = Math.min(BATCH, end - next);
      const first = next;
      next += size;
      await client.enqueueMany(
        Array.from({ length: size }, (_, i) => {
          const n = first + i;
          const runAt = due && new Date(now + due[0] + ((due[1] - due[0]) * (n - from)) / jobs);
          return { job: 'work', args: { n: n, pad: PAD }, options: runAt ? { runAt } : {} };
        }),
      );
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, some));
}

await main(JSON.parse(process.argv[2]!) as JobReactorOptions);
