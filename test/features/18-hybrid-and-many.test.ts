import {
  Body,
  Catch,
  Controller,
  Get,
  Inject,
  Injectable,
  Param,
  Post,
  type ArgumentsHost,
  type CanActivate,
  type ExceptionFilter,
  type INestApplication,
  type OnModuleDestroy,
  type PipeTransform,
  type Type,
} from '@nestjs/common';
import { APP_GUARD, NestFactory } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { firstValueFrom, toArray } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  defineJob,
  InjectJobReactor,
  InjectJobReactorDistributor,
  Job,
  JobContext,
  JobHandle,
  JobReactorClient,
  JobReactorDistributor,
  JobReactorModule,
  OnSuccess,
  OnSuccessFeedback,
  type JobReactorOptions,
} from '../../lib/index.js';
import { signal, within } from '../support/deadline.js';
import { Facts, reactors, type Application } from '../support/reactor.js';

const BOTH: JobReactorOptions = { distributor: { name: 'web', port: 0 }, node: { name: 'one', storage: 'memory' } };

/** HTTP applications that are closed after each test. */
function httpApplications() {
  const open: INestApplication[] = [];
  afterEach(async () => {
    for (const app of open.splice(0)) await app.close();
  });
  return async (options: JobReactorOptions[], controllers: Type<unknown>[], providers: unknown[] = []) => {
    const module = {
      module: class Root {},
      imports: options.map((each) => JobReactorModule.forRoot(each)),
      controllers,
      providers: providers as Type<unknown>[],
    };
    const app = await NestFactory.create(module, { logger: false, abortOnError: false });
    open.push(app);
    return app;
  };
}

describe('HTTP, distributor and node in one process', () => {
  const create = httpApplications();

  @Controller('pictures')
  class Pictures {
    constructor(@Inject(JobReactorClient) private readonly jobs: JobReactorClient) {}
    @Post() resize(@Body() { width }: { width: number }): Promise<unknown> {
      return this.jobs.run('resize', { width });
    }
    @Job('resize') work(@Payload('width') width: number): { bytes: number } {
      return { bytes: width * 2 };
    }
  }
  const post = async (app: INestApplication): Promise<unknown> => {
    const body = JSON.stringify({ width: 320 });
    const headers = { 'content-type': 'application/json' };
    return (await fetch(`${await app.getUrl()}/pictures`, { method: 'POST', headers, body })).json();
  };

  it.each([
    [
      'the microservice first',
      async (app: INestApplication) => [await app.startAllMicroservices(), await app.listen(0)],
    ],
    ['HTTP first', async (app: INestApplication) => [await app.listen(0), await app.startAllMicroservices()]],
    ['both at once', (app: INestApplication) => Promise.all([app.startAllMicroservices(), app.listen(0)])],
  ])('starts in any order without waiting for itself: %s', async (_, start) => {
    const app = await create([BOTH], [Pictures]);
    app.connectMicroservice(JobReactorModule.transport());
    await within(Promise.resolve(start(app)), 'the start');
    expect(await within(post(app), 'the answer')).toEqual({ bytes: 640 });
  });

  it('stops in the right order: jobs and their feedback end before providers go, and the request that waits is answered', async () => {
    const order: string[] = [];
    const started = signal();
    const finish = signal();
    @Injectable()
    class Pool implements OnModuleDestroy {
      isOpen = true;
      onModuleDestroy(): void {
        this.isOpen = false;
        order.push('pool closed');
      }
    }
    @Controller()
    class Slow {
      constructor(
        @Inject(JobReactorClient) private readonly jobs: JobReactorClient,
        @Inject(Pool) private readonly pool: Pool,
      ) {}
      @Get('slow/:n') slow(@Param('n') n: string): Promise<unknown> {
        return this.jobs.run('slow', { n });
      }
      @Job('slow') async work(@Payload('n') n: string): Promise<string> {
        started.resolve();
        await finish.promise;
        order.push(`job ended, pool ${this.pool.isOpen ? 'open' : 'closed'}`);
        return `slow ${n}`;
      }
      @OnSuccess('slow') callback(): void {
        order.push(`callback ended, pool ${this.pool.isOpen ? 'open' : 'closed'}`);
      }
      @OnSuccessFeedback('slow') feedback(): void {
        order.push(`feedback ended, pool ${this.pool.isOpen ? 'open' : 'closed'}`);
      }
    }
    const app = await create([BOTH], [Slow], [Pool]);
    app.connectMicroservice(JobReactorModule.transport());
    await app.startAllMicroservices();
    await app.listen(0);
    const answer = fetch(`${await app.getUrl()}/slow/1`).then((response) => response.text());
    await within(started.promise, 'the start of the job');
    const closing = app.close();
    finish.resolve();
    await within(closing, 'closing');
    expect(await within(answer, 'the answer')).toBe('slow 1');
    expect(order).toEqual([
      'job ended, pool open',
      'callback ended, pool open',
      'feedback ended, pool open',
      'pool closed',
    ]);
  });
});

