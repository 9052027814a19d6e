import { Injectable } from '@nestjs/common';
import { Ctx } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import {
  CancelJob,
  defineJob,
  Job,
  JobContext,
  JobFailed,
  OnError,
  OnSuccess,
  UnrecoverableError,
  type EnqueueOptions,
  type ErrorData,
  type Feedback,
  type JobDefinition,
  type JobInfo,
  type JobSettings,
  type JobsOptions,
} from '../../lib/index.js';
import { eventually, Facts, reactors } from '../support/reactor.js';

const system = reactors();

interface Set {
  application?: JobsOptions;
  node?: JobsOptions;
  definition?: JobSettings;
  decorator?: JobSettings;
  enqueue?: EnqueueOptions;
  /** Enqueue by its plain name: the application does not know the definition. */
  byName?: boolean;
  /** The attempt that succeeds. Default: none. */
  until?: number;
}

/** A job that fails with `error number <attempt>`, run to its end with the settings given at each place. */
async function attempts(given: Set): Promise<{ attempts: JobInfo[]; waits: number[]; status: string }> {
  const infos: JobInfo[] = [];
  const Flaky: JobDefinition = defineJob('flaky', given.definition);
  @Injectable()
  class Flakies {
    @Job(Flaky, given.decorator)
    run(@Ctx() ctx: JobContext): void {
      infos.push(ctx.job);
      if (ctx.job.attempt !== given.until) throw new RangeError(`error number ${ctx.job.attempt}`);
    }
  }
  const web = await system.application({ jobs: given.application });
  const node = await system.node({ providers: [Flakies], to: web, jobs: given.node });
  const told = new Facts<Feedback>();
  const closures = { onSuccess: told.tell, onError: told.tell };
  await web.client.enqueue(given.byName ? 'flaky' : Flaky, {}, { ...given.enqueue, ...closures });
  const { status } = await told.next();
  await node.close();
  await web.close();
  // Each attempt says when it was due and when the one before had failed.
  const waits = infos.slice(1).map(({ runAt, failedAt }) => runAt - failedAt!);
  return { attempts: infos, waits, status };
}

const count = async (given: Set): Promise<number> => (await attempts(given)).attempts.length;

describe('how often and how soon is said', () => {
  it('by forRoot of the application', async () => {
    const { attempts: all, waits, status } = await attempts({ application: { maxAttempts: 3, backoff: 7 } });
    expect([all.length, waits, status]).toEqual([3, [7, 7], 'failed']);
  });

  it('by forRoot of the node', async () => {
    const { attempts: all, waits } = await attempts({ node: { maxAttempts: 4, backoff: '5ms' } });
    expect([all.length, waits]).toEqual([4, [5, 5, 5]]);
  });

  it('by the definition, before both', async () => {
    const global = { maxAttempts: 5, backoff: 1 };
    const definition = { maxAttempts: 2, backoff: 9 };
    const { attempts: all, waits } = await attempts({ application: global, node: global, definition });
    expect([all.length, waits]).toEqual([2, [9]]);
  });

  it('by the definition on the node, also when the application enqueues by the plain name', async () => {
    expect(await count({ definition: { maxAttempts: 2, backoff: 0 }, byName: true })).toBe(2);
    expect(await count({ decorator: { maxAttempts: 3, backoff: 0 }, byName: true })).toBe(3);
  });

  it('by the definition on the node before forRoot of an application that does not know it', async () => {
    const application = { maxAttempts: 4, backoff: 3 };
    const definition = { maxAttempts: 2, backoff: 9 };
    const { attempts: all, waits } = await attempts({ application, definition, byName: true });
    expect([all.length, waits]).toEqual([2, [9]]);
  });

  it('by the settings of @Job before those of the definition it is given', async () => {
    const definition = { maxAttempts: 5, backoff: 1 };
    const { attempts: all, waits } = await attempts({ definition, decorator: { maxAttempts: 2, backoff: 8 } });
    expect([all.length, waits]).toEqual([2, [8]]);
  });

  it('by one enqueue, before everything else', async () => {
    const others = { maxAttempts: 5, backoff: 1 };
    const enqueue = { maxAttempts: 3, backoff: 6 };
    const given = { application: others, node: others, definition: others, decorator: others, enqueue };
    const { attempts: all, waits } = await attempts(given);
    expect([all.length, waits]).toEqual([3, [6, 6]]);
  });

  it('in parts: what one place leaves out the next one says', async () => {
    const given = { application: { backoff: 4 }, definition: { maxAttempts: 3 }, enqueue: { priority: 1 } };
    const { attempts: all, waits } = await attempts(given);
    expect([all.length, waits]).toEqual([3, [4, 4]]);
  });

  it('by nobody: 10 attempts, with attempt * 5 s between them', async () => {
    @Injectable()
    class Failing {
      @Job('failing') run(): void {
        throw new Error('always');
      }
    }
    const web = await system.application();
    await system.node({ providers: [Failing], to: web });
    expect(await count({ enqueue: { backoff: 0 } })).toBe(10);
    const job = await web.client.enqueue('failing', {});
    await eventually('a retry waits', async () => (await web.client.find(job.id))?.status === 'retrying');
    const found = await web.client.find(job.id);
    expect(found).toMatchObject({ attempt: 1, lastError: { message: 'always' } });
    expect(found!.dueAt - found!.failedAt!).toBe(5000);
    expect(await job.cancel()).toBe('cancelled');
  });

  it('as unlimited with null', async () => {
    const { attempts: all, status } = await attempts({ enqueue: { maxAttempts: null, backoff: 0 }, until: 25 });
    expect([all.length, status]).toEqual([25, 'succeeded']);
  });
});

