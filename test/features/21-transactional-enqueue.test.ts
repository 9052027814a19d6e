import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { DataSource, type DataSourceOptions, type EntityManager } from 'typeorm';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { Job, JobContext, type DatabaseOptions, type JobStorage, type StoredJob } from '../../lib/index.js';
import { systemClock } from '../../lib/clock.js';
import { createStorage } from '../../lib/storage/create-storage.js';
import { databaseKinds } from '../support/databases.js';
import { within } from '../support/deadline.js';
import { eventually, Facts, reactors, type Application } from '../support/reactor.js';

function work(ran: Facts<{ id: string; n: number }>) {
  @Injectable()
  class Work {
    @Job('work')
    work(@Payload() args: { n: number }, @Ctx() ctx: JobContext): number {
      ran.tell({ id: ctx.job.id, n: args.n });
      return args.n;
    }
  }
  return Work;
}

describe.each(databaseKinds.filter((kind) => kind !== 'SQLite'))('enqueue({ manager }) with %s', (kind) => {
  const system = reactors();
  let outbox: DatabaseOptions & { url: string; schema?: string };
  let web: Application;
  let source: DataSource;
  let ran: Facts<{ id: string; n: number }>;
  let orders: string;

  beforeEach(async () => {
    outbox = (await system.database(kind)) as typeof outbox;
    web = await system.application({ outbox });
    ran = new Facts();
    await system.node({ to: web, providers: [work(ran)] });
    source = await connect();
    orders = `${outbox.schema ? `${outbox.schema}.` : ''}${outbox.entityPrefix ?? ''}orders`;
    await source.query(`CREATE TABLE ${orders} (n integer)`);
    onTestFinished(() => source.query(`DROP TABLE IF EXISTS ${orders}`).then(() => source.destroy()));
  });

  /** The application's own. */
  const connect = (): Promise<DataSource> => {
    const { type, url } = outbox;
    return new DataSource({ type, url } as DataSourceOptions).initialize();
  };
  const order = (manager: EntityManager, n: number): Promise<unknown> =>
    manager.query(`INSERT INTO ${orders} VALUES (${n})`);
  const ordered = async (): Promise<number[]> =>
    ((await source.query(`SELECT n FROM ${orders} ORDER BY n`)) as { n: number }[]).map(({ n }) => n);
  const rolledBack = (transaction: Promise<unknown>): Promise<void> =>
    expect(transaction).rejects.toThrow('changed my mind');
  const changeMind = (): never => {
    throw new Error('changed my mind');
  };
  const count = async (): Promise<number> => {
    const rows = (await source.query(
      `SELECT COUNT(*) AS count FROM ${orders.replace(/orders$/, 'job_reactor_jobs')}`,
    )) as {
      count: unknown;
    }[];
    return Number(rows[0]!.count);
  };

  it('a job of a transaction that commits runs, and not before the COMMIT', async () => {
    const job = await source.transaction(async (manager) => {
      const enqueued = await web.client.enqueue('work', { n: 1 }, { manager });
      await order(manager, 1);
      // Long enough for the looks at a transaction whose end is not told.
      await new Promise((resolve) => setTimeout(resolve, 500));
      expect(ran.all).toEqual([]);
      expect(web.distributor.backlog().unconfirmed).toBe(0);
      return enqueued;
    });
    expect(await job.result({ timeout: '60s' })).toBe(1);
    expect(await ordered()).toEqual([1]);
    await eventually('the outbox is empty', async () => (await count()) === 0);
  });

  it('a job of a transaction that rolls back never was', async () => {
    let told: Promise<unknown> | undefined;
    await rolledBack(
      source.transaction(async (manager) => {
        await order(manager, 1);
        const job = await web.client.enqueue('work', { n: 1 }, { manager });
        told = expect(job.result()).rejects.toMatchObject({
          code: 'RESULT_UNAVAILABLE',
          message: expect.stringContaining('its transaction was rolled back'),
        });
        changeMind();
      }),
    );
    await within(told!, 'the word of the rollback');
    expect([await ordered(), await count()]).toEqual([[], 0]);
    await web.client.run('work', { n: 2 });
    expect(ran.all.map(({ n }) => n)).toEqual([2]);
  });

  it('of savepoints those that are kept, and none before the outer COMMIT', async () => {
    const [kept, dropped] = await source.transaction(async (manager) => {
      const inner = await manager.transaction((nested) => web.client.enqueue('work', { n: 1 }, { manager: nested }));
      let lost: Promise<unknown> | undefined;
      await rolledBack(
        manager.transaction(async (nested) => {
          const job = await web.client.enqueue('work', { n: 2 }, { manager: nested });
          lost = expect(job.result()).rejects.toMatchObject({ code: 'RESULT_UNAVAILABLE' });
          changeMind();
        }),
      );
      await new Promise((resolve) => setTimeout(resolve, 300)); // the release of a savepoint is told like a commit
      expect(ran.all).toEqual([]);
      return [inner, lost] as const;
    });
    expect(await kept.result({ timeout: '60s' })).toBe(1);
    await dropped;
    expect(ran.all.map(({ n }) => n)).toEqual([1]);
  });

  it('many at once, each with its own end: what committed runs once, what did not never', async () => {
    const numbers = Array.from({ length: 60 }, (_, n) => n);
    const results = await Promise.all(
      numbers.map((n) =>
        source
          .transaction(async (manager) => {
            await order(manager, n);
            const jobs = await web.client.enqueueMany(
              [n, n + 1000].map((args) => ({ job: 'work', args: { n: args }, options: { manager } })),
            );
            if (n % 3 === 0) {
              for (const job of jobs) job.result().catch(() => undefined);
              changeMind();
            }
            return jobs;
          })
          .catch(() => []),
      ),
    );
    const committed = numbers.filter((n) => n % 3 !== 0);
    const told = await Promise.all(results.flat().map((job) => job.result({ timeout: '60s' })));
    const expected = committed.flatMap((n) => [n, n + 1000]).sort((a, b) => a - b);
    expect((told as number[]).sort((a, b) => a - b)).toEqual(expected);
    expect(ran.all.map(({ n }) => n).sort((a, b) => a - b)).toEqual(expected);
    expect(await ordered()).toEqual(committed);
  });

  it('an id that is there is a duplicate, also within the transaction', async () => {
    const id = '018f0000-0000-7000-8000-00000000000b';
    const [first, again] = await source.transaction(async (manager) => [
      await web.client.enqueue('work', { n: 1 }, { manager, id }),
      await web.client.enqueue('work', { n: 2 }, { manager, id }),
    ]);
    expect([first!.duplicate, again!.duplicate]).toEqual([false, true]);
    expect(await first!.result({ timeout: '60s' })).toBe(1);
    const later = await source.transaction((manager) => web.client.enqueue('work', { n: 3 }, { manager, id }));
    expect(later.duplicate).toBe(true);
    expect(ran.all.map(({ n }) => n)).toEqual([1]);
  });

  it('a transaction that TypeORM does not know of is found out about', async () => {
    const runner = source.createQueryRunner();
    await runner.query('BEGIN');
    const job = await web.client.enqueue('work', { n: 1 }, { manager: runner.manager });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(ran.all).toEqual([]);
    await runner.query('COMMIT');
    await runner.release();
    expect(await within(job.result(), 'the result')).toBe(1);
  });

  it('what committed while the process died is sent by the next one', async () => {
    await web.close();
    // As the row is after the COMMIT, of a process that never came to send it.
    const storage: JobStorage = createStorage(outbox, systemClock);
    const { id } = await storage.open({ role: 'outbox', name: 'web', instance: crypto.randomUUID() });
    const job = {
      ...(await import('../support/sample-job.js')).sampleJob({ name: 'work', args: '{"n":5}' }),
    } as StoredJob;
    await source.transaction((manager) => storage.enlist!(manager, [job], () => undefined));
    await storage.close();
    const again = await system.application({ outbox });
    await system.node({ name: 'two', to: again, providers: [work(ran)] });
    expect(await ran.count(1)).toEqual([{ id: job.id, n: 5 }]);
    expect(id).toMatch(/-/);
  });

  it('leaves nothing behind in the DataSource of the application', async () => {
    await source.transaction((manager) => web.client.enqueue('work', { n: 1 }, { manager }));
    expect(source.subscribers).toHaveLength(1);
    await web.close();
    expect(source.subscribers).toHaveLength(0);
  });

  it('refuses a transaction in another database', async () => {
    const url = new URL(outbox.url);
    url.pathname = kind === 'PostgreSQL' ? '/postgres' : '/mysql';
    const other = await new DataSource({ type: outbox.type, url: url.href } as DataSourceOptions).initialize();
    onTestFinished(() => other.destroy());
    const enqueued = other.transaction((manager) => web.client.enqueue('work', { n: 1 }, { manager }));
    await expect(enqueued).rejects.toMatchObject({
      code: 'INVALID_JOB',
      message: expect.stringContaining('is not in the database of `distributor.outbox`'),
    });
    expect(await count()).toBe(0);
  });
});

