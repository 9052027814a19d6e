import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { defineJob, Job, JobContext, type FoundJobs, type JobHandle, type JobsQuery } from '../../lib/index.js';
import { databaseKinds, describeEachDatabase } from '../support/databases.js';
import { signal } from '../support/deadline.js';
import { eventually, Facts, reactors, type Application } from '../support/reactor.js';
import { smallWindow } from '../support/small-window.js';

const system = reactors();

const Export = defineJob<{ n: number }>('export', { perGroup: { concurrency: 2 } });

interface Ran {
  name: string;
  group: string | undefined;
}

function jobs(ran: Facts<Ran>, gate: Promise<unknown> = Promise.resolve()) {
  const running = new Map<string, number>();
  const most = new Map<string, number>();
  const tell = async ({ job: { name, group } }: JobContext): Promise<void> => {
    const key = `${name} ${group}`;
    running.set(key, (running.get(key) ?? 0) + 1);
    most.set(key, Math.max(most.get(key) ?? 0, running.get(key)!));
    ran.tell({ name, group });
    await gate;
    running.set(key, running.get(key)! - 1);
  };
  @Injectable()
  class Jobs {
    @Job('work') work(@Ctx() ctx: JobContext): Promise<void> {
      return tell(ctx);
    }
    @Job('other') other(@Ctx() ctx: JobContext): Promise<void> {
      return tell(ctx);
    }
    @Job(Export) export(@Payload() _args: { n: number }, @Ctx() ctx: JobContext): Promise<void> {
      return tell(ctx);
    }
    @Job('seldom', { perGroup: { rate: { max: 2, per: '400ms' } } }) async seldom(@Ctx() ctx: JobContext) {
      await tell(ctx);
      return performance.now();
    }
  }
  return { Jobs, running, most };
}

const enqueue = (
  { client }: Pick<Application, 'client'>,
  count: number,
  group?: string,
  job = 'work',
  more: object = {},
) =>
  client.enqueueMany(
    Array.from({ length: count }, (_, n) => ({ job, args: { n }, options: { ...more, ...(group ? { group } : {}) } })),
  );
const ended = (handles: readonly JobHandle[]): Promise<unknown> =>
  Promise.all(handles.map((job) => job.result({ timeout: '60s' })));
const groupsOf = (ran: Facts<Ran>): (string | undefined)[] => ran.all.map(({ group }) => group);

describe.each(['memory', ...databaseKinds] as const)('groups, with the outbox in %s', (kind) => {
  it('take turns: the few jobs of one do not wait for the many of another, of whatever name they are', async () => {
    const ran = new Facts<Ran>();
    const outbox = kind === 'memory' ? {} : { outbox: await system.database(kind), imports: [smallWindow(20)] };
    const web = await system.application(outbox);
    const many = await enqueue(web, 300, 'large');
    const few = [...(await enqueue(web, 3, 'small')), ...(await enqueue(web, 2, 'other', 'other'))];
    await system.node({ to: web, concurrency: 1, prefetch: 0, providers: [jobs(ran).Jobs] });
    await ended(few);
    const begun = groupsOf(ran);
    const last = Math.max(begun.lastIndexOf('small'), begun.lastIndexOf('other'));
    // Two turns of others before each of them, and one job that was on its way.
    expect(last).toBeLessThanOrEqual(12);
    await ended(many);
    expect(ran.all).toHaveLength(305);
  });
});

describe.each(databaseKinds)('groups, with the outbox in %s', (kind) => {
  it('take turns after a restart of the application as well', async () => {
    const ran = new Facts<Ran>();
    const outbox = await system.database(kind);
    const before = await system.application({ outbox, imports: [smallWindow(20)] });
    await enqueue(before, 100, 'large');
    await enqueue(before, 2, 'small');
    await before.close();
    const after = await system.application({ outbox, imports: [smallWindow(20)] });
    await system.node({ to: after, concurrency: 1, prefetch: 0, providers: [jobs(ran).Jobs] });
    await ran.count(102);
    expect(groupsOf(ran).lastIndexOf('small')).toBeLessThanOrEqual(6);
  });
});

