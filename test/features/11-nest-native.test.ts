import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import {
  BadRequestException,
  Catch,
  Controller,
  Global,
  Inject,
  Injectable,
  Module,
  Scope,
  SetMetadata,
  UseFilters,
  UseGuards,
  UseInterceptors,
  UsePipes,
  ValidationPipe,
  type ArgumentMetadata,
  type CallHandler,
  type CanActivate,
  type ExceptionFilter,
  type ExecutionContext,
  type INestApplicationContext,
  type INestMicroservice,
  type NestInterceptor,
  type OnModuleDestroy,
  type PipeTransform,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE, NestFactory, Reflector, REQUEST } from '@nestjs/core';
import { Ctx, MessagePattern, Payload } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { Type } from 'class-transformer';
import { IsInt, IsString, Max, ValidateNested } from 'class-validator';
import { map, type Observable, tap } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  defineJob,
  InjectJobReactor,
  Job,
  JobContext,
  JobFailed,
  JobReactorClient,
  JobReactorDistributor,
  JobReactorModule,
  OnError,
  OnSuccess,
  OnSuccessFeedback,
  UnrecoverableError,
  type ArgsOf,
  type Feedback,
  type JobReactorOptions,
  type JobReactorOptionsFactory,
} from '../../lib/index.js';
import type { Step } from '../support/drain-process.js';
import { within } from '../support/deadline.js';
import { Facts, joined, reactors, type NodeParts } from '../support/reactor.js';

const system = reactors();

async function start(node: Omit<NodeParts, 'to'>) {
  const web = await system.application({ jobs: { maxAttempts: 1 } });
  await system.node({ ...node, to: web });
  return web;
}

const failure = async (run: Promise<unknown>): Promise<JobFailed['error']> => {
  const error = await run.then(
    () => new Error('it succeeded'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof JobFailed)) throw error;
  return error.error;
};

describe('guards', () => {
  @Injectable()
  class TenantGuard implements CanActivate {
    canActivate(context: ExecutionContext): boolean {
      const { tenant } = context.switchToRpc().getData<{ tenant: string }>();
      const job = context.switchToRpc().getContext<JobContext>();
      return context.getType() === 'rpc' && tenant === 'good' && job.job.name === 'guarded';
    }
  }

  it('let a job through or fail its attempt; its errbacks run', async () => {
    const errors: unknown[] = [];
    @Controller()
    class Guarded {
      @UseGuards(TenantGuard) @Job('guarded') run(): string {
        return 'in';
      }
      @OnError('guarded') failed(@Ctx() ctx: JobContext): void {
        errors.push((ctx.error as Error).name);
      }
    }
    const { client } = await start({ controllers: [Guarded] });
    expect(await client.run('guarded', { tenant: 'good' })).toBe('in');
    expect(errors).toEqual([]);
    expect(await failure(client.run('guarded', { tenant: 'bad' }))).toMatchObject({
      name: 'ForbiddenException',
      message: 'Forbidden resource',
    });
    expect(errors).toEqual(['ForbiddenException']);
  });

  it('of a class hold for its callbacks too, read metadata of the handler, and have dependencies injected', async () => {
    @Injectable()
    class Roles {
      readonly allowed = ['admin'];
    }
    @Injectable()
    class RolesGuard implements CanActivate {
      constructor(
        @Inject(Reflector) private readonly reflector: Reflector,
        @Inject(Roles) private readonly roles: Roles,
      ) {}
      canActivate(context: ExecutionContext): boolean {
        const role = this.reflector.getAllAndOverride<string>('role', [context.getHandler(), context.getClass()]);
        return this.roles.allowed.includes(role);
      }
    }
    const ran: string[] = [];
    @Injectable()
    @UseGuards(RolesGuard)
    @SetMetadata('role', 'admin')
    class Administration {
      @Job('open') open(): void {
        ran.push('job');
      }
      @SetMetadata('role', 'guest') @OnSuccess('open') closed(): void {
        ran.push('callback');
      }
    }
    const { client } = await start({ providers: [Administration, Roles] });
    expect(await failure(client.run('open', {}))).toMatchObject({ name: 'ForbiddenException' });
    expect(ran).toEqual(['job']);
  });
});

