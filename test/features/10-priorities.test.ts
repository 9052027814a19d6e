import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { beforeEach, describe, expect, it } from 'vitest';
import { defineJob, Job, JobContext } from '../../lib/index.js';
import { signal } from '../support/deadline.js';
import { eventually, Facts, reactors, type Application } from '../support/reactor.js';

const Mail = defineJob<Record<string, unknown>, string>('mail');

/** Three jobs; `held` keeps its slot until told otherwise. */
function jobs(go: Promise<void> = Promise.resolve(), ran = new Facts<unknown>()) {
  @Injectable()
  class Jobs {
    @Job(Mail)
    mail(@Ctx() ctx: JobContext): string {
      return ctx.job.node;
    }
    @Job('report')
    report(@Payload() args: { n?: unknown }, @Ctx() ctx: JobContext): string {
      ran.tell(args.n);
      return ctx.job.node;
    }
    @Job('held')
    async held(@Ctx() ctx: JobContext): Promise<string> {
      await go;
      return ctx.job.node;
    }
  }
  return Jobs;
}

describe('nodes reserved for some jobs', () => {
  const system = reactors();
  let web: Application;
  const ranOn = async (job: string, count = 30): Promise<string[]> => {
    const handles = await web.client.enqueueMany(Array.from({ length: count }, () => ({ job, args: {} })));
    return [...new Set((await Promise.all(handles.map((handle) => handle.result()))) as string[])].sort();
  };
  beforeEach(async () => {
    web = await system.application();
  });

  it('`accepts`: a node takes only these, though it has handlers for others', async () => {
    await system.node({ name: 'any', to: web, providers: [jobs()] });
    await system.node({ name: 'mailer', to: web, providers: [jobs()], accepts: [Mail] });
    expect(await ranOn('report')).toEqual(['any']);
    expect(await ranOn('mail')).toEqual(['any', 'mailer']);
  });

  it('`accepts` takes names as well as definitions', async () => {
    await system.node({ name: 'both', to: web, providers: [jobs()], accepts: [Mail, 'report'] });
    expect(await ranOn('report', 1)).toEqual(['both']);
    expect(await ranOn('mail', 1)).toEqual(['both']);
    expect(web.distributor.nodes()[0]!.jobs.sort()).toEqual(['mail', 'report']);
  });

  it('other jobs wait, when the only node is reserved', async () => {
    await system.node({ name: 'mailer', to: web, providers: [jobs()], accepts: ['mail'] });
    const waits = await web.client.enqueue('report', {});
    expect(await ranOn('mail')).toEqual(['mailer']);
    expect(web.distributor.backlog().byName).toEqual({ report: 1 });
    await system.node({ name: 'any', to: web, providers: [jobs()] });
    expect(await waits.result({ timeout: '60s' })).toBe('any');
  });

  it('a reserved node is free for its jobs, however busy the others are', async () => {
    const go = signal();
    await system.node({ name: 'any', to: web, providers: [jobs(go.promise)], concurrency: 1, prefetch: 0 });
    await system.node({ name: 'mailer', to: web, providers: [jobs()], accepts: ['mail'], concurrency: 1 });
    const held = await web.client.enqueueMany(Array.from({ length: 20 }, () => ({ job: 'held', args: {} })));
    expect(await ranOn('mail')).toEqual(['mailer']);
    go.resolve();
    await Promise.all(held.map((job) => job.result()));
  });
});

