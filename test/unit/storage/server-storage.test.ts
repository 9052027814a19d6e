import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { DataSource, type DataSourceOptions, type QueryRunner } from 'typeorm';
import { afterEach, expect, it } from 'vitest';
import { systemClock, type Clock } from '../../../lib/clock.js';
import { undelivered } from '../../../lib/job/feedback-record.js';
import type { StoredJob } from '../../../lib/job/job.js';
import { createStorage } from '../../../lib/storage/create-storage.js';
import type { JobStorage, JobWrite, StorageOwner } from '../../../lib/storage/job-storage.js';
import type { StorageHooks, StorageOption } from '../../../lib/storage/storage-option.js';
import { MIGRATIONS_TABLE, jobReactorEntities, jobReactorMigrations } from '../../../lib/storage/typeorm/schema.js';
import { MysqlEngine } from '../../../lib/storage/typeorm/mysql/mysql-engine.js';
import { PostgresEngine } from '../../../lib/storage/typeorm/postgres/postgres-engine.js';
import { transaction } from '../../../lib/storage/typeorm/server/engine.js';
import { describeEachDatabase } from '../../support/databases.js';
import { signal, within } from '../../support/deadline.js';
import { Facts } from '../../support/facts.js';
import { ManualClock } from '../../support/manual-clock.js';
import { sampleFeedback, sampleJob } from '../../support/sample-job.js';
import type { StorageProcessMessage } from '../../support/storage-process.js';
import { tcpProxy, type TcpProxy } from '../../support/tcp-proxy.js';

const RUN = join(import.meta.dirname, '../../support/run-ts.mjs');
const PROGRAM = join(import.meta.dirname, '../../support/storage-process.ts');
const OWNER: StorageOwner = { role: 'node', name: 'node', instance: '0192f000-0000-7000-8000-000000000001' };
const OTHER = '0192f000-0000-7000-8000-000000000002';
const FIRST = { after: null, limit: 1000 };