describe('pipes', () => {
  class Size {
    @IsInt() @Max(5000) width!: number;
  }
  class ResizeDto {
    @IsString() path!: string;
    @ValidateNested() @Type(() => Size) size!: Size;
  }

  it('ValidationPipe checks and transforms the payload into its DTO', async () => {
    const seen: unknown[] = [];
    @Controller()
    class Pictures {
      @Job('resize')
      @UsePipes(new ValidationPipe({ transform: true, whitelist: true }))
      resize(@Payload() dto: ResizeDto, @Ctx() ctx: JobContext): number {
        seen.push(dto, ctx.args);
        return dto.size.width;
      }
    }
    const { client } = await start({ controllers: [Pictures] });
    expect(await client.run('resize', { path: 'a.png', size: { width: 640 }, extra: 1 })).toBe(640);
    expect(seen[0]).toBeInstanceOf(ResizeDto);
    expect((seen[0] as ResizeDto).size).toBeInstanceOf(Size);
    expect(seen[0]).not.toHaveProperty('extra');
    expect(seen[1]).toEqual({ path: 'a.png', size: { width: 640 }, extra: 1 });
    const error = await failure(client.run('resize', { path: 'a.png', size: { width: 9000 } }));
    expect(error.name).toBe('BadRequestException');
    expect(seen).toHaveLength(2);
  });

  it('Standard Schema: a definition with a zod schema is checked in enqueue() and transformed on the node', async () => {
    const Import = defineJob('import', {
      schema: z.object({ rows: z.string().transform(Number), tag: z.string().default('none') }),
    });
    const seen: unknown[] = [];
    @Injectable()
    class Imports {
      @Job(Import) import(@Payload() args: ArgsOf<typeof Import>): number {
        seen.push(args);
        return args.rows + 1;
      }
    }
    const { client } = await start({ providers: [Imports] });
    expect(await client.run(Import, { rows: '41' })).toBe(42);
    expect(seen).toEqual([{ rows: 41, tag: 'none' }]);
    const wrong = client.enqueue(Import, { rows: 41 } as never);
    await expect(wrong).rejects.toMatchObject({ code: 'ARGS_INVALID' });
    await expect(wrong).rejects.toThrow(/^Job import does not take these args: rows: .*string/);
    // Whoever enqueues by the plain name gets past enqueue(), not past the node; more attempts would not help.
    const error = await client.run('import', { rows: 41 }, { maxAttempts: 5 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ attempts: 1, error: { name: 'UnrecoverableError' } });
    expect((error as JobFailed).error.message).toMatch(/^The schema of job import refuses its args: .*string/);
    expect(seen).toHaveLength(1);
  });

  it("@Payload('field') takes one field, through pipes of its own; @Ctx() is the context; both in any order", async () => {
    const double: PipeTransform<number> = { transform: (value: number, _m: ArgumentMetadata) => value * 2 };
    @Controller()
    class Fields {
      @Job('fields')
      fields(
        @Ctx() ctx: JobContext,
        @Payload('width', double) width: number,
        @Payload('path') path: string,
        @Payload() all: unknown,
      ): unknown {
        return { isContext: ctx instanceof JobContext, width, path, all, id: ctx.job.id };
      }
    }
    const { client } = await start({ controllers: [Fields] });
    const job = await client.enqueue('fields', { path: 'a', width: 4 });
    expect(await job.result()).toEqual({
      isContext: true,
      width: 8,
      path: 'a',
      all: { path: 'a', width: 4 },
      id: job.id,
    });
  });
});

describe('interceptors', () => {
  it('wrap the job, in order, and may change its result, its error, and the context', async () => {
    const steps: string[] = [];
    const around = (name: string): NestInterceptor => ({
      intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
        steps.push(`${name} before ${context.getClass().name}.${context.getHandler().name}`);
        context.switchToRpc().getContext<JobContext>().args[name] = true;
        return next.handle().pipe(
          map((value: unknown) => `${name}(${String(value)})`),
          tap({ error: () => steps.push(`${name} saw the error`), complete: () => steps.push(`${name} after`) }),
        );
      },
    });
    @Injectable()
    @UseInterceptors(around('outer'))
    class Timed {
      @UseInterceptors(around('inner')) @Job('timed') run(@Payload('fail') fail: boolean): string {
        steps.push('job');
        if (fail) throw new Error('no');
        return 'result';
      }
    }
    const { client } = await start({ providers: [Timed] });
    const told = new Facts<Feedback>();
    const job = await client.enqueue('timed', { fail: false }, { onSuccess: told.tell });
    expect(await job.result()).toBe('outer(inner(result))');
    expect(steps.splice(0)).toEqual([
      'outer before Timed.run',
      'inner before Timed.run',
      'job',
      'inner after',
      'outer after',
    ]);
    expect((await told.next()).args).toEqual({ fail: false, outer: true, inner: true });
    expect(await failure(client.run('timed', { fail: true }))).toMatchObject({ message: 'no' });
    expect(steps.slice(3)).toEqual(['inner saw the error', 'outer saw the error']);
  });
});