describe('the wait between attempts', () => {
  it('is linear', async () => {
    const backoff = { type: 'linear', delay: 5 } as const;
    expect((await attempts({ enqueue: { maxAttempts: 4, backoff } })).waits).toEqual([5, 10, 15]);
  });

  it('is exponential without jitter', async () => {
    const backoff = { type: 'exponential', delay: 3, jitter: false } as const;
    expect((await attempts({ enqueue: { maxAttempts: 5, backoff } })).waits).toEqual([3, 6, 12, 24]);
  });

  it('is exponential with full jitter unless told otherwise', async () => {
    const backoff = { type: 'exponential', delay: 10 } as const;
    const { waits } = await attempts({ definition: { maxAttempts: 6, backoff } });
    const bounds = [10, 20, 40, 80, 160];
    expect(waits).toHaveLength(5);
    for (const [i, wait] of waits.entries()) expect(wait).toBeLessThanOrEqual(bounds[i]!);
    expect(waits).not.toEqual(bounds);
  });

  it('is bounded by max', async () => {
    const backoff = { type: 'exponential', delay: 4, max: 10, jitter: false } as const;
    expect((await attempts({ enqueue: { maxAttempts: 5, backoff } })).waits).toEqual([4, 8, 10, 10]);
  });

  it('is what an own function of the definition says of attempt and error', async () => {
    const asked: [number, ErrorData][] = [];
    const backoff = (attempt: number, error: ErrorData): number => {
      asked.push([attempt, error]);
      return attempt * attempt;
    };
    const given = { definition: { maxAttempts: 4, backoff }, application: { backoff: 500 } };
    expect((await attempts(given)).waits).toEqual([1, 4, 9]);
    expect(asked.map(([attempt, { name, message }]) => [attempt, name, message])).toEqual([
      [1, 'RangeError', 'error number 1'],
      [2, 'RangeError', 'error number 2'],
      [3, 'RangeError', 'error number 3'],
    ]);
  });

  it("is what an own function of the node's forRoot says", async () => {
    const node = { maxAttempts: 3, backoff: (attempt: number) => attempt + 10 };
    expect((await attempts({ node })).waits).toEqual([11, 12]);
  });
});

