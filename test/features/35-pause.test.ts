import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { defineJob, Job, JobContext } from '../../lib/index.js';
import { databaseKinds, describeEachDatabase } from '../support/databases.js';
import { signal } from '../support/deadline.js';
import { eventually, Facts, reactors, type Joinable } from '../support/reactor.js';

const system = reactors();

interface Ran {
  name: string;
  n: unknown;
  node: string;
  attempt: number;
}

const Mail = defineJob<{ n: number }>('mail');

function jobs(ran: Facts<Ran>, gate: Promise<void> = Promise.resolve()) {
  const tell = (args: { n: number }, { job: { name, node, attempt } }: JobContext): unknown =>
    ran.tell({ name, n: args.n, node, attempt });
  @Injectable()
  class Jobs {
    @Job(Mail)
    mail(@Payload() args: { n: number }, @Ctx() ctx: JobContext): void {
      tell(args, ctx);
    }
    @Job('other')
    other(@Payload() args: { n: number }, @Ctx() ctx: JobContext): void {
      tell(args, ctx);
    }
    @Job('slow')
    async slow(@Payload() args: { n: number }, @Ctx() ctx: JobContext): Promise<void> {
      tell(args, ctx);
      await gate;
    }
    @Job('failing', { backoff: 1, maxAttempts: 2 })
    async failing(@Payload() args: { n: number }, @Ctx() ctx: JobContext): Promise<void> {
      tell(args, ctx);
      await gate;
      if (ctx.job.attempt === 1) throw new Error('no');
    }
  }
  return Jobs;
}

const heard = { missing: [] };
const address = ({ port }: Joinable): { host: string; port: number } => ({ host: '127.0.0.1', port });

/** What came later than the pause has run: what is paused had every opportunity. */
const names = (ran: Facts<Ran>): string[] => ran.all.map(({ name }) => name);

describe.each(['memory', ...databaseKinds] as const)('client.pause(), with a storage in %s', (kind) => {
  it('a job name: nothing of it starts, on the node or from the outbox, and the others go on; then all of it runs', async () => {
    const storage = kind === 'memory' ? kind : await system.database(kind);
    const ran = new Facts<Ran>();
    const gate = signal();
    const web = await system.application();
    await system.node({ to: web, storage, concurrency: 4, providers: [jobs(ran, gate.promise)] });
    const { client } = web;
    // One runs and is to fail, one waits on the node for its time.
    const failing = await client.enqueue('failing', { n: 1 });
    await ran.next(({ name }) => name === 'failing');
    const due = await client.enqueue(Mail, { n: 2 }, { after: '1h', confirm: 'stored' });

    expect(await client.pause({ job: Mail })).toEqual(heard);
    expect(await client.pause({ job: 'failing' })).toEqual(heard);
    expect(await client.paused()).toEqual([
      { job: 'mail', since: expect.any(Number) },
      { job: 'failing', since: expect.any(Number) },
    ]);
    const sent = await client.enqueue(Mail, { n: 3 });
    expect((await client.runNow(due.id)).answer).toBe('queued');
    gate.resolve();
    await eventually('its retry waits', async () => (await client.find(failing.id))?.status === 'retrying');
    await client.run('other', { n: 4 });
    expect(names(ran)).toEqual(['failing', 'other']);
    expect((await client.find(due.id))?.attempt).toBe(0);

    expect(await client.resume({ job: 'failing' })).toEqual(heard);
    await failing.result({ timeout: '60s' });
    expect(names(ran)).toEqual(['failing', 'other', 'failing']);
    expect(await client.resume({ job: 'mail' })).toEqual(heard);
    await Promise.all([due.result({ timeout: '60s' }), sent.result({ timeout: '60s' })]);
    expect(ran.all.filter(({ name }) => name === 'mail').map(({ attempt }) => attempt)).toEqual([1, 1]);
    expect(await client.paused()).toEqual([]);
  });

  it('a node: it starts nothing and is sent nothing, what it runs ends, and others go on', async () => {
    const storage = async () => (kind === 'memory' ? kind : system.database(kind));
    const ran = new Facts<Ran>();
    const gate = signal();
    const web = await system.application();
    const first = await system.node({
      name: 'first',
      to: web,
      storage: await storage(),
      providers: [jobs(ran, gate.promise)],
    });
    const { client } = web;
    const slow = await client.enqueue('slow', { n: 1 });
    await ran.next();
    const there = await client.enqueue('other', { n: 2 }, { after: '1h', confirm: 'stored' });
    await system.node({ name: 'second', to: web, storage: await storage(), providers: [jobs(ran)] });
    // From a node's own client: it asks its distributor.
    expect(await first.client.pause({ node: 'first' })).toEqual(heard);
    expect(await first.client.paused()).toEqual([{ node: 'first', since: expect.any(Number) }]);
    expect((await client.runNow(there.id)).answer).toBe('queued');
    const wishes = await client.enqueue('other', { n: 3 }, { node: 'first' });
    for (let n = 4; n < 14; n++) await client.run('other', { n });
    gate.resolve();
    await slow.result();
    expect(ran.all.slice(1).every(({ node }) => node === 'second')).toBe(true);
    expect(await client.resume({ node: 'first' })).toEqual(heard);
    await Promise.all([there.result({ timeout: '60s' }), wishes.result({ timeout: '60s' })]);
    expect(ran.all.slice(-2).map(({ node }) => node)).toEqual(['first', 'first']);
  });
});

