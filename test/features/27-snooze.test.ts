import { Catch, Injectable, UseFilters, type ExceptionFilter } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import { Job, JobContext, JobReactorClient, OnError, OnSuccess, Snooze } from '../../lib/index.js';
import { JobReactorTesting, JobReactorTestingModule } from '../../lib/testing/job-reactor-testing.module.js';
import { databaseKinds, describeEachDatabase } from '../support/databases.js';
import { eventually, Facts, reactors } from '../support/reactor.js';

const system = reactors();

/** A job that snoozes as often as its args say, and remembers each call. */
function naps(heard: Facts<string>) {
  const calls = new Map<string, number>();
  @Catch()
  class Everything implements ExceptionFilter {
    catch(exception: Error): never {
      heard.tell(`filter ${exception.name}`);
      throw exception;
    }
  }
  @Injectable()
  @UseFilters(Everything)
  class Naps {
    @Job('nap', { maxAttempts: 2, backoff: 1 })
    nap(@Payload() { times, fail }: { times: number; fail?: boolean }, @Ctx() ctx: JobContext<'nap'>): string {
      const { id, attempt, run } = ctx.job;
      const call = (calls.get(id) ?? 0) + 1;
      calls.set(id, call);
      heard.tell(`call ${call}, attempt ${attempt}, run ${run}, seen ${(ctx.args as { seen?: boolean }).seen}`);
      (ctx.args as { seen?: boolean }).seen = true;
      if (fail && call === 1) throw new Error('no');
      if (call <= times) throw new Snooze(30);
      return 'awake';
    }
    @OnSuccess('nap')
    success(): void {
      heard.tell('callback');
    }
    @OnError('nap')
    error(): void {
      heard.tell('errback');
    }
  }
  return Naps;
}

describe.each(['memory', ...databaseKinds] as const)('Snooze, with a storage in %s', (kind) => {
  it('runs the job again after its delay and spends no attempt, however often; nobody is told, and the args are as before', async () => {
    const storage = kind === 'memory' ? kind : await system.database(kind);
    const heard = new Facts<string>();
    const web = await system.application();
    await system.node({ to: web, storage, providers: [naps(heard)] });
    const began = Date.now();
    expect(await web.client.run('nap', { times: 3 })).toBe('awake');
    expect(Date.now() - began).toBeGreaterThanOrEqual(90);
    expect(heard.all).toEqual([
      'call 1, attempt 1, run 1, seen undefined',
      'call 2, attempt 1, run 1, seen undefined',
      'call 3, attempt 1, run 1, seen undefined',
      'call 4, attempt 1, run 1, seen undefined',
      'callback',
    ]);
  });
});

describeEachDatabase('Snooze, on a database that nodes share', ({ kind }) => {
  it('holds on another node when its own is killed: at its time, no attempt spent, and for its application', async () => {
    const storage = await system.database(kind);
    const ran = new Facts<{ at: number; attempt: number; run: number }>();
    @Injectable()
    class Work {
      @Job('work')
      work(@Ctx() { job }: JobContext): string {
        ran.tell({ at: Date.now(), attempt: job.attempt, run: job.run });
        return 'awake';
      }
    }
    const web = await system.application();
    const distributors = [{ host: '127.0.0.1', port: web.port }];
    const first = await system.process({ node: { name: 'first', storage, distributors } }, [web]);
    const job = await web.client.enqueue('work', { do: 'snooze', for: 8_000 });
    await eventually('it snoozes', async () => {
      const found = await web.client.find(job.id);
      return found?.status === 'queued' && found.dueAt > found.enqueuedAt;
    });
    const { dueAt } = (await web.client.find(job.id))!;
    await system.node({ name: 'second', to: web, storage, providers: [Work] });
    await first.kill('SIGKILL');
    expect(await job.result({ timeout: '60s' })).toBe('awake');
    expect(ran.all).toMatchObject([{ attempt: 1, run: 1 }]);
    expect(ran.all[0]!.at).toBeGreaterThanOrEqual(dueAt);
  });
});

