import 'reflect-metadata';
import {
  CanActivate,
  Catch,
  Injectable,
  Logger,
  Module,
  UseFilters,
  UseGuards,
  UseInterceptors,
  type ArgumentsHost,
  type CallHandler,
  type ExceptionFilter,
  type ExecutionContext,
  type NestInterceptor,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type PipeTransform,
} from '@nestjs/common';
import { appendFileSync, readFileSync } from 'node:fs';
import { isMainThread, threadId } from 'node:worker_threads';
import { Ctx, Payload } from '@nestjs/microservices';
import { map, type Observable } from 'rxjs';
import { z } from 'zod';
import {
  CancelJob,
  defineJob,
  Job,
  JobContext,
  JobReactorClient,
  JobReactorModule,
  OnError,
  Snooze,
  OnSuccess,
  UnrecoverableError,
} from '../../lib/index.js';

/*
 * The jobs of the worker thread tests, as a node and its threads have them. What happens in the main thread is told to
 * `told`; what a thread has to tell without its job's result it writes to a file.
 */
export const told: unknown[] = [];

export const where = (): string => (isMainThread ? 'main' : `thread ${threadId}`);

export const Checked = defineJob('checked', {
  thread: true,
  maxAttempts: 1,
  schema: z.object({ count: z.string().transform((text) => BigInt(text)) }),
});

@Injectable()
export class Counter {
  #count = 0;

  next(): number {
    return ++this.#count;
  }
}

@Injectable()
class Refusing implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return context.switchToRpc().getData<{ allowed?: boolean }>().allowed !== false;
  }
}

@Injectable()
class Wrapping implements NestInterceptor {
  constructor(private readonly counter: Counter) {}

  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const count = this.counter.next();
    return next.handle().pipe(map((value: object) => ({ ...value, interceptor: where(), count })));
  }
}

@Catch(RangeError)
class Rescuing implements ExceptionFilter {
  catch(error: RangeError, _host: ArgumentsHost): unknown {
    return { rescued: error.message, by: where() };
  }
}

class Doubling implements PipeTransform<number, number> {
  transform(value: number): number {
    return value * 2;
  }
}

export function spin(milliseconds: number): void {
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
}

export interface Work {
  do?: string;
  [more: string]: unknown;
}

@Injectable()
export class ThreadJobs implements OnModuleDestroy, OnApplicationShutdown {
  readonly #logger = new Logger('ThreadJobs');
  readonly #files = new Set<string>();

  constructor(private readonly client: JobReactorClient) {}

