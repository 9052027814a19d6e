import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import {
  CancelJob,
  defineJob,
  Job,
  JobCancelled,
  JobContext,
  JobFailed,
  OnError,
  OnErrorFeedback,
  OnSuccess,
  OnSuccessFeedback,
  type ArgsOf,
  type Feedback,
  type JobInfo,
} from '../../lib/index.js';
import { Facts, reactors } from '../support/reactor.js';

const system = reactors();

interface OrderArgs {
  item: string;
  /** Where it fails, or is cancelled. */
  trouble?: 'job' | 'first' | 'second' | 'errback';
  how?: 'throw' | 'cancel';
  /** Each method adds its name. */
  trail?: string[];
}
const Order = defineJob<OrderArgs, string>('order', { maxAttempts: 1 });
type Context = JobContext<typeof Order>;

/** What each method saw: its name, its payload and the trail of `ctx.args` as it came. */
interface Step {
  step: string;
  payload: OrderArgs;
  trail: string[];
  job: JobInfo;
  error?: unknown;
  willRetry: boolean;
}

function world() {
  const steps = new Facts<Step>();
  const told = new Facts<{ by: string; feedback: Feedback<typeof Order> }>();

  function pass(step: string, payload: OrderArgs, ctx: Context, fails: boolean): void {
    const trail = [...(ctx.args.trail ?? [])];
    steps.tell({
      step,
      payload: structuredClone(payload),
      trail,
      job: ctx.job,
      error: ctx.error,
      willRetry: ctx.willRetry,
    });
    ctx.args.trail = [...trail, step];
    payload.trail = ['a change of the payload, which counts for nothing'];
    if (!fails) return;
    throw ctx.args.how === 'cancel' ? new CancelJob(`enough in ${step}`) : new Error(`broken in ${step}`);
  }

  @Injectable()
  class Kitchen {
    @Job(Order)
    cook(@Payload() args: ArgsOf<typeof Order>, @Ctx() ctx: Context): string {
      pass('job', args, ctx, args.trouble === 'job' || args.trouble === 'errback');
      return `cooked ${args.item}`;
    }
    @OnSuccess(Order)
    async first(@Payload() args: ArgsOf<typeof Order>, @Ctx() ctx: Context): Promise<void> {
      await new Promise((resolve) => setTimeout(resolve, 20)); // the next one waits for this
      pass('first', args, ctx, args.trouble === 'first');
    }
    @OnSuccess(Order)
    second(@Payload() args: ArgsOf<typeof Order>, @Ctx() ctx: Context): void {
      pass('second', args, ctx, args.trouble === 'second');
    }
    @OnError(Order)
    async alarm(@Payload() args: ArgsOf<typeof Order>, @Ctx() ctx: Context): Promise<void> {
      await new Promise((resolve) => setTimeout(resolve, 20));
      pass('alarm', args, ctx, args.trouble === 'errback');
    }
  }

  @Injectable()
  class Waiter {
    @OnSuccess(Order)
    third(@Payload() args: ArgsOf<typeof Order>, @Ctx() ctx: Context): void {
      pass('third', args, ctx, false);
    }
    @OnError(Order)
    sorry(@Payload() args: ArgsOf<typeof Order>, @Ctx() ctx: Context): void {
      pass('sorry', args, ctx, false);
    }
  }

  @Injectable()
  class Till {
    @OnSuccessFeedback(Order)
    done(feedback: Feedback<typeof Order>): void {
      told.tell({ by: 'declared success', feedback });
    }
    @OnErrorFeedback(Order)
    failed(feedback: Feedback<typeof Order>): void {
      told.tell({ by: 'declared error', feedback });
    }
  }
  const closures = {
    onSuccess: (feedback: Feedback<typeof Order>) => told.tell({ by: 'closure success', feedback }),
    onError: (feedback: Feedback<typeof Order>) => told.tell({ by: 'closure error', feedback }),
  };
  const names = (): string[] => steps.all.map(({ step }) => step);
  return { steps, told, closures, names, node: [Kitchen, Waiter], application: [Till] };
}

async function start(given: ReturnType<typeof world>) {
  const web = await system.application({ providers: given.application });
  await system.node({ name: 'kitchen', providers: given.node, to: web });
  return web;
}