describe('what is global in a hybrid application', () => {
  const create = httpApplications();
  const trail: string[] = [];
  beforeEach(() => void (trail.length = 0));

  class Pipe implements PipeTransform {
    constructor(private readonly of: string) {}
    transform(value: unknown): unknown {
      trail.push(`pipe of ${this.of}`);
      return value;
    }
  }
  @Catch()
  class Filter implements ExceptionFilter {
    constructor(private readonly of: string) {}
    catch(_exception: unknown, host: ArgumentsHost): string {
      trail.push(`filter of ${this.of}, ${host.getType()}`);
      return `answered by ${this.of}`;
    }
  }
  @Injectable()
  class Guard implements CanActivate {
    canActivate(): boolean {
      trail.push('guard of the module');
      return true;
    }
  }
  @Injectable()
  class Failing {
    @Job('failing', { maxAttempts: 1 }) run(@Payload() _args: unknown): void {
      throw new Error('no');
    }
  }
  const start = async (inheritAppConfig: boolean | undefined): Promise<JobReactorClient> => {
    const app = await create([BOTH], [], [Failing, { provide: APP_GUARD, useClass: Guard }]);
    app.useGlobalPipes(new Pipe('the application')).useGlobalFilters(new Filter('the application'));
    const own = app.connectMicroservice(JobReactorModule.transport(), { inheritAppConfig });
    if (!inheritAppConfig) own.useGlobalPipes(new Pipe('the microservice'));
    await app.startAllMicroservices();
    await app.init();
    return app.get(JobReactorClient);
  };

  it('does not hold for jobs, as Nest has it: the microservice has its own', async () => {
    const client = await start(undefined);
    await expect(within(client.run('failing', {}), 'the job')).rejects.toMatchObject({ code: 'JOB_FAILED' });
    expect(trail).toEqual(['pipe of the microservice']);
  });

  it('holds for jobs with inheritAppConfig', async () => {
    const client = await start(true);
    expect(await within(client.run('failing', {}), 'the job')).toBe('answered by the application');
    expect(trail).toEqual(['guard of the module', 'pipe of the application', 'filter of the application, rpc']);
  });
});

