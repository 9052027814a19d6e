import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { Job, JobContext } from '../../lib/index.js';
import { within } from '../support/deadline.js';
import { eventually, joined, reactors } from '../support/reactor.js';

@Injectable()
class Where {
  @Job('where')
  where(@Payload() args: { n: number }, @Ctx() ctx: JobContext) {
    return { node: ctx.job.node, distributor: ctx.job.distributor, n: args.n };
  }
}
const providers = [Where];

type Answer = { node: string; distributor: string; n: number };
const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

describe('several distributors and several nodes', () => {
  const system = reactors();

  it('in any combination: every node serves every distributor, and each answer returns to the one that asked', async () => {
    const web = await system.application({ name: 'web' });
    const api = await system.application({ name: 'api' });
    for (const name of ['one', 'two', 'three']) await system.node({ name, to: [web, api], providers, concurrency: 2 });
    for (const { client, name } of [
      { client: web.client, name: 'web' },
      { client: api.client, name: 'api' },
    ]) {
      const jobs = numbers(60).map((n) => ({ job: 'where', args: { n } }));
      const handles = await client.enqueueMany(jobs);
      const answers = (await Promise.all(handles.map((job) => job.result()))) as Answer[];
      expect(answers.map(({ n }) => n)).toEqual(numbers(60));
      expect(new Set(answers.map(({ distributor }) => distributor))).toEqual(new Set([name]));
      expect(new Set(answers.map(({ node }) => node))).toEqual(new Set(['one', 'two', 'three']));
    }
  });

  it('a distributor uses only the nodes that dialled it', async () => {
    const web = await system.application({ name: 'web' });
    const api = await system.application({ name: 'api' });
    await system.node({ name: 'for-web', to: web, providers });
    await system.node({ name: 'for-both', to: [web, api], providers });
    const names = async (client: typeof web.client) => {
      const handles = await client.enqueueMany(numbers(40).map((n) => ({ job: 'where', args: { n } })));
      const answers = (await Promise.all(handles.map((job) => job.result()))) as Answer[];
      return new Set(answers.map(({ node }) => node));
    };
    expect(await names(api.client)).toEqual(new Set(['for-both']));
    expect(await names(web.client)).toEqual(new Set(['for-web', 'for-both']));
  });

  it('replicas share a name: both applications get their own results, both nodes get work', async () => {
    const applications = [await system.application({ name: 'web' }), await system.application({ name: 'web' })];
    await system.node({ name: 'one', to: applications, providers });
    await system.node({ name: 'one', to: applications, providers });
    for (const { client, distributor } of applications) {
      expect(new Set(distributor.nodes().map(({ instance }) => instance)).size).toBe(2);
      const answers = await Promise.all(numbers(20).map((n) => client.run('where', { n })));
      expect((answers as Answer[]).map(({ n }) => n)).toEqual(numbers(20));
    }
  });

  it('one process can be application and node at once', async () => {
    const both = await system.node({ name: 'one', distributor: { name: 'web' }, providers });
    expect(await both.client.run('where', { n: 1 })).toEqual({ node: 'one', distributor: 'web', n: 1 });
  });

  it('in many processes: an application here, nodes in processes of their own', async () => {
    const web = await system.application();
    const distributors = [{ host: '127.0.0.1', port: web.port }];
    const start = (name: string) =>
      system.process({ node: { name, storage: 'memory', distributors, concurrency: 1, prefetch: 1 } }, [web]);
    const nodes = await Promise.all([start('one'), start('two')]);
    const handles = await web.client.enqueueMany(
      numbers(40).map((n) => ({ job: 'work', args: { do: 'return', result: n } })),
    );
    expect(await Promise.all(handles.map((job) => job.result()))).toEqual(numbers(40));
    // What a process tells its parent travels apart from the results, and may come after them.
    const starts = () => nodes.flatMap((node) => node.starts);
    await eventually('every start is told', () => starts().length >= 40);
    expect(new Set(starts().map(({ id }) => id)).size).toBe(40);
    expect(starts()).toHaveLength(40);
    for (const node of nodes) expect(node.starts.length).toBeGreaterThan(0);
  });

  it('in many processes: an application in a process of its own, a node here', async () => {
    const web = await system.process({ distributor: { name: 'web', port: 0 } });
    await system.node({ to: web, providers });
    const id = await web.enqueue('where', { n: 7 });
    expect(await web.result(id)).toMatchObject({ result: { node: 'one', distributor: 'web', n: 7 } });
  });
});

describe('nodes join and leave at any time', () => {
  const system = reactors();

  it('one that joins gets work at once, one that leaves gets none any more, and the distributor tells of both', async () => {
    const web = await system.application();
    const told: string[] = [];
    web.distributor.on('node joined', ({ node }) => told.push(`${node.name} joined`));
    web.distributor.on('node left', ({ node }) => told.push(`${node.name} left`));
    const one = await system.node({ name: 'one', to: web, providers });
    expect(await web.client.run('where', { n: 1 })).toMatchObject({ node: 'one' });
    await system.node({ name: 'two', to: web, providers });
    expect(web.distributor.nodes().map(({ name }) => name)).toEqual(['one', 'two']);
    await one.close();
    await eventually('the distributor knows that one left', () => web.distributor.nodes().length === 1);
    for (const n of numbers(10)) expect(await web.client.run('where', { n })).toMatchObject({ node: 'two' });
    expect(told).toEqual(['one joined', 'two joined', 'one left']);
  });

  it('one may come and go while jobs are flowing, and every job is answered once', async () => {
    const web = await system.application();
    await system.node({ name: 'stays', to: web, providers });
    const results: Promise<unknown>[] = [];
    for (const round of numbers(4)) {
      const guest = await system.node({ name: 'guest', to: web, providers });
      const handles = await web.client.enqueueMany(
        numbers(200).map((n) => ({ job: 'where', args: { n: round * 200 + n } })),
      );
      results.push(...handles.map((job) => job.result({ timeout: '60s' })));
      await guest.close();
    }
    const answers = (await Promise.all(results)) as Answer[];
    expect(answers.map(({ n }) => n)).toEqual(numbers(800));
  });

  it('a node that was there before its application finds it when it comes', async () => {
    const first = await system.application();
    const { port } = first;
    await first.close();
    await system.node({ name: 'early', providers, ...dialling(port) });
    const web = await system.application({ port });
    expect(await within(web.client.run('where', { n: 1 }), 'the answer')).toMatchObject({ node: 'early' });
  });

  it('an application that was away is found again', async () => {
    const first = await system.application();
    await system.node({ name: 'one', to: first, providers });
    await first.close();
    const again = await system.application({ port: first.port });
    await joined(again, 'one');
    expect(await again.client.run('where', { n: 2 })).toMatchObject({ node: 'one' });
  });

  it('a node that loses one of its distributors goes on serving the other', async () => {
    const web = await system.application({ name: 'web' });
    const api = await system.application({ name: 'api' });
    await system.node({ name: 'one', to: [web, api], providers });
    await web.close();
    expect(await api.client.run('where', { n: 3 })).toMatchObject({ distributor: 'api', n: 3 });
  });
});

/** An address where nobody listens yet, so nothing can be waited for. */
const dialling = (port: number) => ({ to: { port } });