describe('callbacks and errbacks on the node', () => {
  it('callbacks run one after another in declared order, those of the next class after those of the first', async () => {
    const given = world();
    const web = await start(given);
    await web.client.run(Order, { item: 'soup' });
    expect(given.names()).toEqual(['job', 'first', 'second', 'third']);
  });

  it('errbacks run in declared order across classes when the job throws, and no callback does', async () => {
    const given = world();
    const web = await start(given);
    await expect(web.client.run(Order, { item: 'soup', trouble: 'job' })).rejects.toThrow('broken in job');
    expect(given.names()).toEqual(['job', 'alarm', 'sorry']);
    expect(given.steps.all[1]).toMatchObject({ error: new Error('broken in job'), willRetry: false });
  });

  it('a callback that throws fails the attempt: the rest is left out and the errbacks run', async () => {
    const given = world();
    const web = await start(given);
    await expect(web.client.run(Order, { item: 'soup', trouble: 'second' })).rejects.toThrow('broken in second');
    expect(given.names()).toEqual(['job', 'first', 'second', 'alarm', 'sorry']);
  });

  it('an errback that throws stops neither the next errback nor the feedback, which has the error of the job', async () => {
    const given = world();
    const web = await start(given);
    await expect(web.client.run(Order, { item: 'soup', trouble: 'errback' })).rejects.toThrow('broken in job');
    expect(given.names()).toEqual(['job', 'alarm', 'sorry']);
  });
});

describe('feedback in the application', () => {
  it('of a success: the closure, the result and the declared method; nobody of the other side', async () => {
    const given = world();
    const web = await start(given);
    const job = await web.client.enqueue(Order, { item: 'soup' }, given.closures);
    expect(await job.result()).toBe('cooked soup');
    const [first, second] = await given.told.count(2);
    expect([first!.by, second!.by]).toEqual(['closure success', 'declared success']);
    expect(first!.feedback).toEqual(second!.feedback);
    expect(first!.feedback).toEqual({
      id: `${job.id}:1`,
      status: 'succeeded',
      args: { item: 'soup', trail: ['job', 'first', 'second', 'third'] },
      result: 'cooked soup',
      error: null,
      job: expect.objectContaining({ id: job.id, name: 'order', node: 'kitchen', distributor: 'web', attempt: 1 }),
    });
  });

  it('of a failure: the closure, the rejection and the declared method; nobody of the other side', async () => {
    const given = world();
    const web = await start(given);
    const job = await web.client.enqueue(Order, { item: 'soup', trouble: 'job' }, given.closures);
    const error = await job.result().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(JobFailed);
    expect(error).toMatchObject({ code: 'JOB_FAILED', jobId: job.id, jobName: 'order', status: 'failed', attempts: 1 });
    expect((error as Error).message).toBe(`Job order (${job.id}) is failed: Error: broken in job`);
    const [first, second] = await given.told.count(2);
    expect([first!.by, second!.by]).toEqual(['closure error', 'declared error']);
    expect(first!.feedback).toEqual(second!.feedback);
    expect(first!.feedback).toMatchObject({
      id: `${job.id}:1`,
      status: 'failed',
      args: { item: 'soup', trouble: 'job', trail: ['job', 'alarm', 'sorry'] },
      result: undefined,
      error: { name: 'Error', message: 'broken in job', stack: expect.stringContaining('pass') as string },
    });
    expect(first!.feedback.error).not.toBeInstanceOf(Error);
  });

  it('each enqueue has closures of its own', async () => {
    const given = world();
    const web = await start(given);
    const heard = new Facts<string>();
    for (const item of ['soup', 'salad']) {
      await web.client.enqueue(
        Order,
        { item },
        { onSuccess: ({ result }) => heard.tell(`${item}: ${result as string}`) },
      );
    }
    await heard.count(2);
    expect(heard.all.sort()).toEqual(['salad: cooked salad', 'soup: cooked soup']);
  });

  it('client.run() gives the result, and rejects as result() does', async () => {
    const given = world();
    const web = await start(given);
    const result: string = await web.client.run(Order, { item: 'soup' });
    expect(result).toBe('cooked soup');
    await expect(web.client.run(Order, { item: 'soup', trouble: 'job' })).rejects.toBeInstanceOf(JobFailed);
  });

  it('result() may be asked late, several times, and of jobs that nobody else listens to', async () => {
    const given = world();
    const web = await start(given);
    const job = await web.client.enqueue(Order, { item: 'soup' });
    await given.told.count(1);
    expect(await Promise.all([job.result(), job.result()])).toEqual(['cooked soup', 'cooked soup']);
  });

  it('a closure that throws keeps nobody else from being told', async () => {
    const given = world();
    const web = await start(given);
    const onSuccess = () => Promise.reject(new Error('the closure is broken'));
    const job = await web.client.enqueue(Order, { item: 'soup' }, { onSuccess });
    expect(await job.result()).toBe('cooked soup');
    expect((await given.told.count(1))[0]).toMatchObject({ by: 'declared success' });
  });
});

