import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { defineJob, Job, JobContext } from '../../lib/index.js';
import { databaseKinds, describeEachDatabase } from '../support/databases.js';
import { signal } from '../support/deadline.js';
import { eventually, Facts, reactors } from '../support/reactor.js';

const system = reactors();

interface Ran {
  args: unknown;
  attempt: number;
  run: number;
}

const Checked = defineJob<{ n: number }>('checked', {
  schema: {
    '~standard': {
      version: 1,
      vendor: 'by hand',
      validate: (value) =>
        typeof (value as { n: unknown }).n === 'number'
          ? { value: value as { n: number } }
          : { issues: [{ message: 'n is no number', path: ['n'] }] },
    },
  },
});

function jobs(ran: Facts<Ran>, gate = Promise.resolve()) {
  const tell = (args: unknown, { job: { attempt, run } }: JobContext): unknown => {
    ran.tell({ args, attempt, run });
    return args;
  };
  @Injectable()
  class Jobs {
    @Job('later')
    later(@Payload() args: unknown, @Ctx() ctx: JobContext): unknown {
      return tell(args, ctx);
    }
    @Job(Checked)
    checked(@Payload() args: unknown, @Ctx() ctx: JobContext): void {
      tell(args, ctx);
    }
    @Job('failing', { backoff: '1h', maxAttempts: 2 })
    failing(@Payload() args: unknown, @Ctx() ctx: JobContext): unknown {
      tell(args, ctx);
      if (ctx.job.attempt === 1) throw new Error('no');
      return args;
    }
    @Job('slow')
    async slow(@Payload() args: unknown, @Ctx() ctx: JobContext): Promise<void> {
      tell(args, ctx);
      await gate;
    }
  }
  return Jobs;
}

const edited = { answer: 'edited', missing: [] };

describe.each(['memory', ...databaseKinds] as const)('client.edit(), with a storage in %s', (kind) => {
  it('changes args and time of a job that waits for its time: deferred, retrying or periodic', async () => {
    const storage = kind === 'memory' ? kind : await system.database(kind);
    const ran = new Facts<Ran>();
    const web = await system.application();
    const node = await system.node({ to: web, storage, providers: [jobs(ran)] });
    const { client } = web;

    // The args alone: the time stays.
    const kept = await client.enqueue('later', { n: 1 }, { after: '1h', confirm: 'stored' });
    const dueAt = (await client.find(kept.id))?.dueAt;
    expect(await client.edit('later', kept.id, { args: { n: 2n, when: new Date(0) } })).toEqual(edited);
    expect(await client.find(kept.id)).toMatchObject({ args: { n: 2n, when: new Date(0) }, dueAt });
    // The time alone, from the node's own client, which asks its distributor: the args stay.
    expect(await node.client.edit('later', kept.id, { runAt: 0 })).toEqual(edited);
    expect(await kept.result({ timeout: '60s' })).toEqual({ n: 2n, when: new Date(0) });

    const failing = await client.enqueue('failing', { n: 1 });
    await eventually('it waits', async () => (await client.find(failing.id))?.status === 'retrying');
    expect(await client.edit('failing', failing.id, { args: { n: 3 }, after: 0 })).toEqual(edited);
    expect(await failing.result({ timeout: '60s' })).toEqual({ n: 3 });

    const periodic = await client.enqueue('later', { n: 4 }, { period: '1h' });
    await eventually('the next run waits', async () => (await client.find(periodic.id))?.run === 2);
    expect(await client.edit('later', periodic.id, { args: { n: 5 }, after: 0 })).toEqual(edited);
    await ran.next(({ run }) => run === 2);
    await eventually('and the one after it', async () => (await client.find(periodic.id))?.run === 3);
    const next = await client.find(periodic.id);
    expect(next).toMatchObject({ args: { n: 5 } });
    expect(next!.dueAt - Date.now()).toBeGreaterThan(3_500_000);
    await periodic.cancel();
    expect(ran.all.map(({ attempt, run }) => [attempt, run])).toEqual([
      [1, 1],
      [1, 1],
      [2, 1],
      [1, 1],
      [1, 2],
    ]);
  });
});

describeEachDatabase('client.edit(), on a database that nodes share', ({ kind }) => {
  it('is kept by the database: after a kill -9 of its node another runs the job with it', async () => {
    const storage = await system.database(kind);
    const ran = new Facts<Ran>();
    const web = await system.application();
    const first = await system.process({ node: { name: 'first', storage, distributors: [address(web)] } }, [web]);
    const { id } = await web.client.enqueue('work', { result: 'old' }, { after: '1h', confirm: 'stored' });
    expect(await web.client.edit('work', id, { args: { result: 'new' } })).toEqual(edited);
    @Injectable()
    class Work {
      @Job('work') work(@Payload() args: unknown): void {
        ran.tell({ args, attempt: 0, run: 0 });
      }
    }
    await system.node({ name: 'second', to: web, storage, providers: [Work] });
    await first.kill('SIGKILL');
    await eventually('it has been taken over', async () => (await web.client.find(id))?.node === 'second');
    await eventually(
      'it waits there',
      async () => (await web.client.edit('work', id, { after: 0 })).answer === 'edited',
    );
    expect((await ran.next()).args).toEqual({ result: 'new' });
  });
});

