import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Injectable } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Payload } from '@nestjs/microservices';
import type * as JobReactor from '../../dist/index.js';
import type { DatabaseOptions, StorageOption } from '../../dist/index.js';
import { CONCURRENCY, QUEUE, type Args, type ContenderModule, type NewJob, type Place } from './contender.ts';

export interface Options {
  outbox: 'memory' | 'postgres';
  node: 'memory' | 'sqlite' | 'postgres';
  /** enqueue() resolves after the COMMIT of a node. */
  confirm?: 'stored';
  /** The application has a declared feedback, delivered at least once. */
  feedback?: boolean;
  /** Ports of further distributors, whose applications enqueue in turn. Default: none. */
  others?: number[];
  /** How many nodes run jobs, all in the worker's process. Default 1. */
  nodes?: number;
  /** A build of this project, to be measured beside another. Default ../dist. */
  dist?: string;
  /** Counts the statements of a storage that no server counts. */
  countStatements?: boolean;
}

function load<T>({ dist }: Options, file: string): Promise<T> {
  return import(pathToFileURL(join(dist ?? join(import.meta.dirname, '../../dist'), file)).href) as Promise<T>;
}

function storage(kind: 'memory' | 'sqlite' | 'postgres', { postgres, folder }: Place): 'memory' | DatabaseOptions {
  if (kind === 'memory') return kind;
  return kind === 'postgres'
    ? { type: 'postgres', url: postgres }
    : { type: 'sqlite', database: join(folder, 'node.sqlite') };
}

/** Node runs these files as they are, and knows no decorators: so they are called, as the compiler would call them. */
function decorate(target: object, method: string, parameter: ParameterDecorator | null, job: MethodDecorator): void {
  parameter?.(target, method, 0);
  job(target, method, Object.getOwnPropertyDescriptor(target, method)!);
}

/** Of memory it would be warned that jobs are lost at the end: they are meant to be. */
const logger: 'error'[] = ['error'];

export const contender: ContenderModule<Options> = {
  async producer(place, options) {
    const { JobReactorModule, JobReactorClient, JobReactorDistributor, OnSuccessFeedback } = await load<
      typeof JobReactor
    >(options, 'index.js');
    let count = 0;
    let lastAt = 0;
    class Feedbacks {
      done(): void {
        count++;
        const [seconds, nanoseconds] = process.hrtime();
        lastAt = seconds * 1e3 + nanoseconds / 1e6;
      }
    }
    decorate(Feedbacks.prototype, 'done', null, OnSuccessFeedback(QUEUE));
    Injectable()(Feedbacks);
    const outbox = storage(options.outbox, place);
    const providers = options.feedback ? [Feedbacks] : [];
    const application = (port: number, name: string) => {
      const distributor = { name, port, outbox, maxPending: 2_000_000 };
      const module = { module: class App {}, imports: [JobReactorModule.forRoot({ distributor })], providers };
      return NestFactory.createApplicationContext(module, { logger });
    };
    const apps = [await application(place.port, 'bench')];
    for (const port of options.others ?? []) apps.push(await application(port, `bench-${port}`));
    const clients = apps.map((app) => app.get(JobReactorClient));
    const client = clients[0]!;
    let turn = 0;
    const next = (): typeof client => clients[turn++ % clients.length]!;
    const waiting = (): number =>
      apps.reduce((sum, app) => sum + app.get(JobReactorDistributor).backlog().unconfirmed, 0);
    const confirm = options.confirm ? { confirm: options.confirm } : {};
    const enqueueOptions = ({ dueAt }: NewJob): object =>
      dueAt === undefined ? confirm : { ...confirm, runAt: new Date(dueAt) };
    return {
      add: (job) => next().enqueue(QUEUE, job.args, enqueueOptions(job)),
      addBulk: (jobs) =>
        next().enqueueMany(jobs.map((job) => ({ job: QUEUE, args: job.args, options: enqueueOptions(job) }))),
      result: (args) => client.run(QUEUE, args),
      ...(options.feedback ? { feedbacks: () => ({ count, lastAt }) } : {}),
      async settled() {
        while (waiting() > 0) await new Promise((resolve) => setTimeout(resolve, 20));
      },
      async remaining() {
        return waiting() + (await client.jobs({ limit: 1 })).jobs.length;
      },
      close: () => Promise.all(apps.map((app) => app.close())),
    };
  },

  async worker(place, options, handle) {
    const { Job, JobReactorModule } = await load<typeof JobReactor>(options, 'index.js');
    class Works {
      work(args: Args): void {
        handle(args);
      }
    }
    decorate(Works.prototype, 'work', Payload(), Job(QUEUE));
    Injectable()(Works);
    let statements = 0;
    const count = (): void => void statements++;
    const kept = storage(options.node, place);
    const ports = [place.port, ...(options.others ?? [])];
    const start = async (name: string) => {
      const node = {
        name,
        distributors: ports.map((port) => ({ host: '127.0.0.1', port })),
        storage: options.countStatements ? await counting(options, kept, count) : kept,
        concurrency: CONCURRENCY,
        prefetch: 1_000,
        maxStored: 2_000_000,
      };
      const module = { module: class App {}, imports: [JobReactorModule.forRoot({ node })], providers: [Works] };
      const app = await NestFactory.createMicroservice(module, { ...JobReactorModule.transport(), logger });
      app.enableShutdownHooks();
      await app.listen();
      return app;
    };
    const apps = [await start('bench-node')];
    for (let i = 2; i <= (options.nodes ?? 1); i++) apps.push(await start(`bench-node-${i}`));
    return {
      close: () => Promise.all(apps.map((app) => app.close())),
      ...(options.countStatements ? { statements: () => statements } : {}),
    };
  },
};

type Create = (option: StorageOption, clock: unknown, hooks: { onStatement(): void }) => StorageOption;

async function counting(options: Options, kept: StorageOption, onStatement: () => void): Promise<StorageOption> {
  const { createStorage } = await load<{ createStorage: Create }>(options, 'storage/create-storage.js');
  const { systemClock } = await load<{ systemClock: unknown }>(options, 'clock.js');
  return createStorage(kept, systemClock, { onStatement });
}