describe.each(['memory', 'SQLite'] as const)('groups on a node with a storage in %s', (kind) => {
  it('take turns there as well, with what has become due', async () => {
    const ran = new Facts<Ran>();
    const gate = signal();
    const web = await system.application();
    const storage = kind === 'memory' ? kind : await system.database(kind);
    await system.node({ to: web, storage, concurrency: 1, providers: [jobs(ran, gate.promise).Jobs] });
    const [blocks] = await enqueue(web, 1, 'large');
    await ran.next(({ group }) => group === 'large');
    const later = { after: 10, confirm: 'stored' };
    const many = await enqueue(web, 50, 'large', 'work', later);
    const few = await enqueue(web, 3, 'small', 'other', later);
    await eventually('all are due', async () => {
      const last = await web.client.find(few.at(-1)!.id);
      return Number(last?.dueAt) <= Date.now() - 50;
    });
    gate.resolve();
    await ended([blocks!, ...many, ...few]);
    expect(groupsOf(ran).lastIndexOf('small')).toBeLessThanOrEqual(10);
  });

  it('a limit of each group holds, and others pass; the handler is told its group', async () => {
    const ran = new Facts<Ran>();
    const gate = signal();
    const web = await system.application();
    const storage = kind === 'memory' ? kind : await system.database(kind);
    const { Jobs, running, most } = jobs(ran, gate.promise);
    await system.node({ to: web, storage, concurrency: 8, prefetch: 2, providers: [Jobs] });
    const all = [...(await enqueue(web, 30, 'a', 'export')), ...(await enqueue(web, 30, 'b', 'export'))];
    const free = await enqueue(web, 3, undefined, 'export');
    await eventually('as many run as may', () => [...running.values()].reduce((sum, one) => sum + one, 0) === 7);
    expect(Object.fromEntries(running)).toEqual({ 'export a': 2, 'export b': 2, 'export undefined': 3 });
    gate.resolve();
    await ended([...all, ...free]);
    expect([most.get('export a'), most.get('export b')]).toEqual([2, 2]);
  });
});

it('a rate of each group begins so many of each within any such time', async () => {
  const ran = new Facts<Ran>();
  const web = await system.application();
  await system.node({ to: web, providers: [jobs(ran).Jobs] });
  const times = async (group: string): Promise<number[]> => {
    const handles = await enqueue(web, 4, group, 'seldom');
    return ((await ended(handles)) as number[]).sort((x, y) => x - y);
  };
  for (const ends of await Promise.all(['a', 'b'].map(times)))
    // When it begins is a moment before what its handler sees.
    for (let at = 2; at < ends.length; at++) expect(ends[at]! - ends[at - 2]!).toBeGreaterThan(350);
});

describe.each(['memory', ...databaseKinds] as const)('a group that is paused, with a storage in %s', (kind) => {
  it('starts nothing until it is resumed, of whatever name; others go on', async () => {
    const ran = new Facts<Ran>();
    const web = await system.application();
    const storage = kind === 'memory' ? kind : await system.database(kind);
    const node = await system.node({ to: web, storage, concurrency: 2, prefetch: 0, providers: [jobs(ran).Jobs] });
    expect(await node.client.pause({ group: 'a' })).toEqual({ missing: [] });
    expect(await web.client.paused()).toEqual([{ group: 'a', since: expect.any(Number) }]);
    const held = [...(await enqueue(web, 10, 'a')), ...(await enqueue(web, 10, 'a', 'other'))];
    await ended(await enqueue(web, 20, 'b'));
    await ended(await enqueue(web, 3));
    expect(groupsOf(ran)).not.toContain('a');
    expect(await web.client.resume({ group: 'a' })).toEqual({ missing: [] });
    await ended(held);
    expect(groupsOf(ran).filter((group) => group === 'a')).toHaveLength(20);
  });
});

describeEachDatabase('a group that is paused, where applications and nodes share a database', ({ kind }) => {
  it('stays so over a restart of all of them', async () => {
    const ran = new Facts<Ran>();
    const storage = await system.database(kind);
    const [web, node] = await start();
    await web.client.pause({ group: 'a' });
    const [job] = await enqueue(web, 1, 'a');
    await node.close();
    await web.close();
    const [again] = await start();
    await ended(await enqueue(again, 5, 'b'));
    expect(groupsOf(ran)).not.toContain('a');
    expect((await again.client.find(job!.id))?.attempt).toBe(0);
    await again.client.resume({ group: 'a' });
    await ran.next(({ group }) => group === 'a');

    async function start() {
      const application = await system.application({ outbox: storage });
      return [application, await system.node({ to: application, storage, providers: [jobs(ran).Jobs] })] as const;
    }
  });
});

