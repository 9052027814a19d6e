import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { Job, JobContext, OnError, OnErrorFeedback, type Feedback } from '../../lib/index.js';
import { signal } from '../support/deadline.js';
import { eventually, Facts, reactors } from '../support/reactor.js';

interface Args {
  do?: 'wait' | 'fail-once';
  result?: unknown;
}

class Works {
  readonly started = new Facts<{ id: string; run: number; attempt: number }>();
  readonly errors = new Facts<string>();
  readonly go = signal<unknown>();
}

function work(works: Works) {
  @Injectable()
  class Work {
    @Job('work')
    async work(@Payload() args: Args, @Ctx() ctx: JobContext): Promise<unknown> {
      const { id, run, attempt } = ctx.job;
      works.started.tell({ id, run, attempt });
      if (args.do === 'wait') return works.go.promise;
      if (args.do === 'fail-once' && attempt === 1) throw new Error('told to fail once');
      return args.result;
    }
    @OnError('work')
    failed(@Ctx() ctx: JobContext): void {
      works.errors.tell(ctx.job.id);
    }
  }
  return Work;
}

function told() {
  const feedbacks = new Facts<Feedback>();
  @Injectable()
  class Told {
    @OnErrorFeedback('work')
    failed(feedback: Feedback): void {
      feedbacks.tell(feedback);
    }
  }
  return { feedbacks, providers: [Told] };
}

const expired = {
  code: 'JOB_FAILED',
  status: 'failed',
  attempts: 0,
  error: { name: 'JobExpired', code: 'JOB_EXPIRED' },
};

describe('a job that is not started in time', () => {
  const system = reactors();

  it('because no node comes ends where it waits, and the application is told', async () => {
    const { feedbacks, providers } = told();
    const web = await system.application({ providers });
    const before = Date.now();
    const failed = signal<Feedback>();
    const job = await web.client.enqueue('work', { result: 1 }, { expires: 200, onError: failed.resolve });
    await expect(job.result({ timeout: '60s' })).rejects.toMatchObject(expired);
    expect(Date.now()).toBeGreaterThanOrEqual(before + 200);
    for (const feedback of [await failed.promise, await feedbacks.next()]) {
      expect(feedback).toMatchObject({
        id: `${job.id}:1`,
        status: 'failed',
        args: { result: 1 },
        error: { code: 'JOB_EXPIRED' },
        job: { attempt: 0, startedAt: null },
      });
    }
    expect(web.distributor.backlog()).toEqual({ unconfirmed: 0, pending: 0, byName: {} });
    expect(await web.client.find(job.id)).toBeNull();
    const works = new Works();
    await system.node({ to: web, providers: [work(works)] });
    expect(await web.client.run('work', { result: 'later' })).toBe('later');
    expect(works.started.all).toHaveLength(1);
  });

  it('because every slot is taken ends on the node: no attempt, no errback, and the row is kept as of any that failed', async () => {
    const works = new Works();
    const { feedbacks, providers } = told();
    const web = await system.application({ providers });
    await system.node({ to: web, providers: [work(works)], concurrency: 1 });
    const blocks = await web.client.enqueue('work', { do: 'wait' });
    await works.started.next();
    const job = await web.client.enqueue('work', {}, { expires: 1_500, confirm: 'stored' });
    await expect(job.result({ timeout: '60s' })).rejects.toMatchObject(expired);
    expect(await feedbacks.next()).toMatchObject({ error: { code: 'JOB_EXPIRED' }, job: { attempt: 0, node: 'one' } });
    expect(await web.client.find(job.id)).toMatchObject({
      status: 'failed',
      attempt: 0,
      lastError: { code: 'JOB_EXPIRED' },
    });
    works.go.resolve('undisturbed');
    expect(await blocks.result()).toBe('undisturbed');
    expect([works.started.all.length, works.errors.all]).toEqual([1, []]);
    // It is run again by whoever asks for it, and does not expire any more.
    const { job: again } = await web.client.retry(job.id);
    expect(await again!.result({ timeout: '60s' })).toBeUndefined();
    expect(works.started.all.at(-1)).toMatchObject({ id: job.id, run: 2, attempt: 1 });
  });

  it('because its node was away ends when the node is back', async () => {
    const works = new Works();
    const web = await system.application();
    const storage = { type: 'sqlite', database: join(await system.folder(), 'jobs.sqlite') } as const;
    const node = await system.node({ to: web, providers: [work(works)], storage });
    const at = new Date(Date.now() + 4_000);
    const job = await web.client.enqueue('work', {}, { after: 3_000, expires: at, confirm: 'stored' });
    const ended = expect(job.result({ timeout: '60s' })).rejects.toMatchObject(expired);
    await node.close();
    await eventually('it has expired', () => Date.now() > at.getTime());
    await system.node({ to: web, providers: [work(works)], storage });
    await ended;
    expect(works.started.all).toEqual([]);
  });

  it('because the application was away ends when the application is back', async () => {
    const outbox = { type: 'sqlite', database: join(await system.folder(), 'outbox.sqlite') } as const;
    const web = await system.application({ outbox });
    const at = Date.now() + 3_000;
    const job = await web.client.enqueue('work', {}, { expires: new Date(at).toISOString() });
    await web.close();
    await eventually('it has expired', () => Date.now() > at);
    const { feedbacks, providers } = told();
    const again = await system.application({ outbox, providers });
    expect(await feedbacks.next()).toMatchObject({ id: `${job.id}:1`, error: { code: 'JOB_EXPIRED' } });
    expect(again.distributor.backlog().unconfirmed).toBe(0);
  });

  it('and was too late from the beginning ends at once', async () => {
    const web = await system.application();
    const late = { expires: new Date(Date.now() - 1_000) };
    const waits = await web.client.enqueue('work', {}, late);
    await expect(waits.result({ timeout: '60s' })).rejects.toMatchObject(expired);
    const works = new Works();
    await system.node({ to: web, providers: [work(works)] });
    const sent = await web.client.enqueue('work', {}, late);
    await expect(sent.result({ timeout: '60s' })).rejects.toMatchObject(expired);
    expect(works.started.all).toEqual([]);
  });

  it('and comes from a process that is only a node is told to that node', async () => {
    const web = await system.application();
    const { client } = await system.node({ to: web });
    const job = await client.enqueue('work', {}, { expires: 100 });
    await expect(job.result({ timeout: '60s' })).rejects.toMatchObject(expired);
  });

  it('is one line of the log', async () => {
    const lines: string[] = [];
    const log = (line: unknown): void => void lines.push(String(line));
    const logger = { log, warn: log, error: log };
    const web = await system.application({ logger });
    const job = await web.client.enqueue('work', {}, { expires: 50 });
    await expect(job.result({ timeout: '60s' })).rejects.toMatchObject(expired);
    const [line, ...more] = lines.filter((one) => one.includes(job.id));
    expect(line).toMatch(/expired on distributor web before it could be started/);
    expect(more).toEqual([]);
  });
});

