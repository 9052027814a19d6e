import { Injectable } from '@nestjs/common';
import { Ctx } from '@nestjs/microservices';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../lib/clock.js';
import { Job, JobContext, type DatabaseOptions, type JobStorage } from '../../lib/index.js';
import { createStorage } from '../../lib/storage/create-storage.js';
import { MemoryStorage } from '../../lib/storage/memory-storage.js';
import { databaseKinds } from '../support/databases.js';
import { eventually, Facts, reactors } from '../support/reactor.js';

const YEAR = 365 * 24 * 3600 * 1000;

function work(ran: Facts<string>) {
  @Injectable()
  class Work {
    @Job('work')
    work(@Ctx() ctx: JobContext): void {
      ran.tell(ctx.job.id);
    }
  }
  return Work;
}

/**
 * Every statement of a storage: SQL of a database, calls of the port of the one in memory. Left out is what a shared
 * database is told every 10 s, that its lease is renewed; the unit tests count that.
 */
class Statements {
  readonly all: string[] = [];

  database(option: DatabaseOptions): JobStorage {
    const renewal = /^UPDATE \S+leases\S+ SET expires_at/;
    return createStorage(option, systemClock, { onStatement: (sql) => void (renewal.test(sql) || this.all.push(sql)) });
  }

  memory(): JobStorage {
    return new Proxy(new MemoryStorage(systemClock), {
      get: (storage, name) => {
        const value = Reflect.get(storage, name) as unknown;
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          this.all.push(String(name));
          return (value as (...given: unknown[]) => unknown).apply(storage, args);
        };
      },
    });
  }

  /** Those made from here on, until the given time is over and nothing else happened. */
  async during(milliseconds: number): Promise<string[]> {
    const before = this.all.length;
    await new Promise((resolve) => setTimeout(resolve, milliseconds)); // nothing is to happen: there is no event to wait for
    return this.all.slice(before);
  }
}

describe.each(['memory', ...databaseKinds] as const)('no statement looks for work, node storage %s', (kind) => {
  const system = reactors();
  let statements: Statements;
  let ran: Facts<string>;
  let storage: JobStorage;
  beforeEach(async () => {
    statements = new Statements();
    ran = new Facts();
    storage = kind === 'memory' ? statements.memory() : statements.database(await system.database(kind));
  });

  it('the counter counts: a job that runs makes statements', async () => {
    const web = await system.application();
    await system.node({ to: web, providers: [work(ran)], storage });
    const before = statements.all.length;
    await web.client.run('work', {});
    expect(statements.all.length).toBeGreaterThan(before);
  });

  it('zero statements while idle, with connections open and after work is done', async () => {
    const web = await system.application();
    await system.node({ to: web, providers: [work(ran)], storage });
    await quiet(statements);
    expect(await statements.during(500)).toEqual([]);
    const jobs = await web.client.enqueueMany(Array.from({ length: 50 }, () => ({ job: 'work', args: {} })));
    await Promise.all(jobs.map((job) => job.result()));
    await quiet(statements);
    expect(await statements.during(1500)).toEqual([]);
  });

  it('zero statements while jobs merely wait for their time, then one wake-up at that time', async () => {
    const web = await system.application();
    await system.node({ to: web, providers: [work(ran)], storage });
    const jobs = await web.client.enqueueMany(
      Array.from({ length: 300 }, (_, n) => ({
        job: 'work',
        args: {},
        options: { after: n === 0 ? 2000 : 3600_000 + n, confirm: 'stored' as const },
      })),
    );
    await quiet(statements);
    expect(await statements.during(1200)).toEqual([]);
    await jobs[0]!.result();
    expect(ran.all).toEqual([jobs[0]!.id]);
    await quiet(statements);
    expect(await statements.during(500)).toEqual([]);
  });

  it('zero statements while a retry and a period wait', async () => {
    const web = await system.application();
    await system.node({ to: web, providers: [work(ran), Fails], storage });
    await web.client.enqueue('work', {}, { period: '1 hour' });
    const fails = await web.client.enqueue('fails', {}, { backoff: '1 hour' });
    await ran.count(1);
    await eventually('both wait', async () => (await web.client.find(fails.id))?.status === 'retrying');
    await quiet(statements);
    expect(await statements.during(800)).toEqual([]);
  });

  it('zero statements while a distributor is away', async () => {
    const web = await system.application();
    await system.node({ to: web, providers: [work(ran)], storage });
    await web.client.enqueue('work', {}, { after: '1 hour', confirm: 'stored' });
    await web.close();
    await quiet(statements);
    expect(await statements.during(800)).toEqual([]);
  });

  it('a time years ahead is accepted and never fires early', async () => {
    const web = await system.application();
    const node = await system.node({ to: web, providers: [work(ran)], storage });
    const now = Date.now();
    // Beyond 2^31 - 1 ms setTimeout fires at once; 25 days is just beyond.
    const jobs = await web.client.enqueueMany(
      [{ after: 25 * 24 * 3600 * 1000 }, { after: '10 years' }, { runAt: now + 50 * YEAR }].map((options) => ({
        job: 'work',
        args: {},
        options: { ...options, confirm: 'stored' as const },
      })),
    );
    await quiet(statements);
    expect(await statements.during(500)).toEqual([]);
    expect(ran.all).toEqual([]);
    expect((await web.client.find(jobs[2]!.id))!.dueAt).toBe(now + 50 * YEAR);
    await web.client.run('work', {});
    expect(ran.all).toHaveLength(1);
    await node.close();
  });
});

describe('the outbox', () => {
  const system = reactors();

  it.each(databaseKinds)('in %s makes zero statements while idle and while jobs wait for a node', async (kind) => {
    const statements = new Statements();
    const web = await system.application({ outbox: statements.database(await system.database(kind)) });
    await quiet(statements);
    expect(await statements.during(300)).toEqual([]);
    await web.client.enqueueMany(Array.from({ length: 100 }, () => ({ job: 'work', args: {} })));
    expect(statements.all.length).toBeGreaterThan(0);
    await quiet(statements);
    expect(await statements.during(1200)).toEqual([]);
  });
});

describe('timers', () => {
  const system = reactors();
  const timers = vi.spyOn(globalThis, 'setTimeout');
  afterEach(() => timers.mockClear());

  it('one timer over a heap: a thousand deferred jobs arm no more than a handful', async () => {
    const ran = new Facts<string>();
    const web = await system.application();
    await system.node({ to: web, providers: [work(ran)], storage: 'memory' });
    // Due ever later, so that the first stays the next.
    const jobs = Array.from({ length: 1000 }, (_, n) => ({ job: 'work', args: {}, options: { after: 3600_000 + n } }));
    const before = active();
    timers.mockClear();
    const handles = await web.client.enqueueMany(jobs);
    await Promise.all(handles.map((job) => job.stored()));
    expect(timers.mock.calls.length).toBeLessThan(10);
    expect(active() - before).toBeLessThanOrEqual(2);
  });
});

@Injectable()
class Fails {
  @Job('fails')
  fails(): void {
    throw new Error('told to fail');
  }
}

const active = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;

/** What was under way has come to its end, also what waits for a connection of its own: nothing is counted before that is there. */
async function quiet(statements: Statements): Promise<void> {
  await eventually('no statement is under way', async () => (await statements.during(500)).length === 0);
}