describe('exception filters', () => {
  class Declined extends Error {}

  it('may answer with a result, translate the exception, or look on; the original error is never masked', async () => {
    const seen: string[] = [];
    @Catch(Declined)
    class Answers implements ExceptionFilter {
      catch(): string {
        return 'an answer';
      }
    }
    @Catch(Declined)
    class Translates implements ExceptionFilter {
      catch(exception: Declined): never {
        throw new UnrecoverableError(`translated: ${exception.message}`);
      }
    }
    @Catch()
    class LooksOn implements ExceptionFilter {
      catch(exception: Error): void {
        seen.push(exception.message);
      }
    }
    const declined = (): never => {
      throw new Declined('declined');
    };
    @Controller()
    class Payments {
      @UseFilters(Answers) @Job('answers') answers(): void {
        declined();
      }
      @UseFilters(Translates) @Job('translates') translates(): void {
        declined();
      }
      @UseFilters(LooksOn) @Job('looks on') looksOn(): void {
        declined();
      }
      @UseFilters(Answers) @Job('another') another(): void {
        throw new BadRequestException('not of this kind');
      }
    }
    const { client } = await start({ controllers: [Payments] });
    expect(await client.run('answers', {})).toBe('an answer');
    expect(await failure(client.run('translates', {}))).toMatchObject({ message: 'translated: declined' });
    expect(await failure(client.run('looks on', {}))).toMatchObject({ message: 'declined' });
    expect(seen).toEqual(['declined']);
    expect(await failure(client.run('another', {}))).toMatchObject({
      name: 'BadRequestException',
      message: 'not of this kind',
    });
  });
});

describe('what is global in the application', () => {
  const trail: string[] = [];
  @Injectable()
  class GlobalGuard implements CanActivate {
    canActivate(): boolean {
      trail.push('guard');
      return true;
    }
  }
  @Injectable()
  class GlobalInterceptor implements NestInterceptor {
    intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
      trail.push('interceptor');
      return next.handle();
    }
  }
  @Injectable()
  class GlobalPipe implements PipeTransform {
    transform(value: unknown, { type }: ArgumentMetadata): unknown {
      if (type === 'body') trail.push('pipe');
      return value;
    }
  }
  @Catch()
  class GlobalFilter implements ExceptionFilter {
    catch(): string {
      trail.push('filter');
      return 'filtered';
    }
  }
  @Injectable()
  class Failing {
    @Job('failing') run(@Payload() _args: unknown): void {
      throw new Error('no');
    }
  }
  const expected = ['guard', 'interceptor', 'pipe', 'filter'];

  it('holds for jobs when provided as APP_GUARD, APP_INTERCEPTOR, APP_PIPE, APP_FILTER', async () => {
    trail.length = 0;
    const { client } = await start({
      providers: [
        Failing,
        { provide: APP_GUARD, useClass: GlobalGuard },
        { provide: APP_INTERCEPTOR, useClass: GlobalInterceptor },
        { provide: APP_PIPE, useClass: GlobalPipe },
        { provide: APP_FILTER, useClass: GlobalFilter },
      ],
    });
    expect(await client.run('failing', {})).toBe('filtered');
    expect(trail).toEqual(expected);
  });

  it('holds for jobs when set by app.useGlobalGuards() and the like before listen()', async () => {
    trail.length = 0;
    const { client } = await start({
      providers: [Failing],
      configure: (app: INestApplicationContext) =>
        void (app as INestMicroservice)
          .useGlobalGuards(new GlobalGuard())
          .useGlobalInterceptors(new GlobalInterceptor())
          .useGlobalPipes(new GlobalPipe())
          .useGlobalFilters(new GlobalFilter()),
    });
    expect(await client.run('failing', {})).toBe('filtered');
    expect(trail).toEqual(expected);
  });
});

