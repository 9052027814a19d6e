import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { beforeEach, expect, it } from 'vitest';
import { Job, JobContext, type MysqlStorageOptions, type PostgresStorageOptions } from '../../lib/index.js';
import { describeEachDatabase } from '../support/databases.js';
import { within } from '../support/deadline.js';
import { eventually, Facts, reactors, type Application, type ReactorProcess } from '../support/reactor.js';
import { tcpProxy } from '../support/tcp-proxy.js';

type Ran = { id: string; attempt: number; fence: number; node: string };

/** The handler of `work` in this process; in one of its own it is that of reactor-process.ts. */
function works(ran: Facts<Ran>) {
  @Injectable()
  class Works {
    @Job('work')
    work(@Payload() args: { result?: unknown }, @Ctx() ctx: JobContext): unknown {
      ran.tell({ id: ctx.job.id, attempt: ctx.job.attempt, fence: ctx.fence, node: ctx.job.node });
      return args.result ?? ctx.job.node;
    }
  }
  return Works;
}

describeEachDatabase('nodes that share a database', ({ kind }) => {
  const system = reactors();
  let storage: (MysqlStorageOptions | PostgresStorageOptions) & { url: string; schema?: string };
  let web: Application;
  let ran: Facts<Ran>;
  beforeEach(async () => {
    storage = (await system.database(kind)) as typeof storage; // made by its URL
    web = await system.application();
    ran = new Facts();
  });

  const inProcess = (name: string, more: object = {}, joins = [web]): Promise<ReactorProcess> =>
    system.process(
      { node: { name, storage, distributors: joins.map(({ port }) => ({ host: '127.0.0.1', port })), ...more } },
      joins,
    );
  const here = (name: string, more: object = {}) =>
    system.node({ name, to: web, providers: [works(ran)], storage, ...more });
  const sql = async (
    statement: (leases: string, now: string) => string,
    then: (rows: Record<string, unknown>[]) => void = () => undefined,
  ): Promise<void> => {
    const { type, url, schema, entityPrefix = '' } = storage;
    const dataSource = await new DataSource({ type, url } as DataSourceOptions).initialize();
    const now =
      type === 'postgres'
        ? '(extract(epoch FROM clock_timestamp()) * 1000)::bigint'
        : 'CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)';
    const rows: unknown = await dataSource.query(
      statement(`${schema ? `${schema}.` : ''}${entityPrefix}job_reactor_leases`, now),
    );
    then(rows as Record<string, unknown>[]);
    await dataSource.destroy();
  };
  const feedbacks = async (): Promise<number> => {
    let count = 0;
    await sql(
      (leases) => `SELECT COUNT(*) AS n FROM ${leases.replace('leases', 'feedbacks')}`,
      ([row]) => (count = Number(row!['n'])),
    );
    return count;
  };
  /** As if it ran on another machine, where nobody can see that its process is gone; its lease ends in `left` ms. */
  const elsewhere = (name: string, left: number): Promise<void> =>
    sql(
      (leases, now) =>
        `UPDATE ${leases} SET process = 'elsewhere:1', expires_at = ${now} + ${left} WHERE name = '${name}'`,
    );
  const confirmed = (count: number, args: object, options: object = {}) =>
    web.client.enqueueMany(
      Array.from({ length: count }, () => ({ job: 'work', args, options: { confirm: 'stored' as const, ...options } })),
    );

  it('killed: what it ran and what waited there runs on another, a crash counted for what ran', async () => {
    const one = await inProcess('one', { concurrency: 2, prefetch: 100 });
    const jobs = await confirmed(10, { do: 'hang' });
    await one.started();
    await one.started();
    const later = await confirmed(3, {}, { after: '1500ms' });
    await here('two');
    await one.kill('SIGKILL');
    expect(await Promise.all(jobs.map((job) => job.result({ timeout: '60s' })))).toEqual(Array(10).fill('two'));
    expect(await Promise.all(later.map((job) => job.result({ timeout: '60s' })))).toEqual(Array(3).fill('two'));
    const started = new Set(one.starts.map(({ id }) => id));
    for (const { id, attempt, fence } of ran.all) {
      expect(attempt).toBe(started.has(id) ? 2 : 1);
      expect(fence).toBeGreaterThan(started.has(id) ? 1 : 0);
    }
    expect(ran.all).toHaveLength(13);
  });

  it('killed on another machine: its jobs are taken over when its lease has run out, by a timer and no earlier', async () => {
    const one = await inProcess('one');
    const [job] = await confirmed(1, { do: 'hang' });
    await one.started();
    await here('two');
    await elsewhere('one', -3_500);
    const aged = Date.now();
    await one.kill('SIGKILL');
    expect(await job!.result({ timeout: '60s' })).toBe('two');
    expect(Date.now() - aged).toBeGreaterThanOrEqual(1_450);
  });

  it('stopped: what it leaves runs on another within a second', async () => {
    const one = await inProcess('one', { concurrency: 1, prefetch: 100, drainTimeout: 100 });
    const jobs = await confirmed(5, { do: 'hang' });
    await one.started();
    await here('two');
    const stopped = one.kill('SIGTERM');
    const first = await ran.next();
    await stopped;
    const at = Date.now();
    await Promise.all(jobs.map((job) => job.result({ timeout: '30s' })));
    expect(Date.now() - at).toBeLessThan(1_000);
    // An attempt that a stop interrupts does not count.
    expect(first.attempt).toBe(1);
    expect(ran.all.every(({ attempt }) => attempt === 1)).toBe(true);
  });

  it('frozen while it ran a job: another takes over, and what the frozen one brings later is refused', async () => {
    const one = await inProcess('one');
    const [job] = await confirmed(1, { do: 'wait' });
    const [waiting] = await confirmed(1, {}, { after: '1 hour' });
    await one.started();
    await here('two');
    process.kill(one.child.pid!, 'SIGSTOP');
    await elsewhere('one', -60_000);
    // Its connection stands for now; somebody comes who reads the leases.
    await here('three', { concurrency: 1 });
    const winner = await job!.result({ timeout: '60s' });
    expect(['two', 'three']).toContain(winner);
    process.kill(one.child.pid!, 'SIGCONT');
    one.finish(job!.id, 'too late');
    await eventually(
      'it is back',
      async () => (await web.client.run('work', {}, { node: 'one', strictNode: true })) === undefined,
    );
    expect((await web.client.find(waiting!.id))?.node).not.toBe('one');
    expect(await web.client.find(job!.id)).toBeNull();
    expect(ran.all.filter(({ id }) => id === job!.id)).toHaveLength(1);
  });

  it('too busy in one handler to renew its lease: another takes over, and its outcome is refused', async () => {
    const one = await inProcess('one');
    await here('two');
    const until = join(await system.folder(), 'until');
    const [job] = await confirmed(1, { do: 'block', until }, { node: 'one' });
    await one.started();
    await elsewhere('one', -60_000);
    // Nobody has noticed yet: somebody comes who reads the leases.
    await here('three', { concurrency: 1 });
    expect(['two', 'three']).toContain(await job!.result({ timeout: '50s' }));
    await writeFile(until, '');
    expect(ran.all.map(({ id, attempt }) => [id, attempt])).toEqual([[job!.id, 2]]);
    await eventually(
      'it is back',
      async () => (await web.client.run('work', { result: 'back' }, { node: 'one' })) === 'back',
    );
  });

  it('cut from its application only: it keeps its jobs, and brings the result when it is back', async () => {
    const proxy = await tcpProxy(web.port, '127.0.0.1');
    const one = await inProcess('one', {}, [{ ...web, port: proxy.port }]);
    await here('two');
    const told = new Facts<unknown>();
    const onSuccess = ({ result }: { result?: unknown }): void => told.tell(result);
    const job = await web.client.enqueue('work', { do: 'wait' }, { node: 'one', confirm: 'stored', onSuccess });
    await one.started();
    const lost = new Promise((resolve) => web.distributor.on('node lost', resolve));
    proxy.freeze();
    proxy.cut();
    await within(lost, 'the news of its loss');
    one.finish(job.id, 'done alone');
    await eventually('its end is committed', async () => (await feedbacks()) === 1);
    expect(told.all).toEqual([]);
    proxy.thaw();
    expect(await told.next()).toBe('done alone');
    expect(ran.all).toEqual([]);
    await proxy.close();
  });

  it('only who may run a job takes it over; what nobody may run waits', async () => {
    const one = await inProcess('one');
    const wishes = {
      never: { notNode: 'two' },
      only: { node: 'one', strictNode: true },
      rather: { node: 'three' },
      any: {},
    };
    const ids: Record<string, string> = {};
    for (const [wish, options] of Object.entries(wishes))
      ids[wish] = (await confirmed(1, {}, { after: '1 hour', ...options }))[0]!.id;
    const nodeOf = async (wish: keyof typeof wishes): Promise<string | null | undefined> =>
      (await web.client.find(ids[wish]!))?.node;
    await here('two');
    await one.kill('SIGKILL');
    await eventually(
      'two has what it may',
      async () => (await nodeOf('any')) === 'two' && (await nodeOf('rather')) === 'two',
    );
    expect(await nodeOf('never')).toBeUndefined();
    await here('three');
    await eventually('three has what two may not', async () => (await nodeOf('never')) === 'three');
    expect(await nodeOf('only')).toBeUndefined();
    await here('one');
    await eventually('one has its own', async () => (await nodeOf('only')) === 'one');
  });

  it('a job that would rather run on a node without a handler for it waits for that one 5 s, and no longer', async () => {
    const one = await inProcess('one');
    @Injectable()
    class Others {
      @Job('other work')
      other(): void {}
    }
    await system.node({ name: 'three', to: web, providers: [Others], storage });
    const [job] = await confirmed(1, {}, { after: '1 second', node: ['one', 'three'] });
    await here('two');
    await one.kill('SIGKILL');
    expect(await job!.result({ timeout: '20s' })).toBe('two');
  });

  it('a cancel that was kept for a node that died is delivered to the one that takes over', async () => {
    const one = await inProcess('one');
    const [job] = await confirmed(1, {}, { after: '1 hour' });
    await here('two');
    await elsewhere('one', 2_000);
    const lost = new Promise((resolve) => web.distributor.on('node lost', resolve));
    await one.kill('SIGKILL');
    await within(lost, 'the news of its loss');
    expect(await job!.cancel('not wanted')).toBe('pending');
    await expect(job!.result({ timeout: '60s' })).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
    expect(ran.all).toEqual([]);
  });

  it('a result nobody had acknowledged is brought by the one that takes over', async () => {
    const one = await inProcess('one');
    const proxy = await tcpProxy(web.port, '127.0.0.1');
    const behind = await inProcess('behind', {}, [{ ...web, port: proxy.port }]);
    const told = new Facts<unknown>();
    const onSuccess = ({ result }: { result?: unknown }): void => told.tell(result);
    const job = await web.client.enqueue('work', { do: 'wait' }, { node: 'behind', confirm: 'stored', onSuccess });
    await behind.started();
    proxy.freeze();
    behind.finish(job.id, 'brought by another');
    await eventually('its end is committed', async () => (await feedbacks()) === 1);
    await behind.kill('SIGKILL');
    await proxy.close();
    expect(await told.next()).toBe('brought by another');
    expect(told.all).toHaveLength(1);
    expect(one.starts).toEqual([]);
  });
  it('cut from its database: it starts nothing more and is interrupted before others take over', async () => {
    const url = new URL(storage.url);
    const proxy = await tcpProxy(Number(url.port || (kind === 'PostgreSQL' ? 5432 : 3306)), url.hostname);
    url.hostname = '127.0.0.1';
    url.port = String(proxy.port);
    const signals = new Facts<{ aborted: number }>();
    @Injectable()
    class Long {
      @Job('work')
      long(@Payload() args: { hang?: boolean }, @Ctx() ctx: JobContext): Promise<string> {
        if (!args.hang || ctx.job.node !== 'cut') return Promise.resolve(ctx.job.node);
        return new Promise((_, reject) =>
          ctx.signal.addEventListener('abort', () => {
            signals.tell({ aborted: Date.now() });
            reject(ctx.signal.reason as Error);
          }),
        );
      }
    }
    await system.node({ name: 'cut', to: web, providers: [Long], storage: { ...storage, url: url.href } });
    const [job] = await confirmed(1, { hang: true }, { node: 'cut' });
    await eventually('it runs', async () => (await web.client.find(job!.id))?.status === 'running');
    await system.node({ name: 'two', to: web, providers: [Long], storage });
    proxy.freeze();
    expect(await job!.result({ timeout: '60s' })).toBe('two');
    const { aborted } = await signals.next();
    expect(Date.now() - aborted).toBeGreaterThan(3_000);
    proxy.thaw();
    await eventually('the one that was cut takes jobs again', async () => {
      const again = await web.client.enqueue('work', {}, { node: 'cut', strictNode: true });
      return (await again.result({ timeout: 2_000 }).catch(() => null)) === 'cut';
    });
  }, 120_000);
});