describe.each(databaseKinds)('what is paused, kept in %s', (kind) => {
  it('waits on after a kill -9 of the node, with no application there to say so', async () => {
    const storage = await system.database(kind);
    const web = await system.application();
    const node = { name: 'one', storage, distributors: [address(web)] };
    const first = await system.process({ node }, [web]);
    const { id } = await web.client.enqueue('work', { n: 1 }, { after: '1h', confirm: 'stored' });
    await web.client.pause({ job: 'work' });
    await web.client.runNow(id);
    await first.kill('SIGKILL');
    await web.close();
    const second = await system.process({ node });
    const other = await system.application({ name: 'web', port: web.port });
    await eventually('it is back', () => other.distributor.nodes().length === 1, 60_000);
    // A new application, with an outbox in memory, hears of it from the node.
    await eventually('the application has heard', async () => (await other.client.paused()).length === 1);
    expect(second.starts).toEqual([]);
    await other.client.resume({ job: 'work' });
    expect((await second.started()).args).toMatchObject({ n: 1 });
  });

  it('is kept by the outbox: after a restart of the application nothing of it is sent to a new node', async () => {
    const outbox = await system.database(kind);
    const ran = new Facts<Ran>();
    const before = await system.application({ outbox });
    await before.client.pause({ job: 'other' });
    await before.client.pause({ node: 'gone' });
    await before.client.resume({ node: 'gone' });
    const { id } = await before.client.enqueue('other', { n: 1 });
    await before.close();
    const after = await system.application({ outbox });
    await system.node({ to: after, providers: [jobs(ran)] });
    await after.client.run(Mail, { n: 2 });
    expect(names(ran)).toEqual(['mail']);
    expect((await after.client.find(id))?.status).toBe('queued');
    expect(await after.client.paused()).toMatchObject([{ job: 'other' }]);
    await after.client.resume({ job: 'other' });
    expect((await ran.next(({ name }) => name === 'other')).n).toBe(1);
  });
});

describeEachDatabase('pausing, where applications and nodes share a database', ({ kind }) => {
  it('is one for all of them: told to any, heard by those that only know each other through nodes', async () => {
    const storage = await system.database(kind);
    const ran = new Facts<Ran>();
    const [one, two] = [await system.application({ outbox: storage }), await system.application({ outbox: storage })];
    await system.node({ name: 'first', to: [one, two], storage, providers: [jobs(ran)] });
    await system.node({ name: 'second', to: two, storage, providers: [jobs(ran)] });
    expect(await one.client.pause({ job: 'mail' })).toEqual(heard);
    await eventually('the other application knows', async () => (await two.client.paused()).length === 1);
    const jobsOfBoth = await Promise.all([one, two].map(({ client }) => client.enqueue(Mail, { n: 1 })));
    await Promise.all([one, two].map(({ client }) => client.run('other', { n: 2 })));
    expect(names(ran)).toEqual(['other', 'other']);
    // Resumed by the other one: the last word counts, wherever it was said.
    await two.client.resume({ job: 'mail' });
    await Promise.all(jobsOfBoth.map((job) => job.result({ timeout: '60s' })));
    expect(await two.client.paused()).toEqual([]);
    await eventually('the first knows as well', async () => (await one.client.paused()).length === 0);
  });

  it('what a dead node leaves goes to one that is not paused, and if all are to one that waits with it', async () => {
    const storage = await system.database(kind);
    const web = await system.application();
    const ran = new Facts<Ran>();
    @Injectable()
    class Work {
      @Job('work') work(@Payload() { n }: { n: number }, @Ctx() { job: { name, node, attempt } }: JobContext): void {
        ran.tell({ name, n, node, attempt });
      }
    }
    const first = await system.process({ node: { name: 'first', storage, distributors: [address(web)] } }, [web]);
    const { id } = await web.client.enqueue('work', { n: 1 }, { after: '1h', confirm: 'stored' });
    await system.node({ name: 'second', to: web, storage, providers: [Work] });
    const third = await system.node({ name: 'third', to: web, storage, providers: [Work] });
    await web.client.pause({ node: 'second' });
    await first.kill('SIGKILL');
    const holder = async (): Promise<unknown> => (await web.client.find(id))?.node;
    await eventually('the one that is not paused has it', async () => (await holder()) === 'third');
    await third.close();
    await eventually('the other one has it', async () => (await holder()) === 'second');
    await web.client.runNow(id);
    await web.client.resume({ node: 'second' });
    expect(await ran.next()).toMatchObject({ n: 1, node: 'second' });
  });
});

it('says which nodes have not confirmed it, and they hear of it when they are back', async () => {
  const ran = new Facts<Ran>();
  const storage = await system.database('SQLite');
  const web = await system.application();
  const away = await system.node({ name: 'away', to: web, storage, providers: [jobs(ran)] });
  await web.client.enqueue('other', { n: 1 }, { after: 300, confirm: 'stored' });
  await away.close();
  expect(await web.client.pause({ job: 'other' })).toEqual({ missing: ['away'] });
  // It was not due before it heard.
  await web.client.pause({ node: 'away' });
  const back = await system.node({ name: 'away', to: web, storage, providers: [jobs(ran)] });
  await eventually('it has heard', async () => (await back.client.paused()).length === 2);
  expect(await web.client.resume({ job: 'other' })).toEqual(heard);
  expect(await web.client.resume({ node: 'away' })).toEqual(heard);
  await ran.next();
});

it('refuses what can not be meant', async () => {
  const { client } = await system.application();
  const refused = (what: unknown): Promise<void> =>
    expect(client.pause(what as never)).rejects.toMatchObject({ code: 'INVALID_QUERY' });
  for (const what of [
    undefined,
    {},
    'mail',
    { job: 'a', node: 'b' },
    { job: '' },
    { node: 3 },
    { job: {} },
    { nod: 'a' },
  ])
    await refused(what);
});
