import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { INestApplicationContext, INestMicroservice, LoggerService, ModuleMetadata } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { afterEach, type afterAll } from 'vitest';
import {
  JobReactorClient,
  JobReactorDistributor,
  JobReactorModule,
  type DatabaseOptions,
  type DistributorOptions,
  type JobReactorOptions,
  type JobsOptions,
  type NodeOptions,
} from '../../lib/index.js';
import { serverOf, type DatabaseKind } from './databases.js';
import { within } from './deadline.js';
import { Facts } from './facts.js';
import type { FromParent, FromReactor, Heard, Heed, Started } from './reactor-process.js';

export { Facts };

const RUN = join(import.meta.dirname, 'run-ts.mjs');
const PROGRAM = join(import.meta.dirname, 'reactor-process.ts');

/** The parts of a module that a test adds: handlers in `controllers` or `providers`, and whatever they need. */
type Parts = Pick<ModuleMetadata, 'controllers' | 'providers' | 'imports'> & {
  jobs?: JobsOptions;
  /** Default: silent. */
  logger?: LoggerService | false;
  /** Between creation and start: global pipes, guards, shutdown hooks. */
  configure?: (app: INestApplicationContext) => void;
};
export type ApplicationParts = Partial<DistributorOptions> & Parts;
export type NodeParts = Omit<Partial<NodeOptions>, 'distributors'> &
  Parts & {
    /** The applications whose distributors it connects to; `node()` waits until it has joined each. */
    to?: Joinable | Joinable[];
    /** A distributor of its own in the same process. */
    distributor?: Partial<DistributorOptions>;
  };

/** What a node can connect to: an application of this process or a process of its own. */
export interface Joinable {
  readonly port: number;
  /** Absent where this process can't see it join. */
  readonly distributor?: JobReactorDistributor;
}

export interface Application extends Joinable {
  app: INestApplicationContext;
  client: JobReactorClient;
  distributor: JobReactorDistributor;
  port: number;
  close(): Promise<void>;
}

export interface RunningNode {
  app: INestMicroservice;
  client: JobReactorClient;
  /** Only with a distributor of its own. */
  distributor: JobReactorDistributor;
  port: number;
  close(): Promise<void>;
}