describe('attempts', () => {
  it('tell the errbacks whether more follow; the error feedback comes once, after the last', async () => {
    const steps: unknown[] = [];
    @Injectable()
    class Failing {
      @Job('failing', { maxAttempts: 3, backoff: 0 }) run(): void {
        throw new Error('always');
      }
      @OnError('failing') errback(@Ctx() ctx: JobContext): void {
        steps.push([ctx.job.attempt, ctx.willRetry, (ctx.error as Error).message]);
      }
    }
    const web = await system.application();
    await system.node({ providers: [Failing], to: web });
    const onError = ({ job }: Feedback): unknown => steps.push(['feedback', job.attempt]);
    const job = await web.client.enqueue('failing', {}, { onError });
    await expect(job.result()).rejects.toMatchObject({ attempts: 3 });
    expect(steps).toEqual([
      [1, true, 'always'],
      [2, true, 'always'],
      [3, false, 'always'],
      ['feedback', 3],
    ]);
  });

  it('run @Job again when it was a callback that failed', async () => {
    const steps: string[] = [];
    @Injectable()
    class Flaky {
      @Job('flaky', { backoff: 0 }) run(@Ctx() ctx: JobContext): string {
        steps.push(`job ${ctx.job.attempt}`);
        return `result ${ctx.job.attempt}`;
      }
      @OnSuccess('flaky') callback(@Ctx() ctx: JobContext): void {
        steps.push(`callback ${ctx.job.attempt}`);
        if (ctx.job.attempt < 3) throw new Error('not yet');
      }
    }
    const web = await system.application();
    await system.node({ providers: [Flaky], to: web });
    expect(await web.client.run('flaky', {})).toBe('result 3');
    expect(steps).toEqual(['job 1', 'callback 1', 'job 2', 'callback 2', 'job 3', 'callback 3']);
  });

  it('of a periodic job are not ended by a number that forRoot gives for all jobs', async () => {
    const runs: number[] = [];
    @Injectable()
    class Ticking {
      @Job('ticking') run(@Ctx() ctx: JobContext): void {
        runs.push(ctx.job.attempt);
        if (ctx.job.attempt === 4) throw new CancelJob('enough');
        throw new Error('always');
      }
    }
    const jobs = { maxAttempts: 2 };
    const web = await system.application({ jobs });
    await system.node({ providers: [Ticking], to: web, jobs });
    await expect(web.client.run('ticking', {}, { period: 5 })).rejects.toMatchObject({ reason: 'enough' });
    expect(runs).toEqual([1, 2, 3, 4]);
  });

  it('do not hold a slot while they wait', async () => {
    @Injectable()
    class Mixed {
      @Job('failing', { backoff: '1h' }) fail(): void {
        throw new Error('always');
      }
      @Job('fine') fine(): string {
        return 'done';
      }
    }
    const web = await system.application();
    await system.node({ providers: [Mixed], to: web, concurrency: 1 });
    const failing = await web.client.enqueue('failing', {});
    expect(await web.client.run('fine', {})).toBe('done');
    expect(await web.client.find(failing.id)).toMatchObject({ status: 'retrying', attempt: 1 });
  });
});

describe('never again', () => {
  const places = ['job', 'callback', 'errback'] as const;
  function thrower(place: (typeof places)[number], thrown: () => Error) {
    const steps: string[] = [];
    const pass = (step: string): void => {
      steps.push(step);
      if (step === place) throw thrown();
    };
    @Injectable()
    class Handlers {
      @Job('job', { maxAttempts: null, backoff: 0 }) run(): void {
        pass('job');
        if (place === 'errback') throw new Error('for the errback');
      }
      @OnSuccess('job') callback(): void {
        pass('callback');
      }
      @OnError('job') errback(@Ctx() ctx: JobContext): void {
        steps.push(`willRetry ${ctx.willRetry}`);
        pass('errback');
      }
    }
    return { Handlers, steps };
  }

  for (const place of places) {
    it(`after CancelJob from the ${place}, whatever attempts are left`, async () => {
      const { Handlers, steps } = thrower(place, () => new CancelJob('stop it'));
      const web = await system.application();
      await system.node({ providers: [Handlers], to: web });
      await expect(web.client.run('job', {})).rejects.toMatchObject({ name: 'JobCancelled', reason: 'stop it' });
      expect(steps).toEqual(
        { job: ['job'], callback: ['job', 'callback'], errback: ['job', 'willRetry true', 'errback'] }[place],
      );
    });
  }

  for (const place of ['job', 'callback'] as const) {
    it(`after UnrecoverableError from the ${place}: it fails at once, and the errbacks know`, async () => {
      const cause = new Error('the cause');
      const { Handlers, steps } = thrower(place, () => new UnrecoverableError('hopeless', { cause }));
      const web = await system.application();
      await system.node({ providers: [Handlers], to: web });
      const error = await web.client.run('job', {}).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(JobFailed);
      expect(error).toMatchObject({
        status: 'failed',
        attempts: 1,
        error: { name: 'UnrecoverableError', message: 'hopeless' },
      });
      const ran = place === 'job' ? ['job'] : ['job', 'callback'];
      expect(steps).toEqual([...ran, 'willRetry false', 'errback']);
    });
  }

  it('after an error of a class that extends UnrecoverableError', async () => {
    class NoSuchUser extends UnrecoverableError {}
    const { Handlers } = thrower('job', () => new NoSuchUser('no such user'));
    const web = await system.application();
    await system.node({ providers: [Handlers], to: web });
    await expect(web.client.run('job', {})).rejects.toMatchObject({ attempts: 1, error: { name: 'NoSuchUser' } });
  });
});
