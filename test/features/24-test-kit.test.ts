import { createHook } from 'node:async_hooks';
import { Controller, ForbiddenException, Injectable, UseGuards, type CanActivate, type Type } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { Test, type TestingModule } from '@nestjs/testing';
import { DataSource } from 'typeorm';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  CancelJob,
  defineJob,
  Job,
  JobContext,
  JobReactorClient,
  JobReactorModule,
  OnError,
  OnErrorFeedback,
  OnSuccess,
  OnSuccessFeedback,
  type ArgsOf,
  type Feedback,
  type NodeOptions,
} from '../../lib/index.js';
import {
  JobReactorTesting,
  JobReactorTestingModule,
  type JobReactorTestingRootOptions,
} from '../../lib/testing/job-reactor-testing.module.js';
import { sqliteModule } from '../support/sqlite-module.js';

const Resize = defineJob<{ path: string; width: number; seen?: string[] }, { bytes: number }>('image.resize', {
  maxAttempts: 3,
});
const Checked = defineJob('checked', { schema: z.object({ count: z.number() }) });

const open: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close();
});

/** What happened, in its order. */
let seen: string[] = [];
let failures = 0;

@Injectable()
class OnlyWide implements CanActivate {
  canActivate(context: { switchToRpc(): { getData(): { width: number } } }): boolean {
    return context.switchToRpc().getData().width !== 13;
  }
}

@Controller()
class PictureJobs {
  @UseGuards(OnlyWide)
  @Job(Resize)
  async resize(
    @Payload() args: ArgsOf<typeof Resize>,
    @Ctx() ctx: JobContext<typeof Resize>,
  ): Promise<{ bytes: number }> {
    seen.push(`run ${args.path} ${ctx.job.attempt}`);
    ctx.progress(50);
    ctx.args.seen = ['job'];
    if (args.width === 0) throw new CancelJob('nothing to see');
    if (failures-- > 0) throw new Error('disk full');
    return { bytes: args.width * 2 };
  }

  @OnSuccess(Resize)
  record(@Ctx() ctx: JobContext<typeof Resize>): void {
    ctx.args.seen?.push('callback');
  }

  @OnError(Resize)
  alarm(@Ctx() ctx: JobContext<typeof Resize>): void {
    seen.push(`alarm ${(ctx.error as Error).message} ${ctx.willRetry}`);
  }
}

@Injectable()
class Pictures {
  constructor(readonly jobs: JobReactorClient) {}

  @OnSuccessFeedback(Resize)
  done(feedback: Feedback<typeof Resize>): void {
    seen.push(`${feedback.status} ${feedback.args.path}`);
  }

  @OnErrorFeedback(Resize)
  failed(feedback: Feedback<typeof Resize>): void {
    seen.push(`error ${feedback.error?.message}`);
  }
}

async function start(
  options: JobReactorTestingRootOptions,
  ...providers: Type[]
): Promise<{ module: TestingModule; kit: JobReactorTesting; client: JobReactorClient }> {
  seen = [];
  failures = 0;
  const module = await Test.createTestingModule({
    imports: [JobReactorTestingModule.forRoot(options)],
    controllers: [PictureJobs],
    providers: [Pictures, ...providers],
  }).compile();
  await module.init();
  open.push(module);
  return { module, kit: module.get(JobReactorTesting), client: module.get(JobReactorClient) };
}