it('after a failed attempt the next one stays the second', async () => {
  const heard = new Facts<string>();
  const web = await system.application();
  await system.node({ to: web, providers: [naps(heard)] });
  expect(await web.client.run('nap', { times: 2, fail: true })).toBe('awake');
  expect(heard.all.filter((one) => one.startsWith('call ')).map((one) => one.slice(0, 17))).toEqual([
    'call 1, attempt 1',
    'call 2, attempt 2',
    'call 3, attempt 2',
  ]);
});

it('a periodic job snoozes within its run, and a snoozed one can be found and cancelled', async () => {
  const heard = new Facts<string>();
  @Injectable()
  class Long {
    @Job('long')
    long(): void {
      throw new Snooze('1h');
    }
  }
  const web = await system.application();
  await system.node({ to: web, providers: [naps(heard), Long] });
  const periodic = await web.client.enqueue('nap', { times: 1 }, { period: 1 });
  await heard.next((one) => one.startsWith('call 3'));
  expect(heard.all.filter((one) => one.startsWith('call ')).map((one) => one.slice(0, 24))).toContain(
    'call 2, attempt 1, run 1',
  );
  await periodic.cancel();
  const job = await web.client.enqueue('long', {});
  await eventually('it sleeps', async () => (await web.client.find(job.id))!.startedAt !== null);
  await eventually('it waits', async () => (await web.client.find(job.id))!.status === 'queued');
  expect(await web.client.find(job.id)).toMatchObject({ attempt: 0, lastError: null });
  expect(await job.cancel()).toBe('cancelled');
});

it.each(databaseKinds)('the time of a snoozed job survives kill -9, with a storage in %s', async (kind) => {
  const storage = await system.database(kind);
  const web = await system.application();
  const options = {
    node: { name: 'one', storage, distributors: [{ host: '127.0.0.1', port: web.port }] },
  };
  const node = await system.process(options, [web]);
  const job = await web.client.enqueue('work', { do: 'snooze', for: 8_000 });
  const first = await node.started();
  await eventually('it is committed', async () => (await web.client.find(job.id))?.status === 'queued');
  await node.kill('SIGKILL');
  const again = await system.process(options, [web]);
  const second = await again.started();
  expect(second).toMatchObject({ id: job.id, attempt: 1 });
  expect(second.at - first.at).toBeGreaterThanOrEqual(4_000);
  expect(await job.result({ timeout: '60s' })).toBe('awake');
});

it('in an errback it is an error like any other; a delay that is none fails the attempt and says why', async () => {
  @Injectable()
  class Odd {
    @Job('odd', { maxAttempts: 1 })
    odd(): void {
      throw new Error('first');
    }
    @OnError('odd')
    late(): void {
      throw new Snooze('5m');
    }
    @Job('worse', { maxAttempts: 1 })
    worse(): void {
      throw new Snooze('soon');
    }
  }
  const web = await system.application();
  await system.node({ to: web, providers: [Odd] });
  await expect(web.client.run('odd', {})).rejects.toMatchObject({ error: { message: 'first' } });
  await expect(web.client.run('worse', {})).rejects.toMatchObject({
    error: { code: 'INVALID_OPTIONS', message: expect.stringMatching(/^Snooze: .*soon/) },
  });
});

it('the test kit tells of it', async () => {
  const heard = new Facts<string>();
  const module = await Test.createTestingModule({
    imports: [JobReactorTestingModule.forRoot({ mode: 'manual' })],
    providers: [naps(heard)],
  }).compile();
  await module.init();
  const kit = module.get(JobReactorTesting);
  await module.get(JobReactorClient).enqueue('nap', { times: 1 });
  expect(await kit.drain()).toMatchObject([{ status: 'snoozed', attempt: 1, error: undefined }]);
  await kit.advance(29);
  expect(await kit.runNext()).toBeNull();
  await kit.advance(1);
  expect(await kit.runNext()).toMatchObject({ status: 'succeeded', attempt: 1, result: 'awake' });
  await expect(kit.runJob('nap', { times: 9 })).rejects.toMatchObject({ code: 'JOB_SNOOZED', delay: 30 });
  await module.close();
});
