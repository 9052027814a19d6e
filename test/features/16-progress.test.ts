import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { beforeEach, describe, expect, it } from 'vitest';
import { Job, JobContext, type JobHandle } from '../../lib/index.js';
import { signal, within } from '../support/deadline.js';
import { Facts, reactors, type Application } from '../support/reactor.js';

/** Lets a test say, step by step, what the handler tells. */
class Script {
  readonly started = new Facts<{ attempt: number; ctx: JobContext }>();
  readonly steps = new Facts<(ctx: JobContext) => unknown>();
}

function work(script: Script) {
  @Injectable()
  class Work {
    /** Takes steps until one answers something: that is its result. */
    @Job('work')
    async work(@Payload() _args: unknown, @Ctx() ctx: JobContext): Promise<unknown> {
      script.started.tell({ attempt: ctx.job.attempt, ctx });
      for (;;) {
        const answer = await (await script.steps.next())(ctx);
        if (answer !== undefined) return answer;
      }
    }
    @Job('count')
    count(@Payload() { to }: { to: number }, @Ctx() ctx: JobContext): string {
      for (let n = 1; n <= to; n++) ctx.progress(n);
      return 'counted';
    }
  }
  return Work;
}

/** What a subscriber saw, `'end'` at its completion. */
function watch(job: JobHandle<never> | JobHandle<string>): Facts<unknown> {
  const seen = new Facts<unknown>();
  job.progress$.subscribe({ next: seen.tell, complete: () => seen.tell('end') });
  return seen;
}

const tells = (value: unknown) => (ctx: JobContext) => ctx.progress(value);
const ends = (result: unknown) => () => result;
const throws = (message: string) => () => {
  throw new Error(message);
};

