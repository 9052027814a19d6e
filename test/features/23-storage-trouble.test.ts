import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../lib/clock.js';
import {
  EnqueueUnknown,
  Job,
  JobContext,
  JobReactorError,
  JobRejected,
  type DatabaseOptions,
} from '../../lib/index.js';
import { CommitInDoubt } from '../../lib/storage/commit-in-doubt.js';
import type { JobWrite } from '../../lib/storage/job-storage.js';
import { memoryStorage } from '../../lib/storage/memory-storage.js';
import { signal, within } from '../support/deadline.js';
import { privateMariadb, privatePostgres, type NoServer, type PrivateServer } from '../support/private-server.js';
import { eventually, Facts, reactors, type Application } from '../support/reactor.js';
import { onSmallDisk, type SmallDisk } from '../support/small-disk.js';
import { wrapped } from '../support/wrapped-storage.js';
import { tcpProxy } from '../support/tcp-proxy.js';

/*
 * Trouble with the storage is not the job's failure: no attempt is spent, no process dies, everything resumes. Each
 * server here is this file's own, as it is killed, frozen and misconfigured.
 */
interface Ran {
  id: string;
  attempt: number;
  n: number;
}

/** A handler that says that it runs, waits until it may end, and returns its text, if it was given one. */
function work(ran: Facts<Ran>, until: (n: number) => Promise<unknown> = () => Promise.resolve()) {
  @Injectable()
  class Work {
    @Job('work')
    async work(
      @Payload('n') n: number,
      @Payload('text') text: string | undefined,
      @Ctx() ctx: JobContext,
    ): Promise<number | string> {
      const { id, attempt } = ctx.job;
      ran.tell({ id, attempt, n });
      await until(n);
      return text ?? n;
    }
  }
  return Work;
}

/** What keeps log lines. */
function lines() {
  const all: string[] = [];
  const keep = (message: unknown): void => void all.push(String(message));
  return { all, log: keep, warn: keep, error: keep, debug: keep, verbose: keep };
}

const FROM_ENQUEUE = ['STORAGE', 'ENQUEUE_UNKNOWN'];