describe('request scope', () => {
  it('an attempt has instances of its own, which its callbacks share and which get the context as REQUEST', async () => {
    let made = 0;
    @Injectable({ scope: Scope.REQUEST })
    class PerAttempt {
      readonly number = ++made;
      constructor(@Inject(REQUEST) readonly context: JobContext) {}
    }
    @Injectable()
    class Scoped {
      readonly seen: unknown[] = [];
      constructor(@Inject(PerAttempt) private readonly own: PerAttempt) {}
      @Job('scoped', { maxAttempts: 2, backoff: 0 }) run(@Ctx() ctx: JobContext): unknown {
        this.seen.push('job');
        if (ctx.job.attempt === 1) throw new Error('again');
        return [this.own.number, this.own.context === ctx];
      }
      @OnSuccess('scoped') callback(@Ctx() ctx: JobContext): void {
        this.seen.push('callback');
        ctx.args['callback'] = [this.own.number, this.own.context === ctx, this.seen];
      }
    }
    const { client } = await start({ providers: [Scoped, PerAttempt] });
    const told = new Facts<Feedback>();
    const job = await client.enqueue('scoped', {}, { onSuccess: told.tell });
    expect(await job.result()).toEqual([2, true]);
    expect((await told.next()).args).toEqual({ callback: [2, true, ['job', 'callback']] });
    expect(await client.run('scoped', {})).toEqual([4, true]);
    expect(made).toBe(4);
  });
});

it('controllers and plain providers have handlers side by side, in modules deep down, callbacks apart from the job', async () => {
  const steps: string[] = [];
  @Injectable()
  class Helper {
    readonly name = 'helper';
  }
  @Controller()
  class Controls {
    constructor(@Inject(Helper) private readonly helper: Helper) {}
    @Job('mixed') run(): string {
      return this.helper.name;
    }
  }
  @Injectable()
  class Provides {
    @OnSuccess('mixed') callback(): void {
      steps.push('callback of a provider');
    }
    @Job('provided') run(): string {
      return 'provided';
    }
  }
  @Module({ providers: [Provides] })
  class Inner {}
  @Module({ imports: [Inner], controllers: [Controls], providers: [Helper] })
  class Outer {}
  const { client } = await start({ imports: [Outer] });
  expect(await client.run('mixed', {})).toBe('helper');
  expect(await client.run('provided', {})).toBe('provided');
  expect(steps).toEqual(['callback of a provider']);
});

describe('forRootAsync', () => {
  @Injectable()
  class Config {
    readonly name = 'configured';
  }
  @Global()
  @Module({ providers: [Config], exports: [Config] })
  class ConfigModule {}
  @Injectable()
  class FromClass implements JobReactorOptionsFactory {
    constructor(@Inject(Config) private readonly config: Config) {}
    createJobReactorOptions(): Promise<JobReactorOptions> {
      return Promise.resolve({ distributor: { name: this.config.name, port: 0 } });
    }
  }
  @Module({ imports: [ConfigModule], providers: [FromClass], exports: [FromClass] })
  class FactoryModule {}

  const ways = {
    useFactory: JobReactorModule.forRootAsync({
      imports: [ConfigModule],
      inject: [Config],
      useFactory: async (config: Config) => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        return { distributor: { name: config.name, port: 0 } };
      },
    }),
    useClass: JobReactorModule.forRootAsync({ imports: [ConfigModule], useClass: FromClass }),
    useExisting: JobReactorModule.forRootAsync({ imports: [FactoryModule], useExisting: FromClass }),
  };

  for (const [way, module] of Object.entries(ways)) {
    it(`takes ${way} in the application, and a node that takes its own options the same way runs its jobs`, async () => {
      @Injectable()
      class Works {
        @Job('where') where(@Ctx() ctx: JobContext): string[] {
          return [ctx.job.distributor, ctx.job.node];
        }
      }
      const app = await NestFactory.createApplicationContext(
        { module: class Application {}, imports: [module] },
        { logger: false, abortOnError: false },
      );
      const distributor = app.get(JobReactorDistributor);
      const { port } = await within(distributor.address(), 'listening');
      const options: JobReactorOptions = {
        node: { name: 'one', storage: 'memory', distributors: [{ host: '127.0.0.1', port }] },
      };
      const worker = {
        module: class Worker {},
        imports: [JobReactorModule.forRootAsync({ useFactory: () => options })],
        providers: [Works],
      };
      const node = await NestFactory.createMicroservice(worker, { ...JobReactorModule.transport(), logger: false });
      try {
        await node.listen();
        expect(await app.get(JobReactorClient).run('where', {})).toEqual(['configured', 'one']);
      } finally {
        await node.close();
        await app.close();
      }
    });
  }

  it('refuses what no factory gives, and bad options of a factory at start', async () => {
    expect(() => JobReactorModule.forRootAsync({})).toThrow(
      'forRootAsync() needs useFactory, useClass or useExisting.',
    );
    const bad = JobReactorModule.forRootAsync({
      useFactory: () => ({ distributor: { name: 'web', prot: 0 } }) as unknown as JobReactorOptions,
    });
    const starting = NestFactory.createApplicationContext(
      { module: class Bad {}, imports: [bad] },
      { logger: false, abortOnError: false },
    );
    await expect(starting).rejects.toThrow('There is no option `distributor.prot`: did you mean `distributor.port`?');
  });
});

