import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { DataSource } from 'typeorm';
import { beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.js';
import { Job, JobContext, JobReactorClient, type EnqueueOptions } from '../../lib/index.js';
import { createStorage } from '../../lib/storage/create-storage.js';
import { sqliteModule } from '../support/sqlite-module.js';
import { databaseKinds } from '../support/databases.js';
import { eventually, reactors, type Application } from '../support/reactor.js';

@Injectable()
class Where {
  @Job('where')
  where(@Ctx() ctx: JobContext): string {
    return ctx.job.node;
  }
}

/** A handler that has other nodes do its work. */
@Injectable()
class Delegates {
  constructor(private readonly jobs: JobReactorClient) {}

  @Job('delegate')
  async delegate(@Payload() args: EnqueueOptions): Promise<unknown> {
    return await this.jobs.run('where', {}, args);
  }

  @Job('fan-out')
  async fanOut(@Payload('count') count: number): Promise<unknown> {
    const jobs = await this.jobs.enqueueMany(Array.from({ length: count }, () => ({ job: 'where', args: {} })));
    return await Promise.all(jobs.map((job) => job.result()));
  }
}

describe('nodes with storages of different kinds side by side', () => {
  const system = reactors();
  let web: Application;
  let database: string;
  beforeEach(async () => {
    web = await system.application();
    database = join(await system.folder(), 'jobs.sqlite');
  });

  it('one node in memory and one on its own SQLite file both work for the same distributor', async () => {
    await system.node({ name: 'memory', to: web, providers: [Where] });
    await system.node({ name: 'sqlite', to: web, providers: [Where], storage: { type: 'sqlite', database } });
    const durable = Object.fromEntries(web.distributor.nodes().map((node) => [node.name, node.durable]));
    expect(durable).toEqual({ memory: false, sqlite: true });
    for (const node of ['memory', 'sqlite']) expect(await web.client.run('where', {}, { node })).toBe(node);
    const all = await web.client.enqueueMany(Array.from({ length: 100 }, () => ({ job: 'where', args: {} })));
    expect(new Set(await Promise.all(all.map((job) => job.result())))).toEqual(new Set(['memory', 'sqlite']));
  });

  it('what waits on the SQLite node outlives it, what ran is gone from its file', async () => {
    const storage = { type: 'sqlite', database } as const;
    const node = await system.node({ to: web, providers: [Where], storage });
    expect(await web.client.run('where', {})).toBe('one');
    const later = await web.client.enqueue('where', {}, { after: '1 year', confirm: 'stored' });
    await node.close();
    const file = createStorage(storage, systemClock);
    await file.open({ role: 'node', name: 'look', instance: '0192f000-0000-7000-8000-000000000001' });
    expect((await file.list({ limit: 10 })).map(({ id }) => id)).toEqual([later.id]);
    await file.close();
  });

  it('a storage may be given as options, as a DataSource of the application, or as a JobStorage', async () => {
    const storage = createStorage({ type: 'sqlite', database: `${database}-2` }, systemClock);
    const dataSource = new DataSource({ type: 'better-sqlite3', database, driver: await sqliteModule() });
    await system.node({
      name: 'options',
      to: web,
      providers: [Where],
      storage: { type: 'sqlite', database: `${database}-1` },
    });
    await system.node({ name: 'own', to: web, providers: [Where], storage });
    await system.node({ name: 'source', to: web, providers: [Where], storage: dataSource });
    for (const node of ['options', 'own', 'source']) expect(await web.client.run('where', {}, { node })).toBe(node);
    expect(web.distributor.nodes().every((node) => node.durable)).toBe(true);
  });

  it.each(databaseKinds.slice(1))('nodes and applications with names of their own share %s', async (kind) => {
    const storage = await system.database(kind);
    const api = await system.application({ name: 'api', outbox: storage });
    const shop = await system.application({ name: 'shop', outbox: storage });
    for (const name of ['one', 'two']) await system.node({ name, to: [api, shop], providers: [Where], storage });
    const later = await api.client.enqueue('where', {}, { after: '1 hour', node: 'one', confirm: 'stored' });
    for (const { client } of [api, shop]) {
      for (const node of ['one', 'two']) expect(await client.run('where', {}, { node })).toBe(node);
      const jobs = await client.enqueueMany(Array.from({ length: 300 }, () => ({ job: 'where', args: {} })));
      expect(new Set(await Promise.all(jobs.map((job) => job.result())))).toEqual(new Set(['one', 'two']));
    }
    // Whose a job is, is seen from outside: what waits is with its node, and nothing else is left.
    expect(await api.client.find(later.id)).toMatchObject({ node: 'one', status: 'queued' });
    await eventually('the outboxes are empty', () =>
      [api, shop].every(({ distributor }) => distributor.backlog().unconfirmed === 0),
    );
  });

  it.each(databaseKinds.slice(1))('three replicas of one node on one %s share its jobs', async (kind) => {
    const storage = await system.database(kind);
    const ran = new Map<number, number>();
    const replica = (number: number) => {
      @Injectable()
      class Replica {
        @Job('replica')
        run(): number {
          ran.set(number, (ran.get(number) ?? 0) + 1);
          return number;
        }
      }
      return Replica;
    };
    for (const number of [1, 2, 3]) await system.node({ name: 'one', to: web, providers: [replica(number)], storage });
    const jobs = await web.client.enqueueMany(Array.from({ length: 300 }, () => ({ job: 'replica', args: {} })));
    const results = await Promise.all(jobs.map((job) => job.result()));
    expect(new Set(results)).toEqual(new Set([1, 2, 3]));
    expect([...ran.values()].reduce((sum, each) => sum + each)).toBe(300);
  });

  it('two nodes on one SQLite file: the second is refused and told why', async () => {
    const storage = { type: 'sqlite', database } as const;
    await system.node({ name: 'first', to: web, providers: [Where], storage });
    const second = system.node({ name: 'second', to: web, providers: [Where], storage });
    await expect(second).rejects.toMatchObject({ code: 'STORAGE_IN_USE', message: expect.stringContaining(database) });
    expect(await web.client.run('where', {})).toBe('first');
  });
});

describe('a node enqueues jobs for other nodes', () => {
  const system = reactors();

  it('over its connection, when it has no distributor of its own', async () => {
    const web = await system.application();
    await system.node({ name: 'boss', to: web, providers: [Delegates] });
    await system.node({ name: 'hand', to: web, providers: [Where] });
    expect(await web.client.run('delegate', {})).toBe('hand');
    expect(await web.client.run('fan-out', { count: 50 })).toEqual(Array.from({ length: 50 }, () => 'hand'));
  });

  it('through its own distributor, when it has one', async () => {
    const boss = await system.node({
      name: 'boss',
      providers: [Delegates],
      distributor: { name: 'own' },
    });
    await system.node({ name: 'hand', to: boss, providers: [Where] });
    expect(await boss.client.run('delegate', {})).toBe('hand');
  });

  it('to the distributor it names, else to the first one connected', async () => {
    const web = await system.application({ name: 'web' });
    const api = await system.application({ name: 'api' });
    const boss = await system.node({ name: 'boss', to: [web, api], providers: [Delegates] });
    await system.node({ name: 'web-hand', to: web, providers: [Where] });
    await system.node({ name: 'api-hand', to: api, providers: [Where] });
    expect(await boss.client.run('where', {}, { distributor: 'web' })).toBe('web-hand');
    expect(await boss.client.run('where', {}, { distributor: 'api' })).toBe('api-hand');
    expect(await boss.client.run('where', {})).toMatch(/hand/);
    expect(await web.client.run('delegate', { distributor: 'api' })).toBe('api-hand');
  });

  it('with all a client can do: closures, find, cancel and the results of failures', async () => {
    const web = await system.application();
    const boss = await system.node({ name: 'boss', to: web, providers: [Delegates] });
    const waits = await boss.client.enqueue('where', {}, { node: 'hand', strictNode: true });
    expect(await boss.client.find(waits.id)).toMatchObject({ name: 'where', status: 'queued', node: null });
    expect(await waits.cancel('no longer needed')).toBe('cancelled');
    await expect(waits.result()).rejects.toMatchObject({ code: 'JOB_CANCELLED', reason: 'no longer needed' });
    await system.node({ name: 'hand', to: web, providers: [Where] });
    const told = new Promise((onSuccess) => void boss.client.enqueue('where', {}, { onSuccess }));
    expect(await told).toMatchObject({ status: 'succeeded', result: 'hand' });
  });
});