describe.each([
  ['PostgreSQL', privatePostgres],
  ['MariaDB', privateMariadb],
] as const)('trouble with %s', (kind, make) => {
  const system = reactors();
  let server: PrivateServer;
  let storage: DatabaseOptions;
  let count = 0;
  let skipThis: (why: string) => never;

  beforeAll(async () => {
    const made: PrivateServer | NoServer = await make();
    if ('reason' in made) console.log(`\nSkipped: storage trouble with a ${kind} of its own: ${made.reason}.\n`);
    else server = made;
  });
  afterAll(() => server?.end());
  beforeEach(async ({ skip }) => {
    skipThis = skip;
    if (!server) return skip('there is no server');
    // Whoever has every right may write where others may not.
    const name = `jobs${++count}`;
    if (kind === 'PostgreSQL') {
      await server.query(`CREATE DATABASE ${name}`);
      storage = { type: 'postgres', url: server.url.replace(/[^/]*$/, name) };
    } else {
      await server.query(`CREATE DATABASE ${name}`);
      await server.query(`CREATE USER IF NOT EXISTS 'jobs'@'%'`);
      await server.query(`GRANT ALL ON ${name}.* TO 'jobs'@'%'`);
      storage = { type: 'mariadb', url: `mysql://jobs@127.0.0.1:${server.port}/${name}` };
    }
  });

  /** An application and a node on one database, with a job that runs until it is let go. */
  async function running() {
    const ran = new Facts<Ran>();
    const gate = signal();
    const web = await system.application({ outbox: storage });
    const logs = lines();
    await system.node({
      to: web,
      storage,
      logger: logs,
      providers: [work(ran, (n) => (n === 0 ? gate.promise : Promise.resolve()))],
    });
    const job = await web.client.enqueue('work', { n: 0 });
    await ran.next(({ n }) => n === 0);
    const missed = (): number => logs.all.filter((line) => line.includes('did not answer as it should')).length;
    return { web, ran, job, missed, finish: () => gate.resolve() };
  }

  /** Enqueues until it is accepted, as a caller would who was told no, or nothing. */
  async function insist(web: Application, n: number): Promise<{ id: string; result: Promise<unknown> }> {
    for (let id: string | undefined; ;) {
      try {
        const job = await web.client.enqueue('work', { n }, id === undefined ? {} : { id });
        return { id: job.id, result: job.result({ timeout: '60s' }) };
      } catch (error) {
        const { code, id: unknown } = error as { code: string; id?: string };
        expect(FROM_ENQUEUE).toContain(code);
        id = unknown ?? id;
      }
    }
  }

  it('that is not there yet: application and node wait for it, and say so once', async () => {
    await server.kill();
    const [logs, ran] = [lines(), new Facts<Ran>()];
    let opened = false;
    const starting = system.application({ outbox: storage, logger: logs }).then((web) => {
      opened = true;
      return web;
    });
    await eventually('it says that it waits', () => logs.all.some((line) => line.includes("can't be opened yet")));
    // Long enough for several tries.
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    expect(opened).toBe(false);
    await server.start();
    const web = await within(starting, 'the start of the application', 60_000);
    expect(logs.all.filter((line) => line.includes("can't be opened yet"))).toHaveLength(1);
    expect(logs.all.filter((line) => line.includes('could be opened'))).toHaveLength(1);

    await server.kill();
    const joiner = lines();
    const joining = system.node({ to: web, storage, logger: joiner, providers: [work(ran)] });
    await eventually('the node waits', () => joiner.all.some((line) => line.includes("can't be opened yet")));
    await server.start();
    await within(joining, 'the start of the node', 60_000);
    const { result } = await insist(web, 1);
    expect(await result).toBe(1);
    expect(ran.all).toEqual([expect.objectContaining({ attempt: 1 })]);
  });

  it('that is not there: whoever waits for it can be closed', async () => {
    await server.kill();
    onTestFinished(() => server.start());
    const logs = lines();
    const { NestFactory } = await import('@nestjs/core');
    const { JobReactorModule } = await import('../../lib/index.js');
    class Root {}
    const module = {
      module: Root,
      imports: [
        JobReactorModule.forRoot({
          node: { name: 'one', storage, distributors: [{ host: '127.0.0.1', port: 1 }] },
        }),
      ],
    };
    const app = await NestFactory.createMicroservice(module, {
      ...JobReactorModule.transport(),
      logger: logs,
      abortOnError: false,
    });
    const listening = expect(app.listen()).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' });
    await eventually('it waits', () => logs.all.some((line) => line.includes("can't be opened yet")));
    await within(app.close(), 'the close', 10_000);
    await listening;
  });

  it('killed and started again: what ran and what was enqueued meanwhile ends, with the first attempt', async () => {
    const { web, ran, job, missed, finish } = await running();
    const result = job.result({ timeout: '60s' });
    await server.kill();
    finish();
    const more = Promise.all([1, 2, 3].map((n) => insist(web, n)));
    await eventually('the node misses it', () => missed() > 0);
    await server.start();
    expect(await result).toBe(0);
    for (const { result } of await more) expect(await result).toEqual(expect.any(Number));
    expect(ran.all.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1]);
  });

  it('whose connections are all ended by its administrator', async () => {
    const { web, ran, job, finish } = await running();
    const result = job.result({ timeout: '60s' });
    for (let round = 1; round <= 3; round++) {
      await endConnections();
      const { result } = await insist(web, round);
      expect(await result).toBe(round);
    }
    finish();
    expect(await result).toBe(0);
    expect(ran.all.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1]);
  });

  it('frozen: whoever asks is told so in time, what ran ends afterwards, and no attempt is spent', async () => {
    const { web, ran, job, finish } = await running();
    const result = job.result({ timeout: '60s' });
    server.freeze();
    try {
      finish();
      const since = performance.now();
      await expect(web.client.enqueue('work', { n: 1 })).rejects.toMatchObject({ code: 'ENQUEUE_UNKNOWN' });
      // Five seconds for the statement, and five for the connection where it has to be made anew.
      expect(performance.now() - since).toBeLessThan(15_000);
    } finally {
      server.thaw();
    }
    expect(await result).toBe(0);
    const { result: second } = await insist(web, 2);
    expect(await second).toBe(2);
    expect(ran.all.filter(({ n }) => n !== 1).map(({ attempt }) => attempt)).toEqual([1, 1]);
  });

  it('that takes no writes, as a standby: nothing fails, and the one that takes them is found again', async () => {
    const { web, ran, job, finish } = await running();
    const result = job.result({ timeout: '60s' });
    await readOnly(true);
    finish();
    await expect(web.client.enqueue('work', { n: 1 })).rejects.toMatchObject({ code: expect.toSatisfy(isTrouble) });
    await readOnly(false);
    expect(await result).toBe(0);
    const { result: second } = await insist(web, 2);
    expect(await second).toBe(2);
    expect(ran.all.filter(({ n }) => n !== 1).map(({ attempt }) => attempt)).toEqual([1, 1]);
  });

  /** A disk for this test's database, whose tables are not there yet. */
  async function smallDisk(): Promise<SmallDisk> {
    const disk = await onSmallDisk(server, `jobs${count}`);
    if ('reason' in disk) return skipThis(disk.reason);
    onTestFinished(() => disk.end());
    return disk;
  }

  it('whose disk is full: an enqueue is refused, what ran ends once there is room, and no attempt is spent', async () => {
    const disk = await smallDisk();
    const { web, ran, job, missed, finish } = await running();
    // Small enough to lie within a page: where there is no room for the further pages of a larger row, InnoDB aborts, as
    // it can't undo what it wrote of it (MariaDB 10.11: "Out of disk space in rollback").
    const large = (): { n: number; text: string } => ({ n: 0, text: randomBytes(1_500).toString('hex') });
    // They wait or run until all may end. InnoDB keeps room for a rollback only in a table that is not tiny.
    const many = Array.from({ length: 500 }, () => ({ job: 'work', args: large() }));
    const texts: unknown[] = [0, ...many.map(({ args }) => args.text)];
    const accepted = [job, ...(await web.client.enqueueMany(many))];
    await disk.fill();
    const refused: unknown[] = [];
    while (refused.length < 3) {
      const args = large();
      const enqueued = await web.client.enqueue('work', args).catch((error: unknown) => void refused.push(error));
      if (!enqueued) continue;
      accepted.push(enqueued);
      texts.push(args.text);
    }
    for (const error of refused) expect(error).toMatchObject({ code: 'STORAGE' });
    const results = Promise.all(accepted.map((one) => one.result({ timeout: '60s' })));
    const before = missed();
    finish();
    // Their results find no room either.
    await eventually('the node misses it', () => missed() > before);
    await disk.empty();
    expect(await results).toEqual(texts);
    const { result: second } = await insist(web, 2);
    expect(await second).toBe(2);
    expect(ran.all).toHaveLength(accepted.length + 1);
    expect(ran.all.map(({ attempt }) => attempt)).toEqual(ran.all.map(() => 1));
  });

  it.each([
    ['for any table', 0],
    ['for all tables', 100],
  ])('whose disk is full at the start, with no room %s: who starts waits for it', async (_room, left) => {
    const disk = await smallDisk();
    await disk.fill(left);
    const [logs, ran] = [lines(), new Facts<Ran>()];
    const starting = system.application({ outbox: storage, logger: logs });
    const waits = eventually('it waits', () => logs.all.some((line) => line.includes("can't be opened yet")));
    expect(await Promise.race([waits.then(() => 'waits'), starting.then(() => 'started')])).toBe('waits');
    await disk.empty();
    const web = await within(starting, 'the start of the application', 60_000);
    await system.node({ to: web, storage, providers: [work(ran)] });
    expect(await web.client.run('work', { n: 1 })).toBe(1);
  });

  it('whose answer to the commit of an enqueue is lost: repeated with its id it is one job', async () => {
    const url = new URL((storage as { url: string }).url);
    const proxy = await tcpProxy(server.port);
    onTestFinished(() => proxy.close());
    const through = {
      ...storage,
      url: Object.assign(new URL(url), { port: String(proxy.port) }).href,
    } as DatabaseOptions;
    const ran = new Facts<Ran>();
    const web = await system.application({ outbox: through });
    const first = await web.client.enqueue('work', { n: 1 });
    void proxy.loseAnswerTo(kind === 'PostgreSQL' ? 'job_reactor_' : 'COMMIT');
    const unknown = (await web.client.enqueue('work', { n: 2 }).catch((error: unknown) => error)) as { id: string };
    expect(unknown).toMatchObject({ code: 'ENQUEUE_UNKNOWN', id: expect.any(String) });
    const again = await web.client.enqueue('work', { n: 2 }, { id: unknown.id });
    await system.node({ to: web, storage, providers: [work(ran)] });
    expect(await Promise.all([first.result(), again.result()])).toEqual([1, 2]);
    expect((await web.client.enqueue('work', { n: 2 }, { id: unknown.id })).duplicate).toBe(true);
    expect(ran.all.map(({ n }) => n).sort()).toEqual([1, 2]);
  });

  async function endConnections(): Promise<void> {
    if (kind === 'PostgreSQL') {
      await server.query(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname <> current_database()',
      );
      return;
    }
    for (const { ID } of await server.query("SELECT ID FROM information_schema.processlist WHERE USER = 'jobs'"))
      await server.query(`KILL ${String(ID)}`).catch(() => undefined);
  }

  /** For connections made from now on; those there were are ended, as in a failover. */
  async function readOnly(on: boolean): Promise<void> {
    if (kind === 'PostgreSQL') {
      await server.query(`ALTER DATABASE jobs${count} SET default_transaction_read_only = ${on ? 'on' : 'off'}`);
      // The sessions that can't write stay so when others can again: it is for us to notice.
      if (on) await endConnections();
    } else {
      await server.query(`SET GLOBAL read_only = ${on ? 1 : 0}`);
    }
  }
});

