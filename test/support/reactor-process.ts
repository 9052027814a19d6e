import 'reflect-metadata';
import { existsSync } from 'node:fs';
import { Injectable } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import {
  type Feedback,
  Job,
  JobContext,
  JobReactorClient,
  JobReactorDistributor,
  JobReactorModule,
  OnErrorFeedback,
  OnSuccessFeedback,
  type JobHandle,
  type JobReactorOptions,
  type ScheduleOptions,
  Snooze,
} from '../../lib/index.js';
import { smallWindow } from './small-window.js';

/*
 * With a second argument, how it takes feedbacks, it has declared methods for those of `work` as well.
 *
 * A process with the roles its first argument describes (JSON of JobReactorOptions), and one job, `work`, that tells the
 * parent of each start and then does what `args.do` says. SIGTERM drains it, as `enableShutdownHooks` promises.
 */
export interface Started {
  id: string;
  name: string;
  attempt: number;
  run: number;
  runAt: number;
  at: number;
  lastError: string | null;
  args: Work;
}

export interface Work {
  /**
   * `return` (default): at once. `wait`: until the parent says `finish`. `hang`: never. `fail`: throws.
   * `fail-once`: throws in the first attempt. `count`: adds 1 to `args.count` and returns it. `nap`: returns after
   * `args.for` milliseconds. `exit`: kills the process at once; the others of `KILLS` do it after `args.for`.
   */
  do?: 'return' | 'wait' | 'hang' | 'fail' | 'fail-once' | 'count' | 'nap' | 'snooze' | 'block' | 'exit' | Kill;
  for?: number;
  result?: unknown;
  count?: number;
  [more: string]: unknown;
}

export type Kill = 'process.exit' | 'process.abort' | 'out of memory' | 'unhandledRejection' | 'uncaughtException';

/** A declared method was called. */
export interface Heard {
  /** Of the feedback. */
  id: string;
  status: string;
  result: unknown;
  at: number;
}

/** What a declared method does then. */
export type Heed = 'return' | 'throw';

export type FromReactor =
  | { ready: number }
  | { started: Started }
  | { returned: string }
  | { enqueued: number; id: string; error?: string }
  | { ended: string; result?: unknown; error?: string }
  | { heard: Heard }
  | { answered: number; value?: unknown; error?: string }
  | { exited: number | null };
export type FromParent =
  | { finish: string; result?: unknown }
  | { enqueue: number; name: string; args: unknown; options: Record<string, unknown> }
  | { resultOf: string }
  | { heed: Heed }
  | { ask: number; method: 'parked' | 'redeliver' | 'drop' | 'schedule'; about: unknown };

const KILLS: Record<Kill, () => unknown> = {
  'process.exit': () => process.exit(7),
  'process.abort': () => process.abort(),
  'out of memory': () => {
    for (const hog: unknown[] = []; ;) hog.push(Array.from({ length: 100_000 }, (_, at) => ({ at })));
  },
  unhandledRejection: () => new Promise(() => void Promise.reject(new Error('nobody handles this'))),
  uncaughtException: () =>
    new Promise(() => {
      setTimeout(() => {
        throw new Error('nobody catches this');
      });
    }),
};

const sleep = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));
const finishing = new Map<string, (result: unknown) => void>();
/** Resolves when it has left this process. */
const tell = (message: FromReactor): Promise<void> =>
  new Promise((resolve) => {
    if (process.connected) process.send?.(message, undefined, undefined, () => resolve());
    else resolve();
  });

@Injectable()
class Works {
  /** One at a time over all nodes that share a database; the rest is as with `work`. */
  @Job('single', { globalConcurrency: 1 })
  single(@Payload() args: Work, @Ctx() ctx: JobContext): Promise<unknown> {
    return this.work(args, ctx);
  }