describeEachDatabase('applications that share a database', ({ kind }) => {
  const system = reactors();

  it('killed with jobs that no node had: another instance of it sends them, and their results', async () => {
    const outbox = await system.database(kind);
    const ran = new Facts<Ran>();
    const first = await system.process({ distributor: { name: 'web', port: 0, outbox } });
    const second = await system.application({ name: 'web', outbox });
    const node = await system.node({ name: 'one', to: second, providers: [works(ran)] });
    const ids = await Promise.all(Array.from({ length: 20 }, () => first.enqueue('work', {})));
    expect(ran.all).toEqual([]);
    await first.kill('SIGKILL');
    // Nobody was connected to both, so it is the next one to come that has the leases read.
    await node.close();
    await system.node({ name: 'two', to: second, providers: [works(ran)] });
    await ran.count(20);
    expect(new Set(ran.all.map(({ id }) => id))).toEqual(new Set(ids));
    await eventually('nothing is left', () => second.distributor.backlog().unconfirmed === 0);
  });

  it('killed before any node had reached it: another instance of it has its jobs, with no node there', async () => {
    const outbox = await system.database(kind);
    const second = await system.application({ name: 'web', outbox });
    const first = await system.process({ distributor: { name: 'web', port: 0, outbox } });
    await first.enqueue('work', {});
    // It began later than the other one looked, and nobody will ever say that it is gone.
    await first.kill('SIGKILL');
    await eventually('it has been taken over', () => second.distributor.backlog().pending === 1);
  });

  it('stopped with jobs that no node had: another instance of it has them at once', async () => {
    const outbox = await system.database(kind);
    const ran = new Facts<Ran>();
    const first = await system.application({ outbox });
    const second = await system.application({ outbox });
    await system.node({ name: 'one', to: [first, second], providers: [works(ran)], accepts: ['other'] });
    await first.client.enqueueMany(Array.from({ length: 20 }, () => ({ job: 'work', args: {} })));
    await first.close();
    const stopped = performance.now();
    await eventually('they have been taken over', () => second.distributor.backlog().pending === 20);
    expect(performance.now() - stopped).toBeLessThan(5_000);
  });

  it('a node that loses one of them tells the other, which takes over', async () => {
    const outbox = await system.database(kind);
    const ran = new Facts<Ran>();
    const first = await system.process({ distributor: { name: 'web', port: 0, outbox } });
    const second = await system.application({ name: 'web', outbox });
    await system.node({ name: 'one', to: [first, second], providers: [works(ran)], accepts: ['other'] });
    const id = await first.enqueue('work', {});
    await first.kill('SIGKILL');
    await eventually('it has been taken over', () => second.distributor.backlog().pending === 1);
    expect(second.distributor.backlog().byName['work']).toBe(1);
    await system.node({ name: 'two', to: second, providers: [works(ran)] });
    expect((await ran.next()).id).toBe(id);
  });
});