describe('job.progress$', () => {
  const system = reactors();
  let web: Application;
  let script: Script;
  beforeEach(async () => {
    script = new Script();
    web = await system.application();
    await system.node({ to: web, providers: [work(script)] });
  });

  it('tells what ctx.progress tells, in order, and completes with the job', async () => {
    const job = await web.client.enqueue('work', {});
    const seen = watch(job);
    for (const value of ['begun', { done: 1, of: 3 }, null]) {
      script.steps.tell(tells(value));
      expect(await seen.next()).toEqual(value);
    }
    script.steps.tell(ends('well'));
    expect(await job.result()).toBe('well');
    expect(await seen.next()).toBe('end');
    expect(seen.all).toEqual(['begun', { done: 1, of: 3 }, null, 'end']);
  });

  it('carries the types that args and results may have', async () => {
    const value = { at: new Date(5), big: 2n ** 70n, map: new Map([[1, new Set(['a'])]]), bytes: new Uint8Array([1]) };
    const seen = watch(await web.client.enqueue('work', {}));
    script.steps.tell(tells(value));
    expect(await seen.next()).toEqual(value);
    script.steps.tell(ends(1));
  });

  it('of a handler in a tight loop tells the latest, and the last one before the result', async () => {
    const job = await web.client.enqueue('count', { to: 20_000 });
    const seen = watch(job);
    expect(await job.result()).toBe('counted');
    expect(await seen.next((value) => value === 'end')).toBe('end');
    expect(seen.all.at(-2)).toBe(20_000);
    expect(seen.all.length).toBeLessThan(100);
  });

  it('tells the last value of a failed attempt, goes on with the next one, and completes when the job has failed', async () => {
    const job = await web.client.enqueue('work', {}, { maxAttempts: 2, backoff: 1 });
    const seen = watch(job);
    script.steps.tell((ctx) => {
      ctx.progress('first');
      throw new Error('told to fail');
    });
    expect(await seen.next()).toBe('first');
    await script.started.next(({ attempt }) => attempt === 2);
    script.steps.tell(tells('second'));
    expect(await seen.next()).toBe('second');
    script.steps.tell(throws('told to fail again'));
    expect(await seen.next()).toBe('end');
    await expect(job.result()).rejects.toMatchObject({ code: 'JOB_FAILED' });
  });

  it('tells nothing of an attempt that ran out of time, however long its handler goes on', async () => {
    const job = await web.client.enqueue('work', {}, { maxAttempts: 2, backoff: 1, timeout: '3s' });
    const seen = watch(job);
    const { ctx: old } = await script.started.next(({ attempt }) => attempt === 1);
    await script.started.next(({ attempt }) => attempt === 2);
    old.progress('of the old attempt');
    // The first of the two handlers that wait for a step is the old one.
    script.steps.tell(() => 'the old one ends');
    script.steps.tell(tells('of the new attempt'));
    expect(await seen.next()).toBe('of the new attempt');
    script.steps.tell(ends('in time'));
    expect(await job.result()).toBe('in time');
    expect(await seen.next()).toBe('end');
    expect(seen.all).toEqual(['of the new attempt', 'end']);
  });

  it('tells nothing after a cancel, and completes', async () => {
    const job = await web.client.enqueue('work', {});
    const seen = watch(job);
    const { ctx } = await script.started.next();
    expect(await job.cancel()).toBe('cancelled');
    ctx.progress('nobody asked');
    expect(await seen.next()).toBe('end');
    expect(await web.client.run('count', { to: 1 })).toBe('counted');
    expect(seen.all).toEqual(['end']);
    script.steps.tell(ends(null));
  });

  it('completes when the job is removed, and when it expires', async () => {
    const removed = await web.client.enqueue('nobody has this', {});
    const expired = await web.client.enqueue('nobody has this', {}, { expires: 50 });
    const seen = [watch(removed), watch(expired)];
    await web.client.remove(removed.id);
    for (const one of seen) expect(await one.next()).toBe('end');
  });

  it('completes at once when the job has ended before, also when nobody knows its end any more', async () => {
    const id = '018f0000-0000-7000-8000-00000000000a';
    const told = await web.client.enqueue('count', { to: 3 }, { id });
    await told.result();
    expect(await watch(told).next()).toBe('end');
    const gone = await web.client.enqueue('count', { to: 3 }, { id });
    expect(gone.duplicate).toBe(true);
    expect(await watch(gone).next()).toBe('end');
    await expect(gone.result()).rejects.toMatchObject({ code: 'RESULT_UNAVAILABLE' });
  });

  it('of a repeated id is told to every handle, and to every subscriber', async () => {
    const id = '018f0000-0000-7000-8000-00000000000a';
    const first = await web.client.enqueue('work', {}, { id });
    await script.started.next();
    const second = await web.client.enqueue('work', {}, { id });
    const seen = [watch(first), watch(first), watch(second)];
    script.steps.tell(tells('to all'));
    for (const one of seen) expect(await one.next()).toBe('to all');
    script.steps.tell(ends(1));
    for (const one of seen) expect(await one.next()).toBe('end');
  });

  it('tells no more to who has unsubscribed', async () => {
    const job = await web.client.enqueue('work', {});
    const stays = watch(job);
    const leaves = new Facts<unknown>();
    const subscription = job.progress$.subscribe(leaves.tell);
    script.steps.tell(tells(1));
    expect([await stays.next(), await leaves.next()]).toEqual([1, 1]);
    subscription.unsubscribe();
    script.steps.tell(tells(2));
    expect(await stays.next()).toBe(2);
    script.steps.tell(ends('well'));
    expect(await stays.next()).toBe('end');
    expect(leaves.all).toEqual([1]);
  });

  it('goes with a job that is run again', async () => {
    const job = await web.client.enqueue('work', {}, { maxAttempts: 1 });
    const before = watch(job);
    script.steps.tell(throws('told to fail'));
    expect(await before.next()).toBe('end');
    const { job: again } = await web.client.retry<'work'>(job.id);
    const seen = watch(again!);
    script.steps.tell(tells('better'));
    expect(await seen.next()).toBe('better');
    script.steps.tell(ends('well'));
    expect(await seen.next()).toBe('end');
    expect(before.all).toEqual(['end']);
  });

  it('of a value that can not be carried fails the attempt with its path', async () => {
    const job = await web.client.enqueue('work', {}, { maxAttempts: 5 });
    const seen = watch(job);
    script.steps.tell(tells({ step: { run: () => 1 } }));
    await expect(job.result()).rejects.toThrow(/progress\.step\.run/);
    expect(await seen.next()).toBe('end');
  });

  it('of a job that nobody listens to does no harm', async () => {
    const heard = signal();
    await web.client.enqueue('count', { to: 1000 }, { onSuccess: () => heard.resolve() });
    await within(heard.promise, 'its success');
  });
});

describe('job.progress$ of a job that a node submitted', () => {
  const system = reactors();

  it('comes to that node through the distributor', async () => {
    const script = new Script();
    const web = await system.application();
    await system.node({ name: 'one', to: web, providers: [work(script)] });
    const { client } = await system.node({ name: 'two', to: web });
    const job = await client.enqueue('work', {});
    const seen = watch(job);
    for (const value of [1, 2]) {
      script.steps.tell(tells(value));
      expect(await seen.next()).toBe(value);
    }
    script.steps.tell(ends('well'));
    expect(await seen.next()).toBe('end');

    const counts = await client.enqueue('count', { to: 100 });
    const counted = watch(counts);
    expect(await counted.next((value) => value === 'end')).toBe('end');
    expect(counted.all.at(-2)).toBe(100);
  });

  it('goes with its retry', async () => {
    const script = new Script();
    const web = await system.application();
    await system.node({ name: 'one', to: web, providers: [work(script)] });
    const { client } = await system.node({ name: 'two', to: web });
    const job = await client.enqueue('work', {}, { maxAttempts: 1 });
    script.steps.tell(throws('told to fail'));
    await expect(job.result()).rejects.toThrow();
    const { job: again } = await client.retry<'work'>(job.id);
    const seen = watch(again!);
    script.steps.tell(tells('better'));
    expect(await seen.next()).toBe('better');
    script.steps.tell(ends('well'));
    expect(await seen.next()).toBe('end');
  });
});