  @Job('threaded', { thread: true, backoff: 0 })
  async threaded(@Payload() args: Work, @Ctx() ctx: JobContext<unknown>): Promise<unknown> {
    if (typeof args['file'] === 'string') this.#files.add(args['file']);
    const context = ctx as JobContext;
    switch (args.do) {
      case 'spin':
        spin(args['for'] as number);
        return where();
      case 'exit':
        if (context.job.attempt === 1) process.exit(7);
        return { attempt: context.job.attempt, lastError: context.job.lastError?.code };
      case 'memory': {
        const hoard: unknown[] = [];
        for (;;) hoard.push(Array.from({ length: 10_000 }, () => Math.random()));
      }
      case 'uncaught':
        setImmediate(() => {
          throw new Error('nobody caught this');
        });
        return new Promise(() => {});
      case 'hang':
        this.#tell(args, 'started');
        return new Promise(() => {});
      case 'spin for ever':
        this.#tell(args, 'started');
        for (;;);
      case 'heed':
        this.#tell(args, 'started');
        await new Promise<void>((resolve) => context.signal.addEventListener('abort', () => resolve(), { once: true }));
        context.args['heeded'] = String(context.signal.reason.code);
        this.#tell(args, `heeded ${context.signal.reason.code}`);
        throw context.signal.reason;
      case 'wait':
        this.#tell(args, 'started');
        await new Promise((resolve) => setTimeout(resolve, args['for'] as number));
        this.#tell(args, 'done');
        return where();
      case 'meet': {
        const file = args['file'] as string;
        this.#tell(args, 'here');
        // Ends when the others are here as well: so many run at once.
        while (readFileSync(file, 'utf8').split('here').length <= (args['count'] as number)) {
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        return where();
      }
      case 'fail':
        context.args['left'] = 'by the failure';
        throw Object.assign(new TypeError('told to fail'), { code: 'E_TOLD' });
      case 'fail for good':
        throw new UnrecoverableError('no use');
      case 'cancel':
        context.args['left'] = 'by the cancel';
        throw new CancelJob('not needed');
      case 'snooze':
        if (context.job.runAt <= context.job.enqueuedAt) throw new Snooze(50);
        return { where: where(), attempt: context.job.attempt };
      case 'function':
        return () => 'not to be carried';
      case 'values':
        context.args['seen'] = [args['date'] instanceof Date, args['set'] instanceof Set];
        return {
          ...args,
          big: 2n ** 70n,
          map: new Map([[1, new Date(5)]]),
          bytes: new Uint8Array([1, 2]),
          none: undefined,
        };
      case 'enqueue': {
        const job = await this.client.enqueue('plain', { n: args['n'] });
        return { here: where(), result: await job.result(), found: (await this.client.find(job.id)) === null };
      }
      case 'enqueue badly':
        return this.client.enqueue('plain', {}, { id: 'no uuid' });
      case 'closures': {
        const heard = new Promise((resolve) => {
          void this.client.enqueue('plain', { n: 1 }, { onSuccess: ({ result }) => resolve(result) });
        });
        return heard;
      }
      case 'progress':
        context.progress({ done: 1, of: 2n });
        return undefined;
      case 'log':
        this.#logger.log('said in a thread');
        return undefined;
      default:
        context.args['by'] = where();
        return { where: where(), fence: context.fence, job: context.job };
    }
  }

  @OnSuccess('threaded')
  succeeded(@Payload() args: Work, @Ctx() ctx: JobContext): void {
    told.push({ callback: where(), args, id: ctx.job.id });
  }

  @OnError('threaded')
  failed(@Payload() args: Work, @Ctx() ctx: JobContext): void {
    told.push({ errback: where(), args, id: ctx.job.id, error: ctx.error, willRetry: ctx.willRetry });
  }

  @Job(Checked)
  checked(@Payload('count') count: bigint): unknown {
    return { count: count + 1n };
  }

  @UseGuards(Refusing)
  @UseInterceptors(Wrapping)
  @UseFilters(Rescuing)
  @Job('piped', { thread: true, maxAttempts: 1 })
  piped(@Payload('n', Doubling) n: number, @Payload('range') range: boolean): unknown {
    if (range) throw new RangeError('out of range');
    return { n, handler: where() };
  }

  @Job('plain')
  plain(@Payload() args: Work): unknown {
    return { plain: where(), n: args['n'] };
  }

  onModuleDestroy(): void {
    for (const file of this.#files) appendFileSync(file, `destroyed in ${where().replace(/ .*/, '')}\n`);
  }

  onApplicationShutdown(): void {
    for (const file of this.#files) appendFileSync(file, 'shut down\n');
  }

  #tell(args: Work, what: string): void {
    if (typeof args['file'] === 'string') appendFileSync(args['file'], `${what}\n`);
  }
}

/** What the threads boot: `forRoot` as in the main thread, of which nothing but the client is there. */
@Module({
  imports: [
    JobReactorModule.forRoot({
      node: { name: 'one', storage: 'memory', distributors: [{ host: '127.0.0.1', port: 1 }] },
    }),
  ],
  providers: [ThreadJobs, Counter],
})
export class ThreadModule {}

/** Boots the first time, not the second, and then again; the file that counts is named in the environment. */
@Module({
  imports: [ThreadModule],
  providers: [
    {
      provide: 'flaky',
      useFactory: () => {
        const file = process.env['JOB_REACTOR_TEST_BOOTS']!;
        appendFileSync(file, 'boot\n');
        if (readFileSync(file, 'utf8') === 'boot\nboot\n') throw new Error('its database is away');
        return true;
      },
    },
  ],
})
export class FlakyModule {}

@Module({ providers: [Counter] })
export class EmptyModule {}

@Module({
  providers: [
    {
      provide: 'broken',
      useFactory: () => {
        throw new Error('the module is broken');
      },
    },
  ],
})
export class BrokenModule {}