describe('forRoot', () => {
  it('is global: the client is injected in any module, without importing anything', async () => {
    @Injectable()
    class Service {
      constructor(readonly client: JobReactorClient) {}
    }
    @Module({ providers: [Service] })
    class Deep {}
    const { app, client } = await system.application({ imports: [Deep] });
    expect(app.get(Service, { strict: false }).client).toBe(client);
  });

  it('with both roles in a hybrid HTTP application serves HTTP, and its jobs run on its own node', async () => {
    @Controller()
    class Jobs {
      @Job('local') local(@Payload('n') n: number): number {
        return n * 2;
      }
      @MessagePattern('unrelated') unrelated(): string {
        return 'a message handler of another transport does no harm';
      }
    }
    const both = JobReactorModule.forRoot({
      distributor: { name: 'web', port: 0 },
      node: { name: 'one', storage: 'memory' },
    });
    const app = await NestFactory.create(
      { module: class Hybrid {}, imports: [both], controllers: [Jobs] },
      { logger: false, abortOnError: false },
    );
    app.connectMicroservice(JobReactorModule.transport());
    try {
      await app.startAllMicroservices();
      await app.listen(0);
      expect((await fetch(await app.getUrl())).status).toBe(404);
      expect(await within(app.get(JobReactorClient).run('local', { n: 21 }), 'the job')).toBe(42);
    } finally {
      await app.close();
    }
  });

  it('several times in one process needs names; each client goes to its own distributor', async () => {
    const ran: string[] = [];
    @Injectable()
    class Service {
      constructor(
        @InjectJobReactor('first') readonly first: JobReactorClient,
        @InjectJobReactor('second') readonly second: JobReactorClient,
      ) {}
      @Job('named') named(@Ctx() ctx: JobContext): string {
        ran.push(ctx.job.node);
        return `${ctx.job.distributor} ${ctx.job.node}`;
      }
    }
    const role = (name: string): JobReactorOptions => ({
      name,
      distributor: { name: `${name} distributor`, port: 0 },
      node: { name: `${name} node`, storage: 'memory' },
    });
    const app = await NestFactory.create(
      {
        module: class Both {},
        imports: [JobReactorModule.forRoot(role('first')), JobReactorModule.forRoot(role('second'))],
        providers: [Service],
      },
      { logger: false, abortOnError: false },
    );
    app.connectMicroservice(JobReactorModule.transport('first'));
    app.connectMicroservice(JobReactorModule.transport('second'));
    try {
      await app.startAllMicroservices();
      await app.init();
      const { first, second } = app.get(Service);
      expect(first).not.toBe(second);
      expect(await within(first.run('named', {}), 'the first job')).toBe('first distributor first node');
      expect(await within(second.run('named', {}), 'the second job')).toBe('second distributor second node');
      expect(() => app.get(JobReactorClient)).toThrow();
    } finally {
      await app.close();
    }
  });
});

