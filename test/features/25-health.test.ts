import { Controller, Get, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { HealthCheck, HealthCheckService } from '@nestjs/terminus';
import { Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.js';
import { defineJob, Job, JobReactorModule, type DatabaseOptions, type JobStorage } from '../../lib/index.js';
import { MemoryStorage } from '../../lib/storage/memory-storage.js';
import {
  JobReactorHealthIndicator,
  JobReactorHealthModule,
  type JobReactorHealthData,
  type JobReactorHealthOptions,
} from '../../lib/terminus/job-reactor-health.module.js';
import { databaseKinds } from '../support/databases.js';
import { eventually, reactors } from '../support/reactor.js';
import { tcpProxy } from '../support/tcp-proxy.js';

const Work = defineJob<{ n: number }, number>('work');

@Injectable()
class Works {
  @Job(Work)
  work(@Payload() { n }: { n: number }): number {
    return n;
  }
}

const system = reactors();
const imports = [JobReactorHealthModule];

/** What the indicator of a process says now. */
function asking({ app }: { app: { get(token: typeof JobReactorHealthIndicator): JobReactorHealthIndicator } }) {
  const indicator = app.get(JobReactorHealthIndicator);
  return (options?: JobReactorHealthOptions): JobReactorHealthData & { status: string } =>
    indicator.check('jobs', options).jobs;
}

describe('the health of an application', () => {
  it('is up when it listens; what its nodes run and what waits for one is told from memory', async () => {
    const web = await system.application({ imports });
    const health = asking(web);
    expect(health()).toEqual({
      status: 'up',
      distributor: { listens: true, nodes: 0, jobs: {}, unconfirmed: 0, pending: 0, oldest: 0, storage: 'memory' },
      node: null,
      problems: [],
    });
    expect(health({ jobs: [Work] })).toMatchObject({
      status: 'down',
      problems: ["Connected nodes that run 'work': 0, not 1."],
    });
    const node = await system.node({ to: web, providers: [Works] });
    await system.node({ to: web, name: 'two', providers: [Works] });
    expect(health({ jobs: ['work'], minNodes: 2 })).toMatchObject({
      status: 'up',
      distributor: { nodes: 2, jobs: { work: 2 } },
    });
    await node.close();
    await eventually('its goodbye is heard', () => health().distributor?.nodes === 1);
    expect(health({ jobs: ['work'], minNodes: 2 }).status).toBe('down');
  });

  it('a backlog is judged by its age and its size', async () => {
    const web = await system.application({ imports });
    const health = asking(web);
    await web.client.enqueue('nobody', {});
    await web.client.enqueue('nobody', {}, { priority: 9 });
    await eventually('it is some milliseconds old', () => health().distributor!.oldest > 20);
    expect(health({ maxBacklogAge: '1h', maxBacklog: 2 }).status).toBe('up');
    expect(health({ maxBacklogAge: 10 }).problems[0]).toMatch(/^A job has waited for a node for \d+ ms\.$/);
    expect(health({ maxBacklog: 1 }).problems).toEqual(['2 jobs wait for a node.']);
    await web.client.remove({ name: 'nobody' });
    expect(health({ maxBacklogAge: 0, maxBacklog: 0 })).toMatchObject({ status: 'up', distributor: { oldest: 0 } });
  });

  it('Terminus answers requests with it', async () => {
    @Controller('health')
    class HealthController {
      constructor(
        private readonly health: HealthCheckService,
        private readonly jobs: JobReactorHealthIndicator,
      ) {}
      @Get()
      @HealthCheck()
      check() {
        return this.health.check([() => this.jobs.check('jobs', { jobs: [Work] })]);
      }
    }
    @Module({
      imports: [JobReactorModule.forRoot({ distributor: { name: 'web', port: 0 } }), JobReactorHealthModule],
      controllers: [HealthController],
    })
    class AppModule {}
    const app = (await Test.createTestingModule({ imports: [AppModule] }).compile()).createNestApplication({
      logger: false,
    });
    await app.listen(0, '127.0.0.1');
    const answer = await fetch(`${await app.getUrl()}/health`);
    expect([answer.status, await answer.json()]).toMatchObject([
      503,
      { status: 'error', error: { jobs: { status: 'down', problems: [expect.stringContaining("run 'work'")] } } },
    ]);
    await app.close();
  });

  it('is down once it has stopped listening', async () => {
    const web = await system.application({ imports });
    const health = asking(web);
    await web.close();
    expect(health()).toMatchObject({ status: 'down', problems: ['The distributor does not listen.'] });
  });
});

describe('the health of a node', () => {
  it('is down while it is connected to none of its distributors', async () => {
    const web = await system.application();
    const node = await system.node({ to: web, providers: [Works], imports });
    const health = asking(node);
    expect(health()).toMatchObject({ status: 'up', node: { distributors: 1, running: 0, storage: 'memory' } });
    await web.close();
    await eventually('the connection is gone', () => health().node?.distributors === 0);
    expect(health()).toMatchObject({
      status: 'down',
      problems: ['The node is connected to 0 distributors, not 1.'],
    });
    expect(health({ minDistributors: 0 }).status).toBe('up');
  });

  it.each(databaseKinds)('with a storage in %s is up after its first commits', async (kind) => {
    const database = await system.database(kind);
    const web = await system.application({ imports, outbox: await system.database(kind) });
    const node = await system.node({ to: web, providers: [Works], imports, storage: database });
    expect(await web.client.run(Work, { n: 1 })).toBe(1);
    expect(asking(node)()).toMatchObject({ status: 'up', node: { storage: 'reachable' } });
    expect(asking(web)()).toMatchObject({ status: 'up', distributor: { storage: 'reachable' } });
  });

  it('is told without asking the storage anything', async () => {
    const asked: string[] = [];
    const kept = new MemoryStorage(systemClock);
    const storage = new Proxy<JobStorage>(kept, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return name === 'durable' ? true : value;
        return (...args: unknown[]): unknown => {
          asked.push(String(name));
          return (value as (...given: unknown[]) => unknown).apply(target, args);
        };
      },
    });
    const web = await system.application();
    const node = await system.node({ to: web, providers: [Works], imports, storage });
    await web.client.run(Work, { n: 1 });
    await eventually('it is settled', () => web.distributor.backlog().unconfirmed === 0);
    await new Promise((resolve) => setImmediate(resolve));
    const before = asked.length;
    expect(before).toBeGreaterThan(2);
    for (let ask = 0; ask < 100; ask++) expect(asking(node)().node?.storage).toBe('reachable');
    expect(asked.length).toBe(before);
  });

  it.each(databaseKinds.filter((kind) => kind !== 'SQLite'))(
    'is down from the first commit that %s does not take to the first it takes again',
    async (kind) => {
      const database = (await system.database(kind)) as DatabaseOptions & { url: string };
      const url = new URL(database.url);
      const proxy = await tcpProxy(Number(url.port), url.hostname);
      url.hostname = '127.0.0.1';
      url.port = String(proxy.port);
      const web = await system.application();
      const storage = { ...database, url: url.href } as DatabaseOptions;
      const node = await system.node({ to: web, providers: [Works], imports, storage });
      const health = asking(node);
      expect(await web.client.run(Work, { n: 1 })).toBe(1);
      expect(health().status).toBe('up');
      proxy.freeze();
      const job = await web.client.enqueue(Work, { n: 2 });
      await eventually('a commit has failed', () => health().node?.storage === 'unreachable');
      expect(health()).toMatchObject({ status: 'down', problems: ["The node's storage can not be reached."] });
      proxy.thaw();
      expect(await job.result({ timeout: '60s' })).toBe(2);
      expect(health()).toMatchObject({ status: 'up', node: { storage: 'reachable' } });
      await node.close();
      await proxy.close();
    },
  );
});

it('says which forRoot is meant, and refuses options that do not exist', async () => {
  const web = await system.application({ imports });
  const health = asking(web);
  expect(() => health({ reactor: 'other' })).toThrow(/The health of which/);
  expect(() => health({ minNode: 1 } as JobReactorHealthOptions)).toThrow(/minNode/);
  expect(() => health({ minNodes: 0 })).toThrow(/minNodes/);
  expect(() => health({ maxBacklogAge: 'soon' })).toThrow(/maxBacklogAge/);
  expect(() => health({ jobs: 'work' as unknown as [] })).toThrow(/jobs/);
});