  @Job('work')
  async work(@Payload() args: Work, @Ctx() ctx: JobContext): Promise<unknown> {
    const { id, name, attempt, run, runAt } = ctx.job;
    const lastError = ctx.job.lastError?.message ?? null;
    const finish = new Promise((resolve) => finishing.set(id, resolve));
    const told = tell({ started: { id, name, attempt, run, runAt, at: Date.now(), lastError, args } });
    switch (args.do) {
      case 'snooze':
        // Once: what is due later than it was enqueued for has been snoozed.
        if (runAt - ctx.job.enqueuedAt < (args.for ?? 0)) throw new Snooze(args.for ?? 0);
        return 'awake';
      case 'wait':
        return finish;
      case 'hang':
        return new Promise(() => {});
      case 'exit':
        return process.kill(process.pid, 'SIGKILL');
      case 'nap':
        await sleep(args.for ?? 0);
        tell({ returned: id });
        return args.result;
      case 'process.exit':
      case 'process.abort':
      case 'out of memory':
      case 'unhandledRejection':
      case 'uncaughtException':
        await sleep(args.for ?? 0);
        return KILLS[args.do]();
      case 'block':
        await told;
        for (const end = Date.now() + 60_000; Date.now() < end && !existsSync(String(args['until'])););
        return args.result;
      case 'fail':
        throw new Error('told to fail');
      case 'fail-once':
        if (attempt === 1) throw new Error('told to fail once');
        return args.result;
      case 'count':
        return (ctx.args['count'] = (args.count ?? 0) + 1);
      default:
        return args.result;
    }
  }
}

/** Silent, unless whoever started it reads its log. */
const logging = process.env['REACTOR_LOG'] === undefined ? { logger: false as const } : {};

let heed: Heed = 'return';

@Injectable()
class Hears {
  @OnSuccessFeedback('work')
  @OnErrorFeedback('work')
  hear({ id, status, result }: Feedback): void {
    tell({ heard: { id, status, result, at: Date.now() } });
    if (heed === 'throw') throw new Error('told to throw');
  }
}

async function main(options: JobReactorOptions, declared?: Heed): Promise<void> {
  const providers = [...(options.node ? [Works] : []), ...(declared ? [Hears] : [])];
  heed = declared ?? 'return';
  class Root {}
  const window = process.env['REACTOR_WINDOW'];
  const small = window === undefined ? [] : [smallWindow(Number(window))];
  const module = { module: Root, imports: [JobReactorModule.forRoot(options), ...small], providers };
  let client: JobReactorClient;
  let port = 0;
  if (options.node) {
    const app = await NestFactory.createMicroservice(module, { ...JobReactorModule.transport(), ...logging });
    app.enableShutdownHooks();
    await app.listen();
    client = app.get(JobReactorClient);
    if (options.distributor) ({ port } = await app.get(JobReactorDistributor).address());
  } else {
    const app = await NestFactory.createApplicationContext(module, logging);
    app.enableShutdownHooks();
    client = app.get(JobReactorClient);
    ({ port } = await app.get(JobReactorDistributor).address());
  }
  const handles = new Map<string, JobHandle>();
  process.on('message', (message: FromParent) => {
    if ('finish' in message) return finishing.get(message.finish)?.(message.result);
    if ('resultOf' in message) {
      return void handles
        .get(message.resultOf)!
        .result()
        .then(
          (result) => tell({ ended: message.resultOf, result }),
          (error: Error) => tell({ ended: message.resultOf, error: error.message }),
        );
    }
    if ('heed' in message) return void (heed = message.heed);
    if ('ask' in message) {
      const answered = message.ask;
      const ask = (method: typeof message.method): Promise<unknown> => {
        if (method !== 'schedule') return client.feedbacks[method](message.about as never);
        const { name, args, options } = message.about as { name: string; args: unknown; options: ScheduleOptions };
        return client.schedule(name, args, options);
      };
      return void ask(message.method).then(
        (value) => tell({ answered, value }),
        (error: Error) => tell({ answered, error: error.message }),
      );
    }
    return void client.enqueue(message.name, message.args, message.options).then(
      (handle) => {
        handles.set(handle.id, handle);
        tell({ enqueued: message.enqueue, id: handle.id });
      },
      (error: Error) => tell({ enqueued: message.enqueue, id: '', error: error.message }),
    );
  });
  process.on('disconnect', () => process.exit(3)); // the parent died: nobody is left to stop this process
  tell({ ready: port });
}

await main(JSON.parse(process.argv[2] ?? '{}') as JobReactorOptions, process.argv[3] as Heed | undefined);