describe('arguments added on the fly', () => {
  it('in the job and in callbacks are seen by every later callback and come back in the feedback', async () => {
    const given = world();
    const web = await start(given);
    await web.client.run(Order, { item: 'soup' });
    expect(given.steps.all.map(({ trail }) => trail)).toEqual([
      [],
      ['job'],
      ['job', 'first'],
      ['job', 'first', 'second'],
    ]);
    // The payload of a callback is a snapshot of ctx.args, that of the job the stored args.
    expect(given.steps.all.map(({ payload }) => payload.trail)).toEqual([
      undefined,
      ['job'],
      ['job', 'first'],
      ['job', 'first', 'second'],
    ]);
    const { feedback } = await given.told.next();
    expect(feedback.args.trail).toEqual(['job', 'first', 'second', 'third']);
  });

  it('before a callback failed are seen by every errback and come back in the feedback', async () => {
    const given = world();
    const web = await start(given);
    await web.client.run(Order, { item: 'soup', trouble: 'first' }).catch(() => undefined);
    expect(given.steps.all.slice(2).map(({ step, trail, payload }) => [step, trail, payload.trail])).toEqual([
      ['alarm', ['job', 'first'], ['job', 'first']],
      ['sorry', ['job', 'first', 'alarm'], ['job', 'first', 'alarm']],
    ]);
    const { feedback } = await given.told.next();
    expect(feedback.args.trail).toEqual(['job', 'first', 'alarm', 'sorry']);
  });

  it('are gone in a retry, which starts from the args before the failed attempt', async () => {
    const seen: unknown[] = [];
    @Injectable()
    class Counting {
      @Job('counting', { maxAttempts: 3, backoff: 0 })
      count(@Payload() args: Record<string, unknown>, @Ctx() ctx: JobContext): number {
        seen.push([ctx.job.attempt, { ...args }, { ...ctx.args }]);
        ctx.args['added'] = ctx.job.attempt;
        if (ctx.job.attempt < 3) throw new Error('again');
        return ctx.job.attempt;
      }
      @OnError('counting')
      failed(@Payload() args: Record<string, unknown>, @Ctx() ctx: JobContext): void {
        seen.push(['errback', { ...args }, { ...ctx.args }]);
        ctx.args['errback'] = true;
      }
    }
    const web = await system.application();
    await system.node({ providers: [Counting], to: web });
    const told = new Facts<Feedback>();
    await web.client.enqueue('counting', { start: 1 }, { onSuccess: told.tell });
    expect(await told.next()).toMatchObject({ result: 3, args: { start: 1, added: 3 } });
    expect(told.all[0]!.args).toEqual({ start: 1, added: 3 });
    expect(seen).toEqual([
      [1, { start: 1 }, { start: 1 }],
      ['errback', { start: 1, added: 1 }, { start: 1, added: 1 }],
      [2, { start: 1 }, { start: 1 }],
      ['errback', { start: 1, added: 2 }, { start: 1, added: 2 }],
      [3, { start: 1 }, { start: 1 }],
    ]);
  });

  it('may replace the args as a whole, and be of types that JSON does not have', async () => {
    @Injectable()
    class Replacing {
      @Job('replacing')
      replace(@Ctx() ctx: JobContext): Map<string, bigint> {
        ctx.args = { at: new Date(5), big: 7n, bytes: new Uint8Array([1, 2]) };
        return new Map([['x', 1n]]);
      }
    }
    const web = await system.application();
    await system.node({ providers: [Replacing], to: web });
    const told = new Facts<Feedback>();
    const job = await web.client.enqueue('replacing', { old: 1 }, { onSuccess: told.tell });
    expect(await job.result()).toEqual(new Map([['x', 1n]]));
    expect((await told.next()).args).toEqual({ at: new Date(5), big: 7n, bytes: new Uint8Array([1, 2]) });
  });
});