describe('Test.createTestingModule', () => {
  @Injectable()
  class Mailer {
    send(): string {
      return 'really sent';
    }
  }
  @Injectable()
  class Mails {
    constructor(@Inject(Mailer) private readonly mailer: Mailer) {}
    @Job('mail') mail(): string {
      return this.mailer.send();
    }
  }
  const told = new Facts<Feedback>();
  @Injectable()
  class Told {
    @OnSuccessFeedback('mail') done(feedback: Feedback): void {
      told.tell(feedback);
    }
  }

  it('compiles the application, which then works with init()', async () => {
    const testing = await Test.createTestingModule({
      imports: [JobReactorModule.forRoot({ distributor: { name: 'web', port: 0 } })],
      providers: [Told],
    }).compile();
    await testing.init();
    const distributor = testing.get(JobReactorDistributor);
    const { port } = await within(distributor.address(), 'listening');
    try {
      await system.node({
        providers: [Mails, Mailer],
        distributors: undefined,
        to: { port, distributor },
      } as NodeParts);
      expect(await testing.get(JobReactorClient).run('mail', {})).toBe('really sent');
      expect(await told.next()).toMatchObject({ result: 'really sent' });
    } finally {
      await testing.close();
    }
  });

  it('compiles the worker: createNestMicroservice runs it, with providers overridden', async () => {
    const web = await system.application();
    const distributors = [{ host: '127.0.0.1', port: web.port }];
    const testing = await Test.createTestingModule({
      imports: [JobReactorModule.forRoot({ node: { name: 'one', storage: 'memory', distributors } })],
      providers: [Mails, Mailer],
    })
      .overrideProvider(Mailer)
      .useValue({ send: () => 'not sent' })
      .compile();
    const node = testing.createNestMicroservice(JobReactorModule.transport());
    try {
      const joining = joined(web, 'one');
      await node.listen();
      await joining;
      expect(await web.client.run('mail', {})).toBe('not sent');
    } finally {
      await node.close();
    }
  });

  it('leaves nothing open when it is compiled and closed without being started', async () => {
    const testing = await Test.createTestingModule({
      imports: [
        JobReactorModule.forRoot({
          distributor: { name: 'web', port: 0 },
          node: { name: 'one', storage: 'memory' },
        }),
      ],
    }).compile();
    await testing.close();
    await testing.close();
  });
});

describe('an application that stops', () => {
  it('lets feedback methods end before providers are destroyed, and is not told the same again after its restart', async () => {
    const steps: string[] = [];
    const begun = new Facts<string>();
    @Injectable()
    class Slow implements OnModuleDestroy {
      @OnSuccessFeedback('quick') async done({ job }: Feedback): Promise<void> {
        steps.push('begun');
        begun.tell(job.id);
        await new Promise((resolve) => setTimeout(resolve, 100));
        steps.push('ended');
      }
      onModuleDestroy(): void {
        steps.push('destroyed');
      }
    }
    @Injectable()
    class Quick {
      @Job('quick') quick(): string {
        return 'done';
      }
    }
    const outbox = { type: 'sqlite' as const, database: join(await system.folder(), 'outbox.sqlite') };
    const web = await system.application({ providers: [Slow], outbox });
    await system.node({ providers: [Quick], to: web });
    const first = await web.client.enqueue('quick', {});
    await begun.next();
    await web.close();
    expect(steps.splice(0)).toEqual(['begun', 'ended', 'destroyed']);

    const again = await system.application({ providers: [Slow], outbox, port: web.port });
    await joined(again, 'one');
    const second = await again.client.enqueue('quick', {});
    await begun.next(undefined, 'the feedback of the second job');
    expect(begun.all).toEqual([first.id, second.id]);
  });

  it('right after a result leaves nothing for its nodes to wait for', async () => {
    @Injectable()
    class Quick {
      @Job('quick') quick(): string {
        return 'done';
      }
    }
    const web = await system.application();
    const node = await system.node({ providers: [Quick], to: web });
    expect(await web.client.run('quick', {})).toBe('done');
    await web.close();
    await within(node.close(), 'the stop of the node', 1000);
  });
});

/** Starting a process that compiles what it runs takes seconds on a busy machine. */
const PATIENCE = 60_000;