describe('a job that is started in time', () => {
  const system = reactors();

  it('does not expire, however long it runs, is tried again, or runs periodically', async () => {
    const works = new Works();
    const web = await system.application();
    await system.node({ to: web, providers: [work(works)] });
    const options = { expires: 5_000, backoff: 5_100 };
    const retried = await web.client.enqueue('work', { do: 'fail-once', result: 'second' }, options);
    const long = await web.client.enqueue('work', { do: 'wait' }, { expires: 5_000 });
    const periodic = await web.client.enqueue('work', {}, { expires: 5_000, period: 2_600 });
    expect(await retried.result({ timeout: '60s' })).toBe('second');
    works.go.resolve('long');
    expect(await long.result()).toBe('long');
    await works.started.next(({ id, run }) => id === periodic.id && run === 3);
    expect(await periodic.cancel()).toBe('cancelled');
  });

  it('leaves no timer behind that could end it later', async () => {
    const works = new Works();
    const web = await system.application();
    const here = await web.client.enqueue('work', { do: 'wait' }, { expires: 6_000 });
    const at = Date.now() + 6_000;
    await system.node({ to: web, providers: [work(works)] });
    await works.started.next();
    await eventually('its time is over', () => Date.now() > at + 100);
    works.go.resolve('well');
    expect(await here.result()).toBe('well');
  });
});

describe('one clear error for', () => {
  const system = reactors();

  it.each([
    [{ expires: 0 }, /expires: 0 is too short/],
    [{ expires: -1 }, /expires: -1 is negative/],
    [{ expires: 'soon' }, /expires: 'soon' is no duration/],
    [{ expires: new Date(NaN) }, /expires: .* is no time/],
    [{ expires: '2027-01-31T08:00' }, /expires: '2027-01-31T08:00' is no time/],
    [{ expires: null }, /expires: null is no duration/],
    [{ expires: '1m', after: '1m' }, /would have expired \(.*\) before it may start/],
    [{ expires: '1m', runAt: new Date('2999-01-01T00:00:00Z') }, /before it may start \(2999-01-01/],
  ])('%j', async (options, message) => {
    const { client } = await system.application();
    const enqueued = client.enqueue('work', {}, options as never);
    await expect(enqueued).rejects.toMatchObject({ code: 'INVALID_JOB' });
    await expect(enqueued).rejects.toThrow(message);
  });
});