describe('most free slots first', () => {
  const system = reactors();

  it('a job goes to the node with most free slots', async () => {
    const go = signal();
    const web = await system.application();
    await system.node({ name: 'small', to: web, providers: [jobs(go.promise)], concurrency: 2, prefetch: 0 });
    await system.node({ name: 'large', to: web, providers: [jobs(go.promise)], concurrency: 6, prefetch: 0 });
    await eventually('both have said what they take', () =>
      web.distributor.nodes().every((node) => node.freeSlots > 0),
    );
    const held = [];
    for (let n = 0; n < 4; n++) held.push(await web.client.enqueue('held', {}));
    // 6 against 2 free slots: the first four leave 2 and 2.
    const free = () => Object.fromEntries(web.distributor.nodes().map((node) => [node.name, node.freeSlots]));
    expect(free()).toEqual({ small: 2, large: 2 });
    for (let n = 0; n < 2; n++) held.push(await web.client.enqueue('held', {}));
    expect(free()).toEqual({ small: 1, large: 1 });
    go.resolve();
    const nodes = await Promise.all(held.map((job) => job.result()));
    expect(nodes.slice(0, 4)).toEqual(Array(4).fill('large'));
    expect(nodes.slice(4).sort()).toEqual(['large', 'small']);
  });

  it('nodes that are equally free take turns', async () => {
    const web = await system.application();
    for (const name of ['one', 'two', 'three']) await system.node({ name, to: web, providers: [jobs()] });
    const nodes = [];
    for (let n = 0; n < 9; n++) nodes.push(await web.client.run('mail', {}));
    for (const name of ['one', 'two', 'three']) expect(nodes.filter((node) => node === name).length).toBeGreaterThan(1);
  });

  it('a busy node gets nothing while another is free', async () => {
    const go = signal();
    const web = await system.application();
    await system.node({ name: 'busy', to: web, providers: [jobs(go.promise)], concurrency: 1, prefetch: 0 });
    const held = await web.client.enqueue('held', {}, { confirm: 'stored' });
    await system.node({ name: 'free', to: web, providers: [jobs()], concurrency: 1, prefetch: 0 });
    for (let n = 0; n < 5; n++) expect(await web.client.run('mail', {})).toBe('free');
    go.resolve();
    await held.result();
  });
});

describe.each(['memory', 'sqlite'] as const)('numeric priority, outbox and node storage %s', (kind) => {
  const system = reactors();
  let storage: (name: string) => 'memory' | { type: 'sqlite'; database: string };
  let ran: Facts<unknown>;
  const PRIORITIES = [0, 5, -3, 5, 0, 10, -3];
  const ORDER = ['10 #5', '5 #1', '5 #3', '0 #0', '0 #4', '-3 #2', '-3 #6'];
  const entries = (options = {}) =>
    PRIORITIES.map((priority, n) => ({
      job: 'report',
      args: { n: `${priority} #${n}` },
      options: { priority, ...options },
    }));
  beforeEach(async () => {
    const folder = await system.folder();
    storage = (name) => (kind === 'memory' ? kind : { type: 'sqlite', database: join(folder, `${name}.sqlite`) });
    ran = new Facts();
  });

  it('among jobs that wait in a distributor the higher leaves first, among equals the older', async () => {
    const web = await system.application({ outbox: storage('outbox') });
    await web.client.enqueueMany(entries());
    await system.node({
      to: web,
      providers: [jobs(undefined, ran)],
      storage: storage('node'),
      concurrency: 1,
      prefetch: 0,
    });
    expect(await ran.count(PRIORITIES.length)).toEqual(ORDER);
  });

  it('among jobs that wait on a node for a slot the higher runs first, among equals the older', async () => {
    const go = signal();
    const web = await system.application({ outbox: storage('outbox') });
    await system.node({
      to: web,
      providers: [jobs(go.promise, ran)],
      storage: storage('node'),
      concurrency: 1,
      prefetch: 20,
    });
    const held = await web.client.enqueue('held', {}, { confirm: 'stored' });
    await web.client.enqueueMany(entries({ confirm: 'stored' }));
    expect(web.distributor.backlog().pending).toBe(0);
    go.resolve();
    await held.result();
    expect(await ran.count(PRIORITIES.length)).toEqual(ORDER);
  });

  it('among deferred jobs whose time came while no slot was free as well', async () => {
    const go = signal();
    const web = await system.application();
    await system.node({ to: web, providers: [jobs(go.promise, ran)], storage: storage('node'), concurrency: 1 });
    await web.client.enqueue('held', {}, { confirm: 'stored' });
    const due = Date.now() + 150;
    await web.client.enqueueMany(entries({ runAt: due, confirm: 'stored' }));
    await eventually('their time has come', () => Date.now() > due + 50);
    expect(ran.all).toEqual([]);
    go.resolve();
    expect(await ran.count(PRIORITIES.length)).toEqual(ORDER);
  });

  it('a definition may give it, an enqueue overrules it', async () => {
    const go = signal();
    const High = defineJob<{ n: string }>('report', { priority: 7 });
    const web = await system.application();
    await web.client.enqueue(High, { n: 'low' }, { priority: -1 });
    await web.client.enqueue('report', { n: 'plain' });
    await web.client.enqueue(High, { n: 'high' });
    await system.node({
      to: web,
      providers: [jobs(go.promise, ran)],
      storage: storage('node'),
      concurrency: 1,
      prefetch: 0,
    });
    expect(await ran.count(3)).toEqual(['high', 'plain', 'low']);
  });
});