describe('a storage that commits and does not say so', () => {
  const system = reactors();

  /** Memory, of which the next commits with a write of this kind get no answer until `answers` is called. */
  function mute(kind: JobWrite['kind']) {
    const memory = memoryStorage(systemClock);
    let silent = true;
    let commits = 0;
    const storage = wrapped(memory, {
      durable: true,
      async commit(writes) {
        const results = await memory.commit(writes);
        if (!silent || !writes.some((write) => write.kind === kind)) return results;
        commits++;
        throw new CommitInDoubt('no answer');
      },
    });
    return { storage, commits: () => commits, answers: () => void (silent = false) };
  }

  it('when a job arrives: its node finds out, and the job does not go elsewhere meanwhile', async () => {
    const [one, two] = [new Facts<Ran>(), new Facts<Ran>()];
    const web = await system.application();
    const { storage, commits, answers } = mute('insert');
    await system.node({ name: 'one', to: web, storage, providers: [work(one)] });
    await system.node({ name: 'two', to: web, providers: [work(two)] });
    const jobs = await Promise.all([0, 1, 2].map((n) => web.client.enqueue('work', { n }, { node: 'one' })));
    await eventually('it has asked again', () => commits() >= 2);
    expect(web.distributor.backlog().unconfirmed).toBe(3);
    answers();
    expect(await Promise.all(jobs.map((job) => job.result({ timeout: '60s' })))).toEqual([0, 1, 2]);
    expect(one.all.map(({ attempt }) => attempt)).toEqual([1, 1, 1]);
    expect(two.all).toEqual([]);
  });

  it('when a job is enqueued: it is unknown, and runs once, whether it is asked for again or not', async () => {
    const ran = new Facts<Ran>();
    const { storage, answers } = mute('insert');
    const web = await system.application({ outbox: storage });
    const unknown = async (n: number): Promise<string> => {
      const error: unknown = await web.client.enqueue('work', { n }).catch((error: unknown) => error);
      expect(error).toBeInstanceOf(EnqueueUnknown);
      return (error as EnqueueUnknown).id;
    };
    const [left, repeated] = [await unknown(1), await unknown(2)];
    answers();
    await web.client.enqueue('work', { n: 2 }, { id: repeated });
    await system.node({ to: web, providers: [work(ran)] });
    await ran.count(2);
    expect(ran.all.map(({ id }) => id).sort()).toEqual([left, repeated].sort());
    await eventually('nothing is left to send', () => web.distributor.backlog().unconfirmed === 0);
    for (const id of [left, repeated])
      expect((await web.client.enqueue('work', { n: 3 }, { id })).duplicate).toBe(true);
    expect(ran.all).toHaveLength(2);
  });

  it('and a repeat that surely did not commit: it is as unknown as before, and runs once', async () => {
    const ran = new Facts<Ran>();
    const memory = memoryStorage(systemClock);
    let state: 'mute' | 'down' | 'up' = 'mute';
    const away = new JobReactorError('STORAGE', 'down');
    const outbox = wrapped(memory, {
      commit: async (writes) => {
        if (state === 'down') throw away;
        const results = await memory.commit(writes);
        if (state === 'mute') throw new CommitInDoubt('no answer');
        return results;
      },
      get: (ids) => (state === 'down' ? Promise.reject(away) : memory.get(ids)),
    });
    const web = await system.application({ outbox });
    const failed = async (id?: string): Promise<unknown> =>
      web.client.enqueue('work', { n: 1 }, id === undefined ? {} : { id }).catch((error: unknown) => error);
    const first = await failed();
    state = 'down';
    expect(first).toBeInstanceOf(EnqueueUnknown);
    const { id } = first as EnqueueUnknown;
    const second = await failed(id);
    expect(second).toBeInstanceOf(EnqueueUnknown);
    expect(second).toMatchObject({ id });
    expect(await failed()).toBeInstanceOf(JobRejected);
    state = 'up';
    await system.node({ to: web, providers: [work(ran)] });
    await ran.count(1);
    expect((await web.client.enqueue('work', { n: 1 }, { id })).duplicate).toBe(true);
    expect(ran.all.map(({ id }) => id)).toEqual([id]);
  });

  it('and one that surely did not commit: the job is rejected, and never runs', async () => {
    const ran = new Facts<Ran>();
    const memory = memoryStorage(systemClock);
    let down = true;
    const outbox = wrapped(memory, {
      commit: (writes) => (down ? Promise.reject(new JobReactorError('STORAGE', 'down')) : memory.commit(writes)),
    });
    const web = await system.application({ outbox });
    await system.node({ to: web, providers: [work(ran)] });
    const rejected = web.client.enqueue('work', { n: 1 });
    await expect(rejected).rejects.toBeInstanceOf(JobRejected);
    await expect(rejected).rejects.toMatchObject({ code: 'STORAGE', message: expect.stringContaining('not enqueued') });
    down = false;
    expect(await web.client.run('work', { n: 2 })).toBe(2);
    expect(ran.all.map(({ n }) => n)).toEqual([2]);
  });
});

const isTrouble = (code: unknown): boolean => FROM_ENQUEUE.includes(code as string);
