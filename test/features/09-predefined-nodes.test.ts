import { Injectable } from '@nestjs/common';
import { Ctx } from '@nestjs/microservices';
import { beforeEach, describe, expect, it } from 'vitest';
import { Job, JobContext, type EnqueueOptions } from '../../lib/index.js';
import { signal } from '../support/deadline.js';
import { eventually, reactors, type Application } from '../support/reactor.js';

@Injectable()
class Where {
  @Job('where')
  where(@Ctx() ctx: JobContext): string {
    return ctx.job.node;
  }
}

describe('predefined nodes', () => {
  const system = reactors();
  let web: Application;
  const start = async (...names: string[]) => {
    const nodes = [];
    for (const name of names) nodes.push(await system.node({ name, to: web, providers: [Where] }));
    return nodes;
  };
  const ranOn = async (options: EnqueueOptions, count = 30): Promise<string[]> => {
    const jobs = await web.client.enqueueMany(
      Array.from({ length: count }, () => ({ job: 'where', args: {}, options })),
    );
    return [...new Set((await Promise.all(jobs.map((job) => job.result()))) as string[])].sort();
  };
  beforeEach(async () => {
    web = await system.application();
  });

  it('without a wish every node that has the job gets some', async () => {
    await start('one', 'two', 'three');
    expect(await ranOn({})).toEqual(['one', 'three', 'two']);
  });

  it('`node`: the job runs there', async () => {
    await start('one', 'two', 'three');
    expect(await ranOn({ node: 'two' })).toEqual(['two']);
  });

  it('several `node`s: it runs on one of these, and all of them get work', async () => {
    await start('one', 'two', 'three');
    expect(await ranOn({ node: ['one', 'three'] })).toEqual(['one', 'three']);
  });

  it('`notNode`: it does not run there', async () => {
    await start('one', 'two', 'three');
    expect(await ranOn({ notNode: 'two' })).toEqual(['one', 'three']);
  });

  it('several `notNode`s: on none of these', async () => {
    await start('one', 'two', 'three');
    expect(await ranOn({ notNode: ['one', 'two'] })).toEqual(['three']);
  });

  it('a name that replicas share means any of them', async () => {
    await start('one', 'one', 'two');
    expect(await ranOn({ node: 'one' })).toEqual(['one']);
    expect(await ranOn({ notNode: 'one' })).toEqual(['two']);
  });

  it('preferred (the default): another node takes it when no preferred one is connected', async () => {
    const [one] = await start('one', 'two');
    expect(await ranOn({ node: 'three' })).toEqual(['one', 'two']);
    expect(await ranOn({ node: 'one' })).toEqual(['one']);
    await one!.close();
    await eventually('one is gone', () => web.distributor.nodes().length === 1);
    expect(await ranOn({ node: 'one' })).toEqual(['two']);
  });

  it('preferred: a node that is connected but has not the job is no reason to wait', async () => {
    await system.node({ name: 'one', to: web });
    await start('two');
    expect(await ranOn({ node: 'one' })).toEqual(['two']);
  });

  it('preferred and busy: the job waits for it, others do not take it', async () => {
    const go = signal();
    @Injectable()
    class Busy {
      @Job('busy')
      async busy(): Promise<void> {
        await go.promise;
      }
      @Job('where')
      where(@Ctx() ctx: JobContext): string {
        return ctx.job.node;
      }
    }
    await system.node({ name: 'one', to: web, providers: [Busy], concurrency: 1, prefetch: 0 });
    await start('two');
    const busy = await web.client.enqueue('busy', {}, { confirm: 'stored' });
    const waits = await web.client.enqueue('where', {}, { node: 'one' });
    expect(await ranOn({})).toEqual(['two']);
    expect(web.distributor.backlog().byName).toEqual({ where: 1 });
    go.resolve();
    await busy.result();
    expect(await waits.result()).toBe('one');
  });

  it('strict: it waits until that node is there, however many others are', async () => {
    await start('one');
    const job = await web.client.enqueue('where', {}, { node: 'two', strictNode: true });
    expect(await ranOn({})).toEqual(['one']);
    expect(web.distributor.backlog()).toMatchObject({ pending: 1 });
    await start('two');
    expect(await job.result({ timeout: '60s' })).toBe('two');
  });

  it('strict with several: any of them will do', async () => {
    await start('one');
    const jobs = await web.client.enqueueMany(
      Array.from({ length: 10 }, () => ({
        job: 'where',
        args: {},
        options: { node: ['two', 'three'], strictNode: true },
      })),
    );
    await start('three');
    expect(await Promise.all(jobs.map((job) => job.result({ timeout: '60s' })))).toEqual(Array(10).fill('three'));
  });

  it('`notNode` is always strict: with no other node the job waits', async () => {
    await start('one');
    const job = await web.client.enqueue('where', {}, { notNode: ['one', 'two'] });
    await start('two');
    expect(await ranOn({})).toEqual(['one', 'two']);
    expect(web.distributor.backlog().pending).toBe(1);
    await start('three');
    expect(await job.result({ timeout: '60s' })).toBe('three');
  });

  it('`node` and `notNode` together: preferred where one is there, never the other', async () => {
    const [, two] = await start('one', 'two', 'three');
    expect(await ranOn({ node: 'two', notNode: 'one' })).toEqual(['two']);
    await two!.close();
    await eventually('two is gone', () => web.distributor.nodes().length === 2);
    expect(await ranOn({ node: 'two', notNode: 'one' })).toEqual(['three']);
  });

  it('a node in both `node` and `notNode` is refused at enqueue', async () => {
    const job = web.client.enqueue('where', {}, { node: ['one', 'two'], notNode: 'one' });
    await expect(job).rejects.toMatchObject({ code: 'INVALID_JOB', message: expect.stringContaining("'one'") });
  });

  it('a wish that nobody can fulfil holds up no other job', async () => {
    await web.client.enqueueMany(
      Array.from({ length: 100 }, () => ({ job: 'where', args: {}, options: { node: 'never', strictNode: true } })),
    );
    await start('one');
    expect(await ranOn({})).toEqual(['one']);
    expect(web.distributor.backlog().pending).toBe(100);
  });

  it('wishes hold for deferred jobs and for every run of periodic ones', async () => {
    await start('one', 'two');
    expect(await ranOn({ node: 'two', after: 50 })).toEqual(['two']);
    const nodes: string[] = [];
    const three = signal();
    await web.client.enqueue(
      'where',
      {},
      {
        node: 'two',
        period: 10,
        onSuccess: ({ job }) => nodes.push(job.node) === 3 && three.resolve(),
      },
    );
    await three.promise;
    expect(new Set(nodes)).toEqual(new Set(['two']));
  });

  it('strict for all jobs of an application, where its `jobs.strictNode` says so', async () => {
    web = await system.application({ jobs: { strictNode: true } });
    await start('one');
    const job = await web.client.enqueue('where', {}, { node: 'two' });
    expect(await ranOn({ node: 'two', strictNode: false })).toEqual(['one']);
    expect(web.distributor.backlog().pending).toBe(1);
    await start('two');
    expect(await job.result({ timeout: '60s' })).toBe('two');
  });
});