describeEachDatabase('a database server', (database) => {
  const cleanups: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  type Options = Extract<StorageOption, { url?: string }> & { url: string; schema?: string; entityPrefix?: string };
  const place = (): Options => {
    const { storage, drop } = database.make();
    cleanups.push(drop);
    return storage as Options;
  };
  const create = (option: StorageOption, clock: Clock = systemClock, hooks: StorageHooks = {}): JobStorage => {
    const storage = createStorage(option, clock, hooks);
    cleanups.push(() => storage.close());
    return storage;
  };
  const source = async (options: Options, more: object = {}): Promise<DataSource> => {
    const own = { type: options.type, url: options.url, entityPrefix: options.entityPrefix, schema: options.schema };
    const dataSource = await new DataSource({ ...own, ...more } as DataSourceOptions).initialize();
    cleanups.push(() => dataSource.destroy());
    return dataSource;
  };
  const table = (options: Options, name: string): string =>
    `${options.schema ? `${options.schema}.` : ''}${options.entityPrefix ?? ''}job_reactor_${name}`;
  const throughProxy = async (options: Options): Promise<{ proxy: TcpProxy; option: Options }> => {
    const url = new URL(options.url);
    const proxy = await tcpProxy(Number(url.port || (options.type === 'postgres' ? 5432 : 3306)), url.hostname);
    cleanups.push(() => proxy.close());
    url.hostname = '127.0.0.1';
    url.port = String(proxy.port);
    return { proxy, option: { ...options, url: url.href } };
  };
  const insert = (job: StoredJob): JobWrite => ({ kind: 'insert', job });
  const running = (job: StoredJob): StoredJob => ({
    ...job,
    status: 'running',
    attempt: 1,
    fence: job.fence + 1,
    startedAt: 5,
  });

  it('eight processes that start at once make the tables once', async () => {
    const option = place();
    const storages = Array.from({ length: 8 }, () => create(option));
    const opened = await Promise.all(storages.map((storage, i) => storage.open({ ...OWNER, name: `node-${i}` })));
    expect(new Set(opened.map(({ id }) => id)).size).toBe(8);
    const dataSource = await source(option);
    const rows = (what: string): Promise<unknown[]> => dataSource.query(`SELECT * FROM ${table(option, what)}`);
    expect(await rows('migrations')).toHaveLength(jobReactorMigrations.length);
    expect(await rows('storage')).toHaveLength(1);
    expect(await rows('leases')).toHaveLength(8);
    for (const storage of storages) expect(await storage.commit([insert(sampleJob())])).toEqual(['done']);
  });

  it('two prefixes in one place are two storages', async () => {
    const option = place();
    const prefixes = ['a_', 'b_'].map((prefix) => `${option.entityPrefix ?? ''}${prefix}`);
    const storages = prefixes.map((entityPrefix) => create({ ...option, entityPrefix }));
    if (option.schema === undefined) {
      cleanups.unshift(async () => {
        const dataSource = await source(option);
        for (const entityPrefix of prefixes) {
          for (const name of ['jobs', 'feedbacks', 'tombstones', 'storage', 'leases', 'migrations'])
            await dataSource.query(`DROP TABLE IF EXISTS ${table({ ...option, entityPrefix }, name)}`);
        }
      });
    }
    const job = sampleJob();
    for (const storage of storages) {
      await storage.open(OWNER);
      expect(await storage.commit([insert(job)])).toEqual(['done']);
    }
    expect(await storages[0]!.countUnfinished()).toBe(1);
  });

  it('takes of a DataSource only how to connect: not its entities, its naming or its synchronize', async () => {
    const option = place();
    const application = await source(option, { synchronize: false, poolSize: 1, subscribers: [], logging: false });
    Object.assign(application.options, { synchronize: true, dropSchema: true, migrationsRun: true });
    const storage = create(application);
    await storage.open(OWNER);
    // Its only connection is busy, and ours are our own.
    await application.transaction(async () => {
      expect(await storage.commit([insert(sampleJob())])).toEqual(['done']);
    });
    await storage.close();
    expect(application.isInitialized).toBe(true);
    expect(await application.query(`SELECT * FROM ${table(option, 'jobs')}`)).toHaveLength(1);
  });

  it('teams may run the migrations themselves, back and forth', async () => {
    const option = place();
    const unmade = create({ ...option, migrate: false });
    await expect(unmade.open(OWNER)).rejects.toMatchObject({
      code: 'STORAGE',
      message: expect.stringContaining('run its migrations'),
    });
    if (option.schema)
      await (await source({ ...option, schema: undefined } as never)).query(`CREATE SCHEMA ${option.schema}`);
    const theirs = await source(option, {
      migrations: jobReactorMigrations,
      entities: jobReactorEntities,
      migrationsTableName: `${option.entityPrefix ?? ''}${MIGRATIONS_TABLE}`,
    });
    await theirs.runMigrations();
    for (const _ of jobReactorMigrations) await theirs.undoLastMigration();
    await theirs.runMigrations();
    const storage = create({ ...option, migrate: false });
    await storage.open(OWNER);
    const job = sampleJob({ name: 'seen.by.entities' });
    await storage.commit([insert(job)]);
    const [Job] = jobReactorEntities;
    expect(
      await theirs.getRepository(Job as typeof Job & { new (): StoredJob }).findOneBy({ id: job.id }),
    ).toMatchObject(job);
  });

  it('a schema that a newer version has changed beyond what this one can work with is refused', async () => {
    const option = place();
    const first = create(option);
    await first.open(OWNER);
    await first.close();
    await (await source(option)).query(`UPDATE ${table(option, 'storage')} SET schema_version = 1000`);
    await expect(create(option).open(OWNER)).rejects.toMatchObject({
      code: 'STORAGE',
      message: expect.stringMatching(/newer version .*schema 1000, this one knows \d+/),
    });
  });

  it('a server that is not there is said so, without its password', async () => {
    const url = new URL(place().url);
    Object.assign(url, { hostname: '127.0.0.1', port: '1', username: 'user', password: 'secret' });
    const type = database.kind === 'PostgreSQL' ? 'postgres' : 'mysql';
    const opening = create({ type, url: url.href }).open(OWNER);
    await expect(opening).rejects.toMatchObject({
      code: 'STORAGE_UNAVAILABLE',
      message: expect.stringMatching(/127\.0\.0\.1:1\/test.*ECONNREFUSED/),
    });
    await expect(opening).rejects.not.toMatchObject({ message: expect.stringContaining('secret') });
  });

  it('asks nothing while idle but to renew its lease, every 10 s', async () => {
    const clock = new ManualClock();
    const statements: string[] = [];
    let renewed = (): void => undefined;
    const storage = create(place(), clock, {
      onStatement(sql) {
        statements.push(sql);
        renewed();
      },
    });
    await storage.open(OWNER);
    await storage.commit([insert(sampleJob({ dueAt: clock.now() + 3_600_000 }))]);
    statements.length = 0;
    for (let seconds = 10; seconds <= 60; seconds += 10) {
      const next = new Promise<void>((resolve) => (renewed = resolve));
      clock.advance(9_999);
      expect(statements).toHaveLength(seconds / 10 - 1);
      clock.advance(1);
      await within(next, 'the renewal');
      // Its answer arms the next one.
      while (clock.nextDue === null || clock.nextDue <= clock.monotonic() + 5_000) await new Promise(setImmediate);
    }
    expect(statements).toEqual(Array(6).fill(expect.stringMatching(/^UPDATE .*leases.* SET expires_at/)));
  });

  const NOW = {
    postgres: '(extract(epoch FROM clock_timestamp()) * 1000)::bigint',
    other: 'CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)',
  };
  /** The process seems to be on another machine, and its lease ends `left` milliseconds from now. */
  const age = async (option: Options, name: string, left: number): Promise<void> => {
    const now = option.type === 'postgres' ? NOW.postgres : NOW.other;
    const set = `process = 'elsewhere:1', expires_at = ${now} + ${left}`;
    await (await source(option)).query(`UPDATE ${table(option, 'leases')} SET ${set} WHERE name = '${name}'`);
  };
  const takeOver = async (storage: JobStorage): Promise<StoredJob[]> => {
    const jobs: StoredJob[] = [];
    for (const peer of await storage.peers!.list())
      for await (const page of storage.peers!.adopt(peer, () => true)) jobs.push(...page.jobs);
    return jobs;
  };

  it('a process that was away for too long writes nothing of what others took over, and is told', async () => {
    const option = place();
    const [frozen, next] = [create(option), create(option)];
    await frozen.open(OWNER);
    const changes: string[] = [];
    frozen.peers!.onLease = (change) => changes.push(change);
    const [kept, ended, left] = [sampleJob(), sampleJob(), sampleJob()];
    await frozen.commit([insert(kept), insert(ended)]);
    await next.open({ ...OWNER, instance: OTHER });
    await age(option, OWNER.name, -60_000);
    await (
      await source(option)
    ).query(`UPDATE ${table(option, 'leases')} SET expires_at = ${Date.now() + 3_600_000} WHERE instance = '${OTHER}'`);
    expect((await takeOver(next)).map((job) => job.id).sort()).toEqual([kept.id, ended.id].sort());
    const stale = await frozen.commit([
      { kind: 'start', id: kept.id, fence: 0, change: running(kept) },
      { kind: 'delete', id: ended.id, fence: 0, feedback: sampleFeedback(ended) },
      insert(left),
    ]);
    expect(stale).toEqual(['stale', 'stale', 'done']);
    expect(
      await frozen.commit([
        { kind: 'save', id: kept.id, fence: 0, change: running(kept), feedback: sampleFeedback(kept) },
      ]),
    ).toEqual(['stale']);
    expect(changes).toEqual(['regained']);
    expect(await next.feedbacks(FIRST)).toEqual([]);
    expect(await frozen.unfinished(FIRST)).toEqual([left]);
    expect(
      await next.commit([{ kind: 'start', id: kept.id, fence: 1, change: running({ ...kept, fence: 1 }) }]),
    ).toEqual(['done']);
  });

  it('a process that was away for too long goes on with what nobody took over', async () => {
    const option = place();
    const storage = create(option);
    await storage.open(OWNER);
    const job = sampleJob();
    await storage.commit([insert(job)]);
    await age(option, OWNER.name, -60_000);
    expect(await storage.commit([{ kind: 'start', id: job.id, fence: 0, change: running(job) }])).toEqual(['done']);
    expect(await storage.unfinished(FIRST)).toMatchObject([{ id: job.id, status: 'running' }]);
  });

  it('tables that were emptied under a running process are found out, and nothing more is written', async () => {
    const option = place();
    const storage = create(option);
    await storage.open(OWNER);
    await storage.commit([insert(sampleJob())]);
    const dataSource = await source(option);
    for (const name of ['jobs', 'leases']) await dataSource.query(`DELETE FROM ${table(option, name)}`);
    const refused = { code: 'STORAGE', message: expect.stringContaining('set back to a backup') };
    await expect(storage.commit([insert(sampleJob())])).rejects.toMatchObject(refused);
    await expect(storage.commit([insert(sampleJob())])).rejects.toMatchObject(refused);
    expect(await dataSource.query(`SELECT id FROM ${table(option, 'jobs')}`)).toEqual([]);
    await storage.close();
    const again = create(option);
    await again.open({ ...OWNER, instance: OTHER });
    expect(await again.commit([insert(sampleJob())])).toEqual(['done']);
  });

  it('an old version goes on working while a newer one adds to the tables, and starts on them', async () => {
    const option = place();
    const [old, alsoOld] = [create(option), create(option)];
    await old.open(OWNER);
    const life = async (storage: JobStorage): Promise<void> => {
      const [kept, ended] = [sampleJob(), sampleJob()];
      expect(await storage.commit([insert(kept), insert(ended)])).toEqual(['done', 'done']);
      expect(await storage.commit([{ kind: 'start', id: ended.id, fence: 0, change: running(ended) }])).toEqual([
        'done',
      ]);
      expect(
        await storage.commit([{ kind: 'delete', id: ended.id, fence: 1, feedback: sampleFeedback(ended) }]),
      ).toEqual(['done']);
      expect(await storage.commit([{ kind: 'save', id: kept.id, fence: 0, change: running(kept) }])).toEqual(['done']);
      expect(await storage.get([kept.id, ended.id])).toEqual([running(kept)]);
      expect(await storage.commit([{ kind: 'forget-feedback', ids: [sampleFeedback(ended).id] }])).toEqual(['done']);
    };
    await life(old);
    // What a migration of a later version may do.
    const dataSource = await source(option);
    for (const name of ['jobs', 'feedbacks', 'leases', 'storage', 'tombstones']) {
      await dataSource.query(`ALTER TABLE ${table(option, name)} ADD COLUMN later varchar(10) NOT NULL DEFAULT 'x'`);
    }
    await dataSource.query(`UPDATE ${table(option, 'storage')} SET schema_version = 999`);
    await dataSource.query(
      `INSERT INTO ${table(option, 'migrations')} (timestamp, name) VALUES (9999999999999, 'Later9999999999999')`,
    );
    await life(old);
    await alsoOld.open({ ...OWNER, instance: OTHER });
    await life(alsoOld);
  });

  it('a lease that was taken over by mistake is gone for good', async () => {
    const option = place();
    const storage = create(option);
    await storage.open(OWNER);
    await (await source(option)).query(`UPDATE ${table(option, 'leases')} SET instance = '${OTHER}'`);
    await expect(storage.commit([insert(sampleJob())])).rejects.toMatchObject({ code: 'STORAGE_IN_USE' });
  });

  it('a lease that ran out is respected for the time that a statement may take', async () => {
    const option = place();
    const [dead, next] = [create(option), create(option)];
    await dead.open(OWNER);
    const job = sampleJob();
    await dead.commit([insert(job)]);
    await next.open({ ...OWNER, name: 'next', instance: OTHER });
    await age(option, OWNER.name, -4_000);
    expect(await takeOver(next)).toEqual([]);
    const [peer] = await next.peers!.list();
    expect(peer!.left).toBeGreaterThan(0);
    expect(peer!.left).toBeLessThanOrEqual(1_000);
    await age(option, OWNER.name, -5_000);
    expect(await takeOver(next)).toEqual([{ ...job, fence: 1 }]);
  });

  it('an outbox is told of others of its name that begin, by its next renewal and by no statement more', async () => {
    const option = place();
    const outbox = { ...OWNER, role: 'outbox' as const, name: 'web' };
    const clock = new ManualClock();
    const said = new Facts<string>();
    const first = create(option, clock, { onStatement: (sql) => /leases/.test(sql) && said.tell(sql) });
    await first.open(outbox);
    const told = new Facts<string>();
    first.peers!.onLease = (change) => told.tell(change);
    const renewal = (): Promise<string> => {
      clock.advance(10_000);
      return said.next((sql) => /AND newcomers = /.test(sql));
    };
    const renewed = async (): Promise<number> => {
      const before = said.all.length;
      await renewal();
      await first.countUnfinished();
      return said.all.length - before;
    };
    expect(await renewed()).toBe(1);
    for (const other of [
      { ...outbox, name: 'another' },
      { ...OWNER, name: 'web' },
    ]) {
      const storage = create(option);
      await storage.open({ ...other, instance: randomUUID() });
      await storage.close();
    }
    expect([await renewed(), told.all]).toEqual([1, []]);
    const second = create(option);
    await second.open({ ...outbox, instance: randomUUID() });
    await renewal();
    expect(await told.next()).toBe('newcomer');
    expect([await renewed(), told.all]).toEqual([1, ['newcomer']]);
    await second.close();
  });

  it('a process that can not renew its lease is told before others may take over, and again when it can', async () => {
    const { proxy, option } = await throughProxy(place());
    const clock = new ManualClock();
    const storage = create(option, clock);
    await storage.open(OWNER);
    const changes: [string, number][] = [];
    let changed = (): void => undefined;
    storage.peers!.onLease = (change) => {
      changes.push([change, clock.monotonic()]);
      changed();
    };
    const opened = clock.monotonic();
    proxy.freeze();
    const lost = new Promise<void>((resolve) => (changed = resolve));
    for (let seconds = 0; seconds < 22; seconds++) {
      expect(changes).toEqual([]);
      clock.advance(1_000);
      // What has failed arms the next try.
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    }
    await within(lost, 'the loss');
    expect(changes).toEqual([['lost', opened + 22_000]]);
    proxy.thaw();
    const regained = new Promise<void>((resolve) => (changed = resolve));
    await eventually(async () => {
      clock.advance(1_000);
      await new Promise((resolve) => setTimeout(resolve, 20));
      if (changes.length < 2) throw new Error('not yet');
    }, 500);
    await within(regained, 'the return');
    expect(changes.map(([change]) => change)).toEqual(['lost', 'regained']);
  });

  it('whoever comes after a process that was killed on this machine finds what was acknowledged, at once', async () => {
    const option = place();
    const child: ChildProcess = fork(RUN, [PROGRAM, JSON.stringify(option), 'write'], { execArgv: [] });
    const acked: string[] = [];
    const exit = once(child, 'exit');
    cleanups.push(async () => child.kill('SIGKILL') && exit);
    const enough = new Promise<void>((resolve) =>
      child.on('message', (said: StorageProcessMessage) => {
        if ('acked' in said && acked.push(said.acked) === 500) resolve();
      }),
    );
    await within(enough, '500 acknowledged jobs', 60_000);
    child.kill('SIGKILL');
    await exit;
    const [other, next] = [create(option), create(option)];
    await next.open({ ...OWNER, name: 'child' });
    expect((await next.get(acked)).length).toBe(acked.length);
    // And again, with one of another name.
    await (
      await source(option)
    ).query(`UPDATE ${table(option, 'leases')} SET process = REPLACE(process, ':${process.pid}', ':${child.pid}')`);
    await other.open({ ...OWNER, name: 'other', instance: OTHER });
    const taken = new Set((await takeOver(other)).map((job) => job.id));
    expect(acked.filter((id) => !taken.has(id))).toEqual([]);
  });

  it('a frozen server fails a commit and a read after their deadline, and both work again afterwards', async () => {
    const { proxy, option } = await throughProxy(place());
    const storage = create(option);
    await storage.open(OWNER);
    const job = sampleJob();
    await storage.commit([insert(job)]);
    proxy.freeze();
    const failed = { code: 'STORAGE', message: expect.stringMatching(/took longer than 5000 ms|timeout|ETIMEDOUT/) };
    const save: JobWrite = { kind: 'save', id: job.id, fence: 0, change: running(job) };
    await Promise.all([
      expect(within(storage.commit([save]), 'the deadline')).rejects.toMatchObject(failed),
      expect(within(storage.get([job.id]), 'the deadline')).rejects.toMatchObject(failed),
    ]);
    proxy.thaw();
    expect(await storage.commit([save])).toEqual(['done']);
    expect((await storage.get([job.id]))[0]).toMatchObject({ fence: 1 });
  });

  it('a process that stands still in the middle of a transaction keeps its locks for 8 s, and no longer', async () => {
    const options = place();
    await create(options).open(OWNER);
    const engine =
      options.type === 'postgres'
        ? new PostgresEngine(options, systemClock, {})
        : new MysqlEngine(options, systemClock, {});
    const dataSource = await new DataSource(engine.dataSourceOptions()).initialize();
    cleanups.push(() => dataSource.destroy());
    engine.use(dataSource);
    const [held, thawed] = [signal(), signal()];
    const frozen = engine.session((session) =>
      transaction(session, async () => {
        await session.query(`SELECT id FROM ${engine.tables.storage} FOR UPDATE`);
        held.resolve();
        await thawed.promise;
      }),
    );
    frozen.catch(() => undefined);
    await within(held.promise, 'the lock');
    const at = Date.now();
    // Each start needs that row.
    const starting = async (): Promise<void> => {
      const storage = create(options);
      await storage.open({ ...OWNER, name: 'another', instance: OTHER });
    };
    await eventually(starting);
    expect(Date.now() - at).toBeGreaterThan(5_000);
    expect(Date.now() - at).toBeLessThan(20_000);
    thawed.resolve();
    await expect(frozen).rejects.toThrow();
  });

  it('connections that break are replaced', async () => {
    const { proxy, option } = await throughProxy(place());
    const storage = create(option);
    await storage.open(OWNER);
    for (let round = 0; round < 3; round++) {
      const jobs = [sampleJob(), sampleJob()];
      const commits = jobs.map((job) => storage.commit([insert(job)]));
      proxy.cut();
      const answers = await Promise.allSettled(commits);
      for (const [i, answer] of answers.entries()) {
        if (answer.status === 'rejected') expect(answer.reason).toMatchObject({ code: 'STORAGE' });
        else expect(answer.value).toEqual(['done']);
        // Whatever became of it, to ask again is right.
        if (answer.status === 'rejected')
          expect(await eventually(() => storage.commit([insert(jobs[i]!)]))).toEqual(['done']);
      }
      expect(await storage.get(jobs.map(({ id }) => id))).toHaveLength(2);
    }
  });

  it('a commit whose answer is lost is there, and whoever asks again is told that it is done', async () => {
    const { proxy, option } = await throughProxy(place());
    // The last statement of a transaction, or the only one where one statement is all.
    const commits = /^(COMMIT$|WITH mine)/;
    let lose = false;
    const storage = create(option, systemClock, {
      onStatement: (sql) => {
        if (lose && commits.test(sql)) proxy.loseNextAnswer();
      },
    });
    await storage.open(OWNER);
    const [a, b, c, d] = [sampleJob(), sampleJob(), sampleJob(), sampleJob()];
    await storage.commit([insert(b), insert(c), insert(d)]);
    const writes: JobWrite[] = [
      insert(a),
      { kind: 'start', id: b.id, fence: 0, change: running(b) },
      { kind: 'save', id: c.id, fence: 0, change: { ...running(c), status: 'retrying' } },
      { kind: 'delete', id: d.id, fence: 0, feedback: sampleFeedback(d) },
    ];
    lose = true;
    await expect(storage.commit(writes)).rejects.toMatchObject({ code: 'STORAGE' });
    lose = false;
    expect(await eventually(() => storage.commit(writes))).toEqual(['done', 'done', 'done', 'done']);
    expect(await storage.get([a.id, b.id, c.id, d.id])).toHaveLength(3);
    expect(await storage.feedbacks(FIRST)).toEqual([undelivered(sampleFeedback(d))]);
    // The doubt is over: what is stale is stale again.
    expect(await storage.commit(writes)).toEqual(['duplicate', 'stale', 'stale', 'stale']);
  });

  it('a value that the server alone refuses does not keep its neighbours from being stored', async () => {
    const storage = create(place());
    await storage.open(OWNER);
    const [a, b, c] = [sampleJob(), sampleJob(), sampleJob({ listeners: 'x'.repeat(20) as never })];
    await storage.commit([insert(b)]);
    const results = await storage.commit([
      insert(c),
      insert(a),
      { kind: 'save', id: b.id, fence: 0, change: { ...b, status: 'y'.repeat(20) as never, fence: 1 } },
      insert(b),
    ]);
    expect(results).toEqual([{ error: expect.any(Error) }, 'done', { error: expect.any(Error) }, 'duplicate']);
    expect((await storage.unfinished(FIRST)).map((job) => job.id).sort()).toEqual([a.id, b.id].sort());
  });

  it.each([
    ['a NUL', { args: '"\0"' }],
    ['half a surrogate pair', { name: 'x\ud800' }],
    ['a name that is too long', { name: 'x'.repeat(256) }],
    ['a number that is too large', { priority: 2 ** 31 }],
    ['an id that is no UUID', { id: 'not-a-uuid' }],
  ])('%s is refused alone', async (_, bad) => {
    const storage = create(place());
    await storage.open(OWNER);
    const good = sampleJob({ name: '😀'.repeat(200) });
    expect(await storage.commit([insert(sampleJob(bad)), insert(good)])).toEqual([
      { error: expect.any(Error) },
      'done',
    ]);
    expect(await storage.unfinished(FIRST)).toEqual([good]);
  });

  it('a node that takes over rows while their outbox removes them: each row ends in one hand', async () => {
    const option = place();
    const [node, outbox] = [create(option), create(option)];
    await node.open(OWNER);
    await outbox.open({ ...OWNER, role: 'outbox', instance: OTHER });
    for (let round = 0; round < 10; round++) {
      const jobs = Array.from({ length: 50 }, () => sampleJob());
      await outbox.commit(jobs.map(insert));
      const [taken, removed] = await Promise.all([
        node.commit(jobs.map(insert)),
        outbox.commit(jobs.toReversed().map((job): JobWrite => ({ kind: 'delete', id: job.id, fence: 0 }))),
      ]);
      expect(taken).toEqual(jobs.map(() => 'done'));
      expect(removed.every((result) => result === 'done' || result === 'stale')).toBe(true);
      expect(await node.get(jobs.map(({ id }) => id))).toHaveLength(50);
      expect(await outbox.countUnfinished()).toBe(0);
    }
  });

  it('a deadlock with a transaction of somebody else is undone for our part and tried again', async () => {
    const option = place();
    const storage = create(option);
    await storage.open(OWNER);
    const jobs = Array.from({ length: 20 }, () => sampleJob());
    await storage.commit(jobs.map(insert));
    const ids = jobs.map(({ id }) => id).sort();
    const [first, last] = [ids[0]!, ids.at(-1)!];
    const other = (await source(option)).createQueryRunner();
    // One by one: where many are looked for the whole table may be locked.
    const touch = (id: string): Promise<unknown> =>
      other.query(`UPDATE ${table(option, 'jobs')} SET crashes = crashes + 1 WHERE id = '${id}'`);
    // Only ours finds out about it, or gives way as it has changed less.
    if (option.type === 'postgres') await other.query("SET deadlock_timeout = '60s'");
    await other.startTransaction();
    for (const id of ids.slice(1)) await touch(id);
    const commit = storage.commit([first, last].map((id): JobWrite => ({ kind: 'delete', id, fence: 0 })));
    await locked(other, option);
    await touch(first);
    await other.commitTransaction();
    await other.release();
    expect(await commit).toEqual(['done', 'done']);
    expect(await storage.countUnfinished()).toBe(18);
  });

  it('where transactions are serializable by default, those that failed by each other are tried again', async ({
    skip,
  }) => {
    const option = place();
    if (option.type !== 'postgres') return skip('this is a setting of PostgreSQL');
    const url = `${option.url}?options=${encodeURIComponent('-c default_transaction_isolation=serializable')}`;
    const [node, outbox] = [create({ ...option, url }), create({ ...option, url })];
    await node.open(OWNER);
    await outbox.open({ ...OWNER, role: 'outbox', instance: OTHER });
    for (let round = 0; round < 20; round++) {
      const jobs = Array.from({ length: 20 }, () => sampleJob());
      await outbox.commit(jobs.map(insert));
      const [taken] = await Promise.all([
        node.commit(jobs.map(insert)),
        outbox.commit(jobs.map((job): JobWrite => ({ kind: 'delete', id: job.id, fence: 0 }))),
      ]);
      expect(taken).toEqual(jobs.map(() => 'done'));
    }
  });

  /** Resolves when somebody waits for a lock. */
  async function locked(by: QueryRunner, option: Options): Promise<void> {
    const sql =
      option.type === 'postgres'
        ? "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%job_reactor%'"
        : "SELECT 1 FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'";
    const waits = async (): Promise<boolean> => ((await by.query(sql)) as unknown[]).length > 0;
    // MySQL's list is made anew only when nobody has asked for 100 ms.
    while (!(await waits())) await new Promise((resolve) => setTimeout(resolve, 200));
  }

  async function eventually<T>(work: () => Promise<T>, most = 5): Promise<T> {
    for (let tries = 0; ; tries++) {
      try {
        return await work();
      } catch (error) {
        if (tries === most) throw error;
      }
    }
  }
});