describe('inline mode', () => {
  it('what is paused is accepted and waits, and runs when it is resumed', async () => {
    const { client } = await start({});
    await client.pause({ job: Resize });
    const job = await client.enqueue(Resize, { path: 'a', width: 1 });
    expect(seen).toEqual([]);
    await client.resume({ job: Resize });
    expect(await job.result()).toEqual({ bytes: 2 });
  });

  it('enqueue runs the job, its callbacks and its feedback before it resolves', async () => {
    const { client } = await start({});
    const job = await client.enqueue(Resize, { path: 'a', width: 4 });
    expect(seen).toEqual(['run a 1', 'succeeded a']);
    expect(await job.result()).toEqual({ bytes: 8 });
  });

  it('waits for closures that take their time', async () => {
    const { client } = await start({});
    let told = false;
    await client.enqueue(
      Resize,
      { path: 'a', width: 4 },
      {
        onSuccess: async () => {
          await new Promise((resolve) => setTimeout(resolve, 20));
          told = true;
        },
      },
    );
    expect(told).toBe(true);
  });

  it('retries come with the clock, at the moment of their backoff, and the error feedback after the last', async () => {
    const { client, kit } = await start({});
    failures = Infinity;
    await client.enqueue(Resize, { path: 'a', width: 4 });
    expect(seen).toEqual(['run a 1', 'alarm disk full true']);
    await kit.advance(4_999);
    expect(seen.length).toBe(2);
    await kit.advance(1);
    expect(seen.slice(2)).toEqual(['run a 2', 'alarm disk full true']);
    await kit.advance('1h');
    expect(seen.slice(4)).toEqual(['run a 3', 'alarm disk full false', 'error disk full']);
  });

  it('deferred jobs run when their time comes, periodic ones once a period, until they are cancelled', async () => {
    const { client, kit } = await start({ now: new Date('2026-03-01T00:00:00Z') });
    await client.enqueue(Resize, { path: 'later', width: 1 }, { after: '1d' });
    const periodic = await client.enqueue(Resize, { path: 'often', width: 1 }, { period: '1h' });
    await kit.advance('2h');
    expect(seen.filter((one) => one === 'run often 1').length).toBe(3);
    expect(seen).not.toContain('run later 1');
    expect(await periodic.cancel()).toBe('cancelled');
    await kit.advance('2 days');
    expect(seen.filter((one) => one === 'run often 1').length).toBe(3);
    expect(seen.filter((one) => one === 'run later 1').length).toBe(1);
    expect(new Date(kit.now).toISOString()).toBe('2026-03-03T02:00:00.000Z');
  });

  it('a handler that runs another job gets its result', async () => {
    @Injectable()
    class Outer {
      constructor(readonly jobs: JobReactorClient) {}
      @Job('outer')
      async outer(): Promise<number> {
        return (await this.jobs.run(Resize, { path: 'inner', width: 3 })).bytes;
      }
    }
    const { client, kit } = await start({}, Outer);
    expect(await client.run('outer', {})).toBe(6);
    await kit.setMode('manual');
    const job = await client.enqueue('outer', {});
    expect(await kit.runNext()).toMatchObject({ name: 'outer', status: 'succeeded', result: 6 });
    expect(await job.result()).toBe(6);
  });

  it('a timeout ends a handler that hangs when the clock passes it', async () => {
    @Injectable()
    class Hanging {
      @Job('hang', { timeout: '30s', maxAttempts: 1 })
      hang(): Promise<void> {
        return new Promise(() => undefined);
      }
    }
    const { client, kit } = await start({}, Hanging);
    const enqueueing = client.enqueue('hang', {});
    await kit.advance('30s');
    await expect((await enqueueing).result()).rejects.toMatchObject({ error: { code: 'JOB_TIMEOUT' } });
  });

  it('says what does not end, instead of letting the test runner say that time is over', async () => {
    @Injectable()
    class Hanging {
      @Job('hang')
      hang(): Promise<void> {
        return new Promise(() => undefined);
      }
    }
    const { client } = await start({ patience: 50 }, Hanging);
    await expect(client.enqueue('hang', {})).rejects.toMatchObject({
      code: 'TEST_STUCK',
      message: expect.stringContaining('job hang'),
    });
  });
});

