import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { defineJob, Job, JobContext } from '../../lib/index.js';
import { signal } from '../support/deadline.js';
import { eventually, Facts, reactors } from '../support/reactor.js';

const system = reactors();

const Resize = defineJob<{ n: number }>('resize', { concurrency: 2 });

/** How many of each name run, and the most that ever did. */
class Count {
  now = 0;
  most = 0;
  readonly begun = new Facts<number>();

  async during(n: number, work: Promise<unknown>): Promise<void> {
    this.most = Math.max(this.most, ++this.now);
    this.begun.tell(n);
    await work;
    this.now--;
  }
}

function jobs(gate: Promise<unknown>, counts: { resize: Count; single: Count }) {
  @Injectable()
  class Jobs {
    @Job(Resize)
    async resize(@Payload() { n }: { n: number }): Promise<void> {
      await counts.resize.during(n, gate);
    }
    @Job('single', { concurrency: 1, backoff: 1 })
    async single(@Payload() { n }: { n: number }, @Ctx() { job }: JobContext): Promise<void> {
      await counts.single.during(n, gate);
      if (job.attempt === 1) throw new Error('once more');
    }
    @Job('seldom', { rate: { max: 3, per: '400ms' } })
    seldom(): number {
      return performance.now();
    }
    @Job('other')
    other(@Payload() { n }: { n: number }): number {
      return n;
    }
  }
  return Jobs;
}

describe.each(['memory', 'SQLite'] as const)('a limit on a job name, with a storage in %s', (kind) => {
  it('has so many of it running on a node, holds up no other name, and all run', async () => {
    const storage = kind === 'memory' ? kind : await system.database(kind);
    const [gate, counts] = [signal(), { resize: new Count(), single: new Count() }];
    const web = await system.application();
    await system.node({ to: web, storage, concurrency: 4, prefetch: 2, providers: [jobs(gate.promise, counts)] });
    const { client } = web;
    const entries = Array.from({ length: 40 }, (_, n) => ({ job: Resize, args: { n } }));
    const limited = await client.enqueueMany(entries);
    const single = await client.enqueueMany(entries.slice(0, 10).map(({ args }) => ({ job: 'single', args })));
    await eventually('as many run as may', () => counts.resize.now === 2 && counts.single.now === 1);
    // There are fewer slots than jobs that wait, and yet these are sent and run.
    for (let n = 0; n < 10; n++) expect(await client.run('other', { n })).toBe(n);
    gate.resolve();
    await Promise.all([...limited, ...single].map((job) => job.result({ timeout: '60s' })));
    expect([counts.resize.most, counts.single.most]).toEqual([2, 1]);
    expect(counts.resize.begun.all).toHaveLength(40);
    expect(counts.single.begun.all).toHaveLength(20);
  });
});

it('a rate starts so many within any such time, and lets other names pass', async () => {
  const web = await system.application();
  const counts = { resize: new Count(), single: new Count() };
  await system.node({ to: web, providers: [jobs(Promise.resolve(), counts)] });
  const seldom = await web.client.enqueueMany(Array.from({ length: 10 }, () => ({ job: 'seldom', args: {} })));
  expect(await web.client.run('other', { n: 1 })).toBe(1);
  const ends = (await Promise.all(seldom.map((job) => job.result({ timeout: '60s' })))) as number[];
  ends.sort((a, b) => a - b);
  // When it begins is a moment before what its handler sees.
  for (let at = 3; at < ends.length; at++) expect(ends[at]! - ends[at - 3]!).toBeGreaterThan(350);
});

it('holds after a restart of the node, for what it finds in its storage', async () => {
  const storage = await system.database('SQLite');
  const [gate, counts] = [signal(), { resize: new Count(), single: new Count() }];
  const web = await system.application();
  const first = await system.node({ to: web, storage, providers: [jobs(gate.promise, counts)] });
  const entries = Array.from({ length: 10 }, (_, n) => ({
    job: Resize,
    args: { n },
    options: { after: '1h' as const, confirm: 'stored' as const },
  }));
  const waiting = await web.client.enqueueMany(entries);
  await first.close();
  await system.node({ to: web, storage, concurrency: 8, providers: [jobs(gate.promise, counts)] });
  await Promise.all(waiting.map(({ id }) => web.client.runNow(id)));
  await counts.resize.begun.next();
  await counts.resize.begun.next();
  expect(await web.client.run('other', { n: 1 })).toBe(1);
  gate.resolve();
  await Promise.all(waiting.map((job) => job.result({ timeout: '60s' })));
  expect(counts.resize.most).toBe(2);
});

it('is a whole number of at least 1, said where the handler is', async () => {
  const refused = (concurrency: unknown): void =>
    expect(() => defineJob('x', { concurrency: concurrency as number })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTIONS' }),
    );
  for (const concurrency of [0, 1.5, -1, '2', null, Infinity]) refused(concurrency);
  const { client } = await system.application();
  for (const rate of [null, 3, {}, { max: 0, per: 1 }, { max: 1 }, { max: 1, per: 0 }, { max: 1, per: '1s', by: 2 }])
    expect(() => defineJob('x', { rate: rate as never })).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }));
  await expect(client.enqueue('x', {}, { concurrency: 2 } as never)).rejects.toMatchObject({ code: 'INVALID_JOB' });
  await expect(system.application({ jobs: { concurrency: 2 } as never })).rejects.toMatchObject({
    code: 'INVALID_OPTIONS',
  });
});