describe.each(['memory', ...databaseKinds] as const)('jobs of a group, kept in %s', (kind) => {
  it('are looked at, run again and removed, on the nodes and before them, and no others', async () => {
    const storage = kind === 'memory' ? kind : await system.database(kind);
    const outbox = kind === 'memory' ? {} : { outbox: await system.database(kind), imports: [smallWindow(2)] };
    const web = await system.application(outbox);
    const { client } = web;
    @Injectable()
    class Fails {
      @Job('fails') fails(): never {
        throw new Error('as it should');
      }
    }
    const ran = new Facts<Ran>();
    await system.node({ to: web, storage, providers: [Fails, jobs(ran).Jobs] });
    const ids = (some: readonly { id: string }[]): string[] => some.map(({ id }) => id).sort();
    const found = async (query: JobsQuery): Promise<string[]> => {
      const all: { id: string }[] = [];
      for (let after: string | null = null; ;) {
        const page: FoundJobs = await client.jobs({ ...query, after, limit: 3 });
        all.push(...page.jobs);
        if (page.after === null) return ids(all);
        ({ after } = page);
      }
    };
    const later = { after: '1h', confirm: 'stored' };
    const there = { a: await enqueue(web, 7, 'a', 'work', later), b: await enqueue(web, 7, 'b', 'work', later) };
    const here = { a: await enqueue(web, 7, 'a', 'nobody has this'), b: await enqueue(web, 7, 'b', 'nobody has this') };
    const failed = {
      a: await enqueue(web, 2, 'a', 'fails', { maxAttempts: 1 }),
      b: await enqueue(web, 2, 'b', 'fails', { maxAttempts: 1 }),
    };
    await Promise.all(
      [...failed.a, ...failed.b].map((job) => expect(job.result({ timeout: '60s' })).rejects.toThrow()),
    );

    expect(await found({ group: 'a' })).toEqual(ids([...there.a, ...here.a, ...failed.a]));
    expect(await found({ group: 'b', name: 'work' })).toEqual(ids(there.b));
    expect(await found({ group: 'a', node: null })).toEqual(ids(here.a));
    expect(await found({ group: 'c' })).toEqual([]);
    expect((await client.jobs({ group: 'b', status: 'failed' })).jobs[0]?.options.group).toBe('b');
    expect(await client.retryAll({ group: 'a' })).toEqual({ retried: 2, skipped: 0, missing: [] });
    await eventually(
      'they have failed again',
      async () => (await found({ group: 'a', status: 'failed' })).length === 2,
    );
    expect(await client.remove({ group: 'a' })).toEqual({ removed: 16, skipped: 0, missing: [] });
    expect(await found({})).toEqual(ids([...there.b, ...here.b, ...failed.b]));
    for (const group of ['', 3, null, ['a']])
      await expect(client.jobs({ group: group as never })).rejects.toMatchObject({ code: 'INVALID_QUERY' });
  });
});

it('refuses what can not be meant', async () => {
  const { client } = await system.application();
  for (const group of ['', 3, null, 'x'.repeat(201), 'a\nb', ['a']])
    await expect(client.enqueue('work', {}, { group: group as never })).rejects.toMatchObject({ code: 'INVALID_JOB' });
  for (const perGroup of [null, 3, { concurrency: 0 }, { rate: 3 }, { most: 2 }, { rate: { max: 1 } }])
    expect(() => defineJob('x', { perGroup: perGroup as never })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS', message: expect.stringContaining('perGroup') }),
    );
  await expect(client.pause({ group: 'a', job: 'b' } as never)).rejects.toMatchObject({ code: 'INVALID_QUERY' });
  await expect(client.enqueue('work', {}, { perGroup: {} } as never)).rejects.toMatchObject({ code: 'INVALID_JOB' });
});