/** A process of its own that runs `reactor-process.ts`: see there for the jobs it has. */
export interface ReactorProcess extends Joinable {
  child: ChildProcess;
  /** Resolves when it has ended, whatever the reason. */
  exit: Promise<void>;
  /** The next start of a job that fits, counting those already told and not yet taken. */
  started(fits?: (started: Started) => boolean): Promise<Started>;
  /** All starts told so far. */
  starts: readonly Started[];
  /** Lets a job that waits return this. */
  finish(id: string, result?: unknown): void;
  enqueue(name: string, args: unknown, options?: Record<string, unknown>): Promise<string>;
  /** What `result()` of a job it enqueued came to. */
  result(id: string): Promise<{ result?: unknown; error?: string }>;
  /** Calls of its declared methods, all so far. */
  heard: readonly Heard[];
  /** The next one, counting those already told and not yet taken. */
  hears(fits?: (heard: Heard) => boolean): Promise<Heard>;
  /** From now on its declared methods do this. */
  heed(what: Heed): void;
  /** What its client answers. */
  ask(method: Extract<FromParent, { ask: number }>['method'], about?: unknown): Promise<unknown>;
  kill(signal: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/**
 * Call at the top of a test file, or of a `describe`: everything started through it is closed after each test, the last
 * one first; with `afterAll` after the last test.
 */
export function reactors(after: typeof afterEach | typeof afterAll = afterEach) {
  const open: (() => Promise<unknown>)[] = [];
  after(async () => {
    for (const close of open.splice(0).reverse()) await close();
  });

  const closes = (close: () => Promise<unknown>): (() => Promise<void>) => {
    let closed: Promise<unknown> | undefined;
    const once = async (): Promise<void> => void (await (closed ??= close()));
    open.push(once);
    return once;
  };

  return {
    /** A temporary folder, removed after the test. */
    async folder(): Promise<string> {
      const path = await mkdtemp(join(tmpdir(), 'job-reactor-'));
      open.push(() => rm(path, { recursive: true, force: true }));
      return path;
    },

    /** Options for a database that nobody else uses, removed after the test. */
    async database(kind: DatabaseKind): Promise<DatabaseOptions> {
      if (kind === 'SQLite') return { type: 'sqlite', database: join(await this.folder(), 'jobs.sqlite') };
      const { storage, drop } = serverOf(kind).make();
      open.push(drop);
      return storage;
    },

    /** An application with a distributor on a free port. */
    async application(given: ApplicationParts = {}): Promise<Application> {
      const { parts, rest } = split(given);
      const module = rootModule({ distributor: { name: 'web', port: 0, ...rest } }, parts);
      const app = await NestFactory.createApplicationContext(module, {
        logger: parts.logger ?? false,
        abortOnError: false,
      });
      const close = closes(() => app.close());
      parts.configure?.(app);
      await app.init();
      const distributor = app.get(JobReactorDistributor);
      const { port } = await within(distributor.address(), 'listening');
      return { app, client: app.get(JobReactorClient), distributor, port, close };
    },

    /** A working node, once it has joined every application of `to`. */
    async node(given: NodeParts = {}): Promise<RunningNode> {
      const { parts, rest } = split(given);
      const { to = [], distributor: own, ...settings } = rest;
      const applications = [to].flat();
      const node: NodeOptions = { name: 'one', storage: 'memory', ...settings };
      if (applications.length > 0) {
        node.distributors = applications.map(({ port }) => ({ host: '127.0.0.1', port }));
      }
      const options: JobReactorOptions = { node, ...(own ? { distributor: { name: 'own', port: 0, ...own } } : {}) };
      const joining = applications.map((application) => joined(application, node.name));
      // A node that can not start never joins, and nobody waits for it then.
      for (const one of joining) one.catch(() => undefined);
      const app = await NestFactory.createMicroservice(rootModule(options, parts), {
        ...JobReactorModule.transport(),
        logger: parts.logger ?? false,
        abortOnError: false,
      });
      const close = closes(() => app.close());
      parts.configure?.(app);
      await app.listen();
      await Promise.all(joining);
      for (const application of applications) await grants(application);
      const distributor = own ? app.get(JobReactorDistributor) : (undefined as unknown as JobReactorDistributor);
      const port = own ? (await within(distributor.address(), 'listening')).port : 0;
      if (own && !distributor.nodes().length) await joined({ port, distributor }, node.name);
      return { app, client: app.get(JobReactorClient), distributor, port, close };
    },

    /**
     * The same roles in a process of their own, with the jobs of `reactor-process.ts`, and declared feedback methods that
     * do what `declared` says; ready when this resolves.
     */
    async process(options: JobReactorOptions, joins: Joinable[] = [], declared?: Heed): Promise<ReactorProcess> {
      const joining = options.node ? joins.map((application) => joined(application, options.node!.name, 60_000)) : [];
      const child = fork(RUN, [PROGRAM, JSON.stringify(options), ...(declared ? [declared] : [])], { execArgv: [] });
      const kill: ReactorProcess['kill'] = async (signal) => {
        if (child.exitCode !== null || child.signalCode !== null)
          return { code: child.exitCode, signal: child.signalCode };
        const exit = once(child, 'exit');
        child.kill(signal);
        const [code, by] = await within(exit, `the end of the process after ${signal}`, 60_000);
        return { code, signal: by };
      };
      open.push(() => kill('SIGKILL'));
      const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      const said = inbox(child);
      const ready = (await said.next((message) => 'ready' in message)) as { ready: number };
      await Promise.all(joining);
      const send = (message: FromParent): void => void child.send(message, () => undefined);
      let requests = 0;
      return {
        child,
        exit,
        port: ready.ready,
        kill,
        get starts() {
          return said.all.flatMap((message) => ('started' in message ? [message.started] : []));
        },
        async started(fits = () => true) {
          const message = await said.next((message) => 'started' in message && fits(message.started));
          return (message as { started: Started }).started;
        },
        get heard() {
          return said.all.flatMap((message) => ('heard' in message ? [message.heard] : []));
        },
        async hears(fits = () => true) {
          const message = await said.next((message) => 'heard' in message && fits(message.heard));
          return (message as { heard: Heard }).heard;
        },
        heed: (what) => send({ heed: what }),
        async ask(method, about = {}) {
          const request = ++requests;
          send({ ask: request, method, about });
          const message = await said.next((message) => 'answered' in message && message.answered === request);
          const { value, error } = message as { value?: unknown; error?: string };
          if (error !== undefined) throw new Error(error);
          return value;
        },
        finish: (id, result) => send({ finish: id, result }),
        async enqueue(name, args, jobOptions = {}) {
          const request = ++requests;
          send({ enqueue: request, name, args, options: jobOptions });
          const message = await said.next((message) => 'enqueued' in message && message.enqueued === request);
          const { id, error } = message as { id: string; error?: string };
          if (error !== undefined) throw new Error(error);
          return id;
        },
        async result(id) {
          send({ resultOf: id });
          return (await said.next((message) => 'ended' in message && message.ended === id)) as { result?: unknown };
        },
      };
    },
  };
}

/** Resolves when a node of this name has joined from now on. */
export async function joined({ distributor }: Joinable, name: string, milliseconds = 30_000): Promise<void> {
  if (!distributor) return;
  const joining = new Promise<void>((resolve) => {
    const listener = ({ node }: { node: { name: string } }): void => {
      if (node.name !== name) return;
      distributor.off('node joined', listener);
      resolve();
    };
    distributor.on('node joined', listener);
  });
  await within(joining, `node ${name} joining`, milliseconds);
}

/** A node says what it takes right after it joined; one that is full of recovered jobs says nothing. */
async function grants({ distributor }: Joinable): Promise<void> {
  if (!distributor) return;
  const granted = (): boolean => distributor.nodes().every(({ freeSlots }) => freeSlots > 0);
  await eventually('every node has free slots', granted, 200).catch(() => undefined);
}

/** Waits for a state that no event tells of. Where there is an event, wait for it with `within`. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  milliseconds = 30_000,
): Promise<void> {
  const deadline = performance.now() + milliseconds;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${milliseconds} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function inbox(child: ChildProcess): Facts<FromReactor> {
  const facts = new Facts<FromReactor>();
  child.on('message', (message: FromReactor) => facts.tell(message));
  child.on('exit', (code) => facts.tell({ exited: code }));
  return facts;
}

function split<T extends Parts>(given: T): { parts: Parts; rest: Omit<T, keyof Parts> } {
  const { controllers, providers, imports, jobs, logger, configure, ...rest } = given;
  return { parts: { controllers, providers, imports, jobs, logger, configure }, rest };
}

function rootModule(options: JobReactorOptions, { jobs, controllers = [], providers = [], imports = [] }: Parts) {
  class Root {}
  return {
    module: Root,
    imports: [JobReactorModule.forRoot(jobs ? { ...options, jobs } : options), ...imports],
    controllers,
    providers,
  };
}