describe('ctx.job', () => {
  it('tells id, name, node, distributor, attempt, times, the last error and the rest', async () => {
    const infos: JobInfo[] = [];
    @Injectable()
    class Telling {
      @Job('telling', { maxAttempts: 2, backoff: 30 })
      tell(@Ctx() ctx: JobContext): void {
        infos.push(ctx.job);
        if (ctx.job.attempt === 1) throw Object.assign(new TypeError('the first time'), { code: 'E_FIRST' });
      }
    }
    const web = await system.application({ name: 'shop' });
    await system.node({ name: 'worker', providers: [Telling], to: web });
    const before = Date.now();
    const job = await web.client.enqueue('telling', {}, { priority: 7, after: 40 });
    await job.result();
    const after = Date.now();
    const [first, second] = infos as [JobInfo, JobInfo];
    expect(first).toMatchObject({
      id: job.id,
      name: 'telling',
      attempt: 1,
      run: 1,
      node: 'worker',
      distributor: 'shop',
      priority: 7,
      period: null,
      failedAt: null,
      lastError: null,
    });
    expect(first.enqueuedAt).toBeGreaterThanOrEqual(before);
    expect(first.runAt).toBe(first.enqueuedAt + 40);
    expect(first.startedAt!).toBeGreaterThanOrEqual(first.runAt);
    expect(second).toMatchObject({
      id: job.id,
      attempt: 2,
      enqueuedAt: first.enqueuedAt,
      lastError: { name: 'TypeError', message: 'the first time', code: 'E_FIRST' },
    });
    expect(second.failedAt!).toBeGreaterThanOrEqual(first.startedAt!);
    expect(second.runAt).toBe(second.failedAt! + 30);
    expect(second.startedAt!).toBeGreaterThanOrEqual(second.runAt);
    expect(second.startedAt!).toBeLessThanOrEqual(after);
  });

  it('tells the period and the run of a periodic job', async () => {
    const infos = new Facts<JobInfo>();
    @Injectable()
    class Ticking {
      @Job('ticking')
      tick(@Ctx() ctx: JobContext): void {
        infos.tell(ctx.job);
        if (ctx.job.run === 3) throw new CancelJob();
      }
    }
    const web = await system.application();
    await system.node({ providers: [Ticking], to: web });
    const job = await web.client.enqueue('ticking', {}, { period: 10 });
    await expect(job.result()).rejects.toBeInstanceOf(JobCancelled);
    expect(infos.all.map(({ run, attempt, period }) => [run, attempt, period])).toEqual([
      [1, 1, 10],
      [2, 1, 10],
      [3, 1, 10],
    ]);
  });
});

describe('CancelJob', () => {
  for (const [trouble, ran] of [
    ['job', ['job']],
    ['first', ['job', 'first']],
  ] as const) {
    it(`from ${trouble === 'job' ? 'the job' : 'a callback'}: no retry, no errback; the success feedback is told`, async () => {
      const given = world();
      const web = await start(given);
      const args: OrderArgs = { item: 'soup', trouble, how: 'cancel' };
      const job = await web.client.enqueue(Order, args, { ...given.closures, maxAttempts: 5, backoff: 0 });
      const error = await job.result().catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(JobCancelled);
      expect(error).toMatchObject({ code: 'JOB_CANCELLED', reason: `enough in ${trouble}`, jobId: job.id });
      await given.told.count(2);
      expect(given.told.all.map(({ by }) => by)).toEqual(['closure success', 'declared success']);
      expect(given.told.all[0]!.feedback).toMatchObject({
        status: 'cancelled',
        args: { item: 'soup', trail: ran },
        result: undefined,
        error: { message: `enough in ${trouble}`, code: 'JOB_CANCELLED' },
      });
      expect(given.names()).toEqual(ran);
    });
  }

  it('from an errback: no retry, and the error feedback is told', async () => {
    const tries: number[] = [];
    @Injectable()
    class GivingUp {
      @Job(Order)
      cook(@Ctx() ctx: Context): string {
        tries.push(ctx.job.attempt);
        throw new Error('broken');
      }
      @OnError(Order)
      giveUp(@Ctx() ctx: Context): void {
        expect(ctx.willRetry).toBe(true);
        ctx.args.trail = ['given up'];
        throw new CancelJob('no use');
      }
      @OnError(Order)
      afterwards(): void {
        tries.push(-1);
      }
    }
    const given = world();
    const web = await system.application({ providers: given.application });
    await system.node({ providers: [GivingUp], to: web });
    const options = { ...given.closures, maxAttempts: 5, backoff: 0 };
    const job = await web.client.enqueue(Order, { item: 'soup' }, options);
    await expect(job.result()).rejects.toMatchObject({ name: 'JobCancelled', reason: 'no use' });
    await given.told.count(2);
    expect(given.told.all.map(({ by }) => by)).toEqual(['closure error', 'declared error']);
    expect(given.told.all[0]!.feedback).toMatchObject({ status: 'cancelled', args: { trail: ['given up'] } });
    expect(tries).toEqual([1]);
  });
});