const address = ({ port }: { port: number }): { host: string; port: number } => ({ host: '127.0.0.1', port });

it('leaves alone what runs, has ended, is another job or is not there, and says so', async () => {
  const ran = new Facts<Ran>();
  const gate = signal();
  const { client, port } = await system.application();
  await system.node({
    to: { port },
    providers: [jobs(ran, gate.promise)],
    jobs: { retention: { removeCancelled: false } },
  });
  const slow = await client.enqueue('slow', {});
  await ran.next();
  expect((await client.edit('slow', slow.id, { after: '1h' })).answer).toBe('not-waiting');
  gate.resolve();
  await slow.result();
  expect((await client.edit('slow', slow.id, { after: '1h' })).answer).toBe('unknown');
  const cancelled = await client.enqueue('later', {}, { after: '1h', confirm: 'stored' });
  await cancelled.cancel();
  expect((await client.edit('later', cancelled.id, { after: 0 })).answer).toBe('not-waiting');
  // No node has it: it is changed where it waits.
  const nobody = await client.enqueue('nobody', {}, { after: '1h' });
  expect((await client.edit('nobody', nobody.id, { args: 1, runAt: 0 })).answer).toBe('edited');
  expect(await client.find(nobody.id)).toMatchObject({ args: 1, dueAt: 0, status: 'queued' });
  await expect(client.edit('later', nobody.id, { args: 2 })).rejects.toMatchObject({ code: 'INVALID_QUERY' });
  const other = await client.enqueue('later', { n: 1 }, { after: '1h', confirm: 'stored' });
  await expect(client.edit(Checked, other.id, { args: { n: 2 } })).rejects.toMatchObject({
    code: 'INVALID_QUERY',
    message: `Job ${other.id} is no 'checked'. Nothing was changed.`,
  });
  expect(await client.find(other.id)).toMatchObject({ args: { n: 1 } });
});

it('is kept when a node in memory has the job and goes: another runs it with what was said last', async () => {
  const ran = new Facts<Ran>();
  const web = await system.application();
  const first = await system.node({ name: 'first', to: web, providers: [jobs(ran)] });
  const { id } = await web.client.enqueue('later', { n: 1 }, { after: '1h', confirm: 'stored' });
  expect(await web.client.edit('later', id, { args: { n: 2 } })).toEqual(edited);
  expect(await web.client.edit('later', id, { after: '2h' })).toEqual(edited);
  await first.close();
  await system.node({ name: 'second', to: web, providers: [jobs(ran)] });
  await eventually('the second has it', async () => (await web.client.find(id))?.node === 'second');
  expect(await web.client.find(id)).toMatchObject({ args: { n: 2 } });
  expect((await web.client.edit('later', id, { runAt: 0 })).answer).toBe('edited');
  expect((await ran.next()).args).toEqual({ n: 2 });
});

it('refuses a change that can not be right before anybody is asked', async () => {
  const { client } = await system.application();
  const id = crypto.randomUUID();
  const refused = (change: object): Promise<void> =>
    expect(client.edit(Checked, id, change)).rejects.toMatchObject({ code: 'INVALID_JOB' });
  await refused({});
  await refused({ after: '1h', runAt: new Date() });
  await refused({ after: 'soon' });
  await refused({ runAt: 'tomorrow' });
  await refused({ priority: 3 });
  await refused(null as unknown as object);
  await expect(client.edit(Checked, id, { args: { n: 'x' } as never })).rejects.toMatchObject({ code: 'ARGS_INVALID' });
  await expect(client.edit('x', id, { args: () => 1 })).rejects.toMatchObject({ code: 'SERIALIZATION' });
  await expect(client.edit(Checked, 'nonsense', { after: 0 })).rejects.toMatchObject({ code: 'INVALID_QUERY' });
  expect(await client.edit(Checked, id, { after: 0 })).toEqual({ answer: 'unknown', missing: [] });
});

it('edited, run and cancelled at the same moment each job ends once, with one of the args it had', async () => {
  const ran = new Facts<Ran>();
  const web = await system.application();
  await system.node({ to: web, storage: await system.database('SQLite'), providers: [jobs(ran)] });
  const many = await web.client.enqueueMany(
    Array.from({ length: 40 }, () => ({
      job: 'later',
      args: 'old',
      options: { after: '1h', confirm: 'stored' as const },
    })),
  );
  const results = many.map((job) => job.result({ timeout: '60s' }).catch((error: { code: string }) => error.code));
  const answers = await Promise.all(
    many.map(async (job, at) => {
      const { edit, runNow } = web.client;
      const edits = ['a', 'b'].map((args) => edit.call(web.client, 'later', job.id, { args }));
      await Promise.all([...edits, ...(at % 2 ? [job.cancel('no')] : [])]);
      await runNow.call(web.client, job.id);
      return (await Promise.all(edits)).map(({ answer }) => answer);
    }),
  );
  const ends = await Promise.all(results);
  for (const [at, end] of ends.entries()) {
    const changed = answers[at]!.includes('edited');
    if (at % 2 === 0) expect(changed && (end === 'a' || end === 'b')).toBe(true);
    else expect(end).toBe('JOB_CANCELLED');
  }
  expect(ran.all).toHaveLength(20);
});