describe('several in one process', () => {
  const create = httpApplications();
  const system = reactors();

  @Injectable()
  class Where {
    @Job('where') where(@Payload() _args: unknown, @Ctx() ctx: JobContext): string {
      return `${ctx.job.distributor} ${ctx.job.node}`;
    }
    @Job('only heavy') heavy(@Payload() _args: unknown, @Ctx() ctx: JobContext): string {
      return ctx.job.node;
    }
  }

  it('two named distributors: each is injected by its name, and each has nodes of its own', async () => {
    @Injectable()
    class Service {
      constructor(
        @InjectJobReactor('orders') readonly orders: JobReactorClient,
        @InjectJobReactor('mail') readonly mail: JobReactorClient,
        @InjectJobReactorDistributor('orders') readonly ordersDistributor: JobReactorDistributor,
        @InjectJobReactorDistributor('mail') readonly mailDistributor: JobReactorDistributor,
      ) {}
    }
    const named = (name: string): JobReactorOptions => ({ name, distributor: { name, port: 0 } });
    const app = await create([named('orders'), named('mail')], [], [Service]);
    await app.init();
    const { orders, mail, ordersDistributor, mailDistributor } = app.get(Service);
    for (const [name, client, distributor] of [
      ['orders', orders, ordersDistributor],
      ['mail', mail, mailDistributor],
    ] as const) {
      const { port } = await within(distributor.address(), 'listening');
      await system.process({
        node: { name: `${name}-node`, storage: 'memory', distributors: [{ host: '127.0.0.1', port }] },
      });
      expect(await within(client.run('work', { result: name }), 'the job', 60_000)).toBe(name);
    }
  });

  it('several nodes beside one distributor, one of them reserved for some jobs', async () => {
    const web: Application = await system.application({ name: 'web' });
    const distributors = [{ host: '127.0.0.1', port: web.port }];
    const node = (name: string, accepts?: string[]): JobReactorOptions => ({
      name,
      node: { name, storage: 'memory', distributors, ...(accepts ? { accepts } : {}) },
    });
    const app = await create([node('light', ['where']), node('heavy')], [], [Where]);
    app.connectMicroservice(JobReactorModule.transport('light'));
    app.connectMicroservice(JobReactorModule.transport('heavy'));
    const both = new Facts<string>();
    web.distributor.on('node joined', ({ node: { name } }) => both.tell(name));
    await app.startAllMicroservices();
    await app.init();
    await both.count(2);
    expect(await web.client.run('where', {}, { node: 'light' })).toBe('web light');
    expect(await web.client.run('where', {}, { node: 'heavy' })).toBe('web heavy');
    expect(await web.client.run('only heavy', {}, { node: 'light' })).toBe('heavy');
  });
});

describe('the client as a ClientProxy', () => {
  const system = reactors();
  const Double = defineJob<{ n: number }, number>('double');
  const ran = new Facts<number>();
  @Injectable()
  class Jobs {
    @Job(Double) double(@Payload('n') n: number): number {
      ran.tell(n);
      return n * 2;
    }
    @Job('nothing') nothing(): void {}
    @Job('failing', { maxAttempts: 1 }) failing(): void {
      throw new Error('told to fail');
    }
  }
  let client: JobReactorClient;
  beforeEach(async () => {
    const web = await system.application();
    await system.node({ to: web, providers: [Jobs] });
    ({ client } = web);
  });

  it('send() is an Observable of the result, by name or by definition, and runs when it is subscribed to', async () => {
    const answer = client.send('double', { n: 1 });
    expect(await firstValueFrom(client.send(Double, { n: 21 }))).toBe(42);
    expect(ran.all).toEqual([21]);
    expect(await firstValueFrom(answer)).toBe(2);
    expect(await firstValueFrom(client.send('nothing', {}).pipe(toArray()))).toEqual([]);
  });

  it('send() ends in the error the job failed with', async () => {
    await expect(firstValueFrom(client.send('failing', {}))).rejects.toMatchObject({
      code: 'JOB_FAILED',
      message: expect.stringContaining('told to fail'),
    });
  });

  it('emit() enqueues at once, and tells the handle', async () => {
    const seen = ran.all.length;
    const handle = await firstValueFrom(client.emit<JobHandle>(Double, { n: 4 }));
    expect(await handle.result()).toBe(8);
    client.emit('double', { n: 5 }); // nobody subscribes
    expect(await ran.count(seen + 2)).toContain(5);
  });

  it('refuses what is no job: the error says what one is', async () => {
    await expect(firstValueFrom(client.send({ cmd: 'double' }, { n: 1 }))).rejects.toMatchObject({
      code: 'INVALID_JOB',
      message: expect.stringContaining('name'),
    });
    await expect(firstValueFrom(client.emit(['double'], { n: 1 }))).rejects.toMatchObject({ code: 'INVALID_JOB' });
  });
});