describe('enqueue({ manager }) is refused', () => {
  const system = reactors();
  const manager = { query: async () => [], dataSource: {} };
  const refused = (enqueued: Promise<unknown>, message: RegExp): Promise<void> =>
    expect(enqueued).rejects.toMatchObject({ code: 'INVALID_JOB', message: expect.stringMatching(message) });

  it('by an outbox in memory or in SQLite, with the reason', async () => {
    const memory = await system.application({ name: 'memory' });
    await refused(memory.client.enqueue('work', {}, { manager }), /An outbox in memory can not be part/);
    const sqlite = await system.application({ name: 'sqlite', outbox: await system.database('SQLite') });
    await refused(sqlite.client.enqueue('work', {}, { manager }), /is a SQLite file with a connection of its own/);
    expect(sqlite.distributor.backlog().unconfirmed).toBe(0);
  });

  it('in a process without a distributor', async () => {
    const web = await system.application();
    const { client } = await system.node({ to: web });
    await refused(client.enqueue('work', {}, { manager }), /needs a distributor in this process/);
  });

  it('where it could never end, or means two things', async () => {
    const { client } = await system.application();
    await refused(client.enqueue('work', {}, { manager, confirm: 'stored' }), /only after your transaction/);
    await refused(client.run('work', {}, { manager }), /run\(\) waits for a result/);
    await refused(client.enqueue('work', {}, { manager: {} as never }), /must be the EntityManager/);
    const jobs = [
      { job: 'work', args: {}, options: { manager } },
      { job: 'work', args: {} },
    ];
    await refused(client.enqueueMany(jobs), /need the same `manager`/);
    await refused(client.enqueue('work', {}, { manager, distributor: 'other' }), /`distributor` can not be another/);
  });
});