describe('manual mode', () => {
  it('nothing runs until the test says so; runNext takes them by priority', async () => {
    const { client, kit } = await start({ mode: 'manual' });
    await client.enqueue(Resize, { path: 'low', width: 1 });
    await client.enqueue(Resize, { path: 'high', width: 1 }, { priority: 5 });
    await kit.advance('1m');
    expect(seen).toEqual([]);
    expect(await kit.runNext()).toMatchObject({ name: 'image.resize', attempt: 1, run: 1, status: 'succeeded' });
    expect(seen).toEqual(['run high 1', 'succeeded high']);
    expect((await kit.runNext())?.result).toEqual({ bytes: 2 });
    expect(await kit.runNext()).toBeNull();
  });

  it('drain runs what is due and what that enqueues, one after another, and gives the attempts with their errors', async () => {
    @Injectable()
    class Chain {
      constructor(readonly jobs: JobReactorClient) {}
      @Job('chain')
      async chain(@Payload() { n }: { n: number }): Promise<void> {
        if (n > 0) await this.jobs.enqueue('chain', { n: n - 1 });
      }
    }
    const { client, kit } = await start({ mode: 'manual' }, Chain);
    await client.enqueue('chain', { n: 2 });
    failures = 1;
    await client.enqueue(Resize, { path: 'a', width: 1 });
    const attempts = await kit.drain();
    expect(attempts.map(({ name, status }) => `${name} ${status}`)).toEqual([
      'chain succeeded',
      'image.resize failed',
      'chain succeeded',
      'chain succeeded',
    ]);
    expect((attempts[1]!.error as Error).message).toBe('disk full');
    await kit.advance('5s');
    expect(await kit.drain()).toMatchObject([{ attempt: 2, status: 'succeeded' }]);
  });

  it('what is paused waits, and runs when it is resumed', async () => {
    const { client, kit } = await start({ mode: 'manual' });
    const job = await client.enqueue(Resize, { path: 'a', width: 1 });
    expect(await client.pause({ job: Resize })).toEqual({ missing: [] });
    await client.enqueue(Resize, { path: 'b', width: 1 });
    expect(await kit.drain()).toEqual([]);
    expect(seen).toEqual([]);
    expect(await client.paused()).toMatchObject([{ job: 'image.resize' }]);
    await client.resume({ job: Resize });
    expect(await kit.drain()).toMatchObject([{ id: job.id }, { attempt: 1 }]);
    await client.pause({ job: Resize });
    await kit.reset();
    expect(await client.paused()).toEqual([]);
  });

  it('a job that enqueues itself for ever is found out', async () => {
    @Injectable()
    class Loop {
      constructor(readonly jobs: JobReactorClient) {}
      @Job('loop')
      async loop(): Promise<void> {
        await this.jobs.enqueue('loop', {});
      }
    }
    const { client, kit } = await start({ mode: 'manual' }, Loop);
    await client.enqueue('loop', {});
    await expect(kit.drain({ limit: 20 })).rejects.toMatchObject({ code: 'TEST_STUCK' });
  });

  it('a cancelled job does not run, and an expired one fails, as in production', async () => {
    const { client, kit } = await start({ mode: 'manual' });
    const job = await client.enqueue(Resize, { path: 'a', width: 1 });
    expect(await job.cancel('no more')).toBe('cancelled');
    await expect(job.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
    const expiring = await client.enqueue(Resize, { path: 'b', width: 1 }, { expires: '1m' });
    await kit.advance('1m');
    await expect(expiring.result()).rejects.toMatchObject({ error: { code: 'JOB_EXPIRED' } });
    expect(await kit.drain()).toEqual([]);
  });

  it('find, jobs and remove see what waits', async () => {
    const { client, kit } = await start({ mode: 'manual' });
    const { id } = await client.enqueue(Resize, { path: 'a', width: 1 }, { after: '1h' });
    expect(await client.find(id)).toMatchObject({ status: 'queued', node: 'test' });
    expect((await client.jobs({ name: 'image.resize' })).jobs.length).toBe(1);
    await kit.reset();
    expect((await client.jobs()).jobs).toEqual([]);
    expect(kit.enqueued()).toEqual([]);
  });
});

describe('expectEnqueued', () => {
  it('compares the given part of the args, matchers included, and returns the job', async () => {
    const { client, kit } = await start({ mode: 'manual' });
    await client.enqueue(Resize, { path: 'a', width: 1, seen: ['x'] }, { after: '1m', priority: 3 });
    await client.enqueue(Resize, { path: 'b', width: 2 });
    expect(kit.expectEnqueued(Resize, { path: 'a' })).toMatchObject({ after: 60_000, priority: 3, args: { width: 1 } });
    kit.expectEnqueued(Resize, { path: expect.stringMatching(/^b$/) as string });
    kit.expectEnqueued(Resize, {}, { times: 2 });
    kit.expectNotEnqueued(Resize, { path: 'c' });
    kit.expectNotEnqueued('mail.send');
    expect(kit.enqueued(Resize).map(({ args }) => args.path)).toEqual(['a', 'b']);
  });

  it('tells what was enqueued instead', async () => {
    const { client, kit } = await start({ mode: 'manual' });
    expect(() => kit.expectEnqueued(Resize)).toThrow(/Nothing was enqueued/);
    await client.enqueue(Resize, { path: 'a', width: 1 });
    expect(() => kit.expectEnqueued(Resize, { path: 'z' })).toThrow(/is not there[\s\S]*path: 'a'/);
    expect(() => kit.expectEnqueued(Resize, {}, { times: 2 })).toThrow(/is there 1 times, not 2/);
    expect(() => kit.expectEnqueued('mail.send')).toThrow(/Enqueued were: image\.resize/);
    expect(() => kit.expectNotEnqueued(Resize, { width: 1 })).toThrow(/is there once/);
    expect(() => kit.expectEnqueued(Resize, { seen: ['no'] })).toThrow();
  });

  it('with `manager` the job is there once the transaction has committed, and never after a rollback', async () => {
    const { client, kit } = await start({ mode: 'manual' });
    const source = await new DataSource({
      type: 'better-sqlite3',
      database: ':memory:',
      driver: await sqliteModule(),
    }).initialize();
    open.push({ close: () => source.destroy() });
    await source.transaction(async (manager) => {
      await client.enqueue(Resize, { path: 'kept', width: 1 }, { manager });
      kit.expectNotEnqueued(Resize);
    });
    await expect(
      source.transaction(async (manager) => {
        await client.enqueue(Resize, { path: 'lost', width: 1 }, { manager });
        throw new Error('changed my mind');
      }),
    ).rejects.toThrow('changed my mind');
    await kit.drain();
    expect(seen).toEqual(['run kept 1', 'succeeded kept']);
    kit.expectNotEnqueued(Resize, { path: 'lost' });
  });
});

describe('runJob', () => {
  it('runs one attempt with a ready context, and gives what it did', async () => {
    const { kit } = await start({ mode: 'manual' });
    const run = await kit.runJob(Resize, { path: 'a', width: 5 }, { attempt: 2 });
    expect(run.result.bytes).toBe(10);
    expect(run.args.seen).toEqual(['job', 'callback']);
    expect(run.progress).toEqual([50]);
    expect(run.job).toMatchObject({ name: 'image.resize', attempt: 2, node: 'test' });
    expect(kit.enqueued()).toEqual([]);
    expect((await kit.runJob(PictureJobs, { path: 'b', width: 5 })).result).toEqual({ bytes: 10 });
  });

  it('rejects with what was thrown, after the errbacks; guards, schemas and cancels count', async () => {
    @Injectable()
    class CheckedJobs {
      @Job(Checked)
      checked(@Payload() { count }: { count: number }): number {
        return count;
      }
    }
    const { kit } = await start({ mode: 'manual' }, CheckedJobs);
    failures = 1;
    await expect(kit.runJob(Resize, { path: 'a', width: 5 }, { attempt: 3 })).rejects.toThrow('disk full');
    expect(seen).toContain('alarm disk full false');
    await expect(kit.runJob(Resize, { path: 'a', width: 13 })).rejects.toBeInstanceOf(ForbiddenException);
    await expect(kit.runJob(Resize, { path: 'a', width: 0 })).rejects.toMatchObject({ reason: 'nothing to see' });
    await expect(kit.runJob('checked', { count: 'x' })).rejects.toThrow(/schema of job checked/);
    expect((await kit.runJob(Checked, { count: 1 })).result).toBe(1);
  });

  it('an aborted signal reaches the handler', async () => {
    @Injectable()
    class Waiting {
      @Job('wait')
      wait(@Payload() _args: unknown, @Ctx() ctx: JobContext): Promise<void> {
        return new Promise((_, reject) =>
          ctx.signal.addEventListener('abort', () => reject(ctx.signal.reason as Error)),
        );
      }
    }
    const { kit } = await start({ mode: 'manual' }, Waiting);
    const abort = new AbortController();
    const running = kit.runJob('wait', {}, { signal: abort.signal });
    abort.abort('enough');
    await expect(running).rejects.toMatchObject({ code: 'JOB_CANCELLED', reason: 'enough' });
  });

  it('says what it can not run', async () => {
    const { kit } = await start({ mode: 'manual' });
    await expect(kit.runJob('image.resise', {})).rejects.toThrow(/Did you mean 'image.resize'/);
    await expect(kit.runJob(Pictures, {})).rejects.toThrow(/has no @Job/);
    await expect(kit.runJob(Resize, { path: 'a', width: 1 }, { attempt: 0 })).rejects.toThrow(/from 1 on/);
  });
});

describe('an application with its own forRoot', () => {
  const distributor = { name: 'web', port: 5000, outbox: { type: 'postgres', url: 'postgres://nowhere' } } as const;
  const node = {
    name: 'gpu',
    storage: { type: 'sqlite' as const, database: '/nowhere/jobs.sqlite' },
    distributors: [{ host: 'web.internal', port: 5000 }],
    allowInsecure: true,
    threads: { module: '/nowhere.js' },
  } satisfies NodeOptions;

  it('needs no change: neither its port nor its databases are opened, and the missing role is added', async () => {
    seen = [];
    const module = await Test.createTestingModule({
      imports: [JobReactorModule.forRoot({ distributor }), JobReactorTestingModule.forApplication()],
      controllers: [PictureJobs],
      providers: [Pictures],
    }).compile();
    await module.init();
    open.push(module);
    expect((await module.get(Pictures).jobs.run(Resize, { path: 'a', width: 2 })).bytes).toBe(4);
    await module.get(JobReactorTesting).advance(0);
    expect(seen).toEqual(['run a 1', 'succeeded a']);
  });

  it('and its worker are two applications with one clock', async () => {
    seen = [];
    failures = 1;
    const web = await Test.createTestingModule({
      imports: [JobReactorModule.forRoot({ distributor }), JobReactorTestingModule.forApplication({ mode: 'manual' })],
      providers: [Pictures],
    }).compile();
    await web.init();
    open.push(web);
    const kit = web.get(JobReactorTesting);
    const worker = await Test.createTestingModule({
      imports: [JobReactorModule.forRoot({ node }), JobReactorTestingModule.forApplication({ with: kit })],
      controllers: [PictureJobs],
    }).compile();
    await worker.createNestMicroservice(JobReactorModule.transport()).listen();
    open.push(worker);
    const job = await web
      .get(JobReactorClient)
      .enqueue(Resize, { path: 'a', width: 2 }, { node: 'gpu', strictNode: true });
    expect(await kit.drain()).toMatchObject([{ status: 'failed' }]);
    await kit.advance('5s');
    expect(await kit.drain()).toMatchObject([{ status: 'succeeded', attempt: 2 }]);
    expect(await job.result()).toEqual({ bytes: 4 });
    expect(seen.at(-1)).toBe('succeeded a');
  });

  it('that is not there is missed', async () => {
    const module = await Test.createTestingModule({ imports: [JobReactorTestingModule.forApplication()] }).compile();
    await expect(module.init()).rejects.toThrow(/found no JobReactorModule.forRoot/);
  });
});

describe('keys', () => {
  const of = (path: string) => ({ path, width: 1 });

  it('are as in production in manual mode, on the clock of the test, and free after reset()', async () => {
    const { client, kit } = await start({ mode: 'manual' });
    const key = { value: 'a', until: 'started', onConflict: 'replace' } as const;
    const first = await client.enqueue(Resize, of('a'), { key, after: '5s' });
    const again = await client.enqueue(Resize, of('b'), { key, after: '5s' });
    expect([again.id, again.duplicate]).toEqual([first.id, true]);
    expect(kit.enqueued(Resize)).toHaveLength(1);
    await kit.advance('4s');
    await client.enqueue(Resize, of('c'), { key, after: '5s' });
    await kit.advance('4s');
    expect(await kit.runNext()).toBe(null);
    await kit.advance('1s');
    expect(await kit.runNext()).toMatchObject({ id: first.id, status: 'succeeded' });
    expect(seen.at(-1)).toBe('succeeded c');
    expect((await client.enqueue(Resize, of('d'), { key: { value: 'b', until: '1h' } })).duplicate).toBe(false);
    await kit.drain();
    await kit.advance('59m');
    expect((await client.enqueue(Resize, of('e'), { key: { value: 'b', until: '1h' } })).duplicate).toBe(true);
    await kit.advance('1m');
    expect((await client.enqueue(Resize, of('f'), { key: { value: 'b', until: '1h' } })).duplicate).toBe(false);
    await kit.reset();
    expect((await client.enqueue(Resize, of('g'), { key: 'b' })).duplicate).toBe(false);
  });

  it('are as in production in inline mode: free when the enqueue has run its job', async () => {
    const { client, kit } = await start({});
    const first = await client.enqueue(Resize, of('a'), { key: 'a' });
    const second = await client.enqueue(Resize, of('b'), { key: 'a', after: '1h' });
    expect([first.duplicate, second.duplicate]).toEqual([false, false]);
    const third = await client.run(Resize, of('c'), { key: { value: 'a', onConflict: 'reschedule' } });
    expect(third).toEqual({ bytes: 2 });
    expect(seen.at(-1)).toBe('succeeded b');
    expect(kit.enqueued(Resize)).toHaveLength(2);
  });
});

it('a month passes in a moment, and leaves neither handle nor timer', async () => {
  const handles: string[] = [];
  const hook = createHook({
    init(_id, type) {
      if (/TCP|PIPE|FSREQ|Timeout|GETADDRINFO|Worker/i.test(type)) handles.push(type);
    },
  });
  const { client, kit, module } = await start({ mode: 'manual' });
  hook.enable();
  await client.enqueue(Resize, { path: 'a', width: 1 }, { after: '30d' });
  await kit.advance('31 days');
  expect(await kit.drain()).toMatchObject([{ status: 'succeeded' }]);
  await module.close();
  hook.disable();
  // What is waited for with patience has a timer, and it is gone when the wait is.
  expect(handles.filter((type) => type !== 'Timeout')).toEqual([]);
  expect(process.getActiveResourcesInfo().filter((type) => /TCP|Server/.test(type))).toEqual([]);
});

it('is asked for nothing before init(), and says so', async () => {
  const module = await Test.createTestingModule({ imports: [JobReactorTestingModule.forRoot()] }).compile();
  await expect(module.get(JobReactorTesting).drain()).rejects.toMatchObject({ code: 'TEST_NOT_STARTED' });
});

it('refuses options that do not exist', () => {
  expect(() => JobReactorTestingModule.forRoot({ mode: 'fast' as 'inline' })).toThrow(/'inline' or 'manual'/);
  expect(() => JobReactorTestingModule.forRoot({ moed: 'inline' } as JobReactorTestingRootOptions)).toThrow(/moed/);
  expect(() => JobReactorTestingModule.forRoot({ now: new Date('nope') })).toThrow(/now/);
  expect(() => JobReactorTestingModule.forApplication({ with: {} as JobReactorTesting })).toThrow(/with/);
});