describe('enableShutdownHooks and SIGTERM', { timeout: 2 * PATIENCE }, () => {
  async function worker(options: JobReactorOptions) {
    const program = join(import.meta.dirname, '../support/drain-process.ts');
    const run = join(import.meta.dirname, '../support/run-ts.mjs');
    const child = fork(run, [program, JSON.stringify(options)], { execArgv: [] });
    const steps = new Facts<Step>();
    child.on('message', (step: Step) => steps.tell(step));
    const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    const step = (name: Step['step'], n?: number) =>
      steps.next((fact) => fact.step === name && (n === undefined || fact.n === n), `${name} ${n ?? ''}`, PATIENCE);
    const worker = {
      steps,
      step,
      end: (n: number) => void child.send({ end: n }),
      terminate: () => void child.kill('SIGTERM'),
      exit: () => within(exit, 'the end of the process', PATIENCE),
      [Symbol.asyncDispose]: async () => {
        child.kill('SIGKILL');
        await exit;
      },
    };
    await step('ready').catch(async (error: unknown) => {
      await worker[Symbol.asyncDispose]();
      throw error;
    });
    return worker;
  }

  const optionsOf = (database: string, port: number, more: object = {}): JobReactorOptions => ({
    node: {
      name: 'one',
      storage: { type: 'sqlite', database },
      distributors: [{ host: '127.0.0.1', port }],
      concurrency: 2,
      ...more,
    },
  });

  it('running jobs finish, then providers are destroyed, then the process ends by the signal; nothing is lost', async () => {
    const web = await system.application();
    const options = optionsOf(join(await system.folder(), 'jobs.sqlite'), web.port);
    await using first = await worker(options);
    const entries = [1, 2, 3, 4].map((n) => ({ job: 'slow', args: { n }, options: { confirm: 'stored' as const } }));
    const deferred = await web.client.enqueue('slow', { n: 5 }, { after: 300, confirm: 'stored' });
    const jobs = await web.client.enqueueMany(entries);
    await Promise.all([first.step('start', 1), first.step('start', 2)]);

    const left = new Promise((resolve) => web.distributor.on('node left', resolve));
    first.terminate();
    const late = await web.client.enqueue('slow', { n: 6 }); // comes while it drains: waits for another node
    first.end(1);
    expect(await jobs[0]!.result({ timeout: PATIENCE })).toBe(1);
    first.end(2);
    expect(await jobs[1]!.result({ timeout: PATIENCE })).toBe(2);
    expect(await first.exit()).toEqual([null, 'SIGTERM']);
    await within(left, 'the node saying goodbye');
    const order = first.steps.all.map(({ step, n }) => (n === undefined ? step : `${step} ${n}`));
    expect(order.filter((step) => step.startsWith('start'))).toEqual(['start 1', 'start 2']);
    expect(order).not.toContain('used too late');
    expect(order.slice(-4)).toEqual(['end 2', 'callback 2', 'pool destroyed', 'shutdown']);

    await using second = await worker(options);
    for (const [index, n] of [3, 4, 5, 6].entries()) {
      expect(await second.step('start', n)).toMatchObject({ attempt: 1, lastError: null });
      second.end(n);
      const job = [jobs[2]!, jobs[3]!, deferred, late][index]!;
      expect(await job.result({ timeout: PATIENCE })).toBe(n);
    }
    expect(second.steps.all.filter(({ step }) => step === 'start')).toHaveLength(4);
  });

  it('a job that does not end within drainTimeout is interrupted; its attempt does not count and it runs again', async () => {
    const web = await system.application();
    const options = optionsOf(join(await system.folder(), 'jobs.sqlite'), web.port, { drainTimeout: 100 });
    await using first = await worker(options);
    const job = await web.client.enqueue('slow', { n: 1 });
    await first.step('start', 1);
    first.terminate();
    expect(await first.exit()).toEqual([null, 'SIGTERM']);
    expect(first.steps.all.map(({ step }) => step)).toEqual(['ready', 'start', 'pool destroyed', 'shutdown']);

    await using second = await worker(options);
    expect(await second.step('start', 1)).toMatchObject({ attempt: 1, lastError: null });
    second.end(1);
    expect(await job.result({ timeout: PATIENCE })).toBe(1);
  });
});
