import { Injectable } from '@nestjs/common';
import { Ctx } from '@nestjs/microservices';
import { beforeEach, describe, expect, it } from 'vitest';
import { defineJob, Job, JobContext, type DatabaseOptions, type JobHandle } from '../../lib/index.js';
import { describeEachDatabase } from '../support/databases.js';
import { signal } from '../support/deadline.js';
import { keptLog } from '../support/log.js';
import { eventually, reactors, type Application, type ReactorProcess } from '../support/reactor.js';

const system = reactors();

const Sync = defineJob<{ n: number }>('sync', { globalConcurrency: 2 });
const Export = defineJob<{ n: number }>('export', { perGroup: { globalConcurrency: 1 } });

/** What runs on all nodes of this process, and the most that ever did, by name and group. */
class Count {
  readonly now = new Map<string, number>();
  readonly most = new Map<string, number>();
  readonly on = new Map<string, number>();

  async during({ job: { name, group = '', node } }: JobContext, work: Promise<unknown>): Promise<void> {
    const key = `${name} ${group}`;
    this.now.set(key, (this.now.get(key) ?? 0) + 1);
    this.most.set(key, Math.max(this.most.get(key) ?? 0, this.now.get(key)!));
    this.on.set(node, (this.on.get(node) ?? 0) + 1);
    await work;
    this.now.set(key, this.now.get(key)! - 1);
  }
}

function jobs(count: Count, work: () => Promise<unknown>) {
  @Injectable()
  class Jobs {
    @Job(Sync) sync(@Ctx() ctx: JobContext): Promise<void> {
      return count.during(ctx, work());
    }
    @Job(Export) export(@Ctx() ctx: JobContext): Promise<void> {
      return count.during(ctx, work());
    }
    @Job('single', { globalConcurrency: 1 }) single(@Ctx() ctx: JobContext): Promise<void> {
      return count.during(ctx, work());
    }
  }
  return Jobs;
}

const nap = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, Math.random() * 20));
const ended = (handles: readonly JobHandle[]): Promise<unknown> =>
  Promise.all(handles.map((job) => job.result({ timeout: '60s' })));
const enqueue = ({ client }: Application, job: typeof Sync | 'single', count: number) =>
  client.enqueueMany(Array.from({ length: count }, (_, n) => ({ job, args: { n } })));

describe.each(['memory', 'SQLite'] as const)('a limit over all nodes, with a node on %s', (kind) => {
  it('holds on that node, as no other could count', async () => {
    const storage = kind === 'memory' ? kind : await system.database(kind);
    const count = new Count();
    const web = await system.application();
    const log = keptLog();
    await system.node({ to: web, storage, providers: [jobs(count, nap)], logger: log.logger });
    await ended(await enqueue(web, Sync, 20));
    expect(count.most.get('sync ')).toBe(2);
    const said = log.all.filter(({ text }) => text.includes('globalConcurrency'));
    expect(said).toEqual([{ level: 'warn', text: expect.stringContaining("of job 'sync' holds on node 'one' alone") }]);
  });
});

describeEachDatabase('a limit over all nodes that share a database', ({ kind }) => {
  let storage: DatabaseOptions;
  let web: Application;
  let count: Count;
  beforeEach(async () => {
    storage = await system.database(kind);
    web = await system.application();
    count = new Count();
  });
  const node = (name: string, work = nap, to: Application[] = [web]) =>
    system.node({ name, to, storage, concurrency: 4, providers: [jobs(count, work)] });
  const inProcess = (name: string): Promise<ReactorProcess> =>
    system.process({ node: { name, storage, distributors: [{ host: '127.0.0.1', port: web.port }] } }, [web]);

  it('holds over three of them and two applications, and all have their share', async () => {
    const other = await system.application({ name: 'other' });
    await Promise.all(['one', 'two', 'three'].map((name) => node(name, nap, [web, other])));
    await ended([...(await enqueue(web, Sync, 60)), ...(await enqueue(other, Sync, 60))]);
    expect(count.most.get('sync ')).toBe(2);
    expect([...count.on.values()].reduce((sum, one) => sum + one, 0)).toBe(120);
    expect(Math.min(...['one', 'two', 'three'].map((name) => count.on.get(name) ?? 0))).toBeGreaterThan(5);
  });

  it('for each group: one tenant at a time, many tenants at once', async () => {
    await Promise.all(['one', 'two'].map((name) => node(name)));
    const handles = await web.client.enqueueMany(
      Array.from({ length: 60 }, (_, n) => ({ job: Export, args: { n }, options: { group: `tenant ${n % 5}` } })),
    );
    await ended(handles);
    for (let n = 0; n < 5; n++) expect(count.most.get(`export tenant ${n}`)).toBe(1);
    expect(count.on.size).toBe(2);
  });

  it('lets others pass: what waits for a place takes no slot', async () => {
    const gate = signal();
    await node('one', () => gate.promise);
    const second = await node('two', () => gate.promise);
    const held = await enqueue(web, Sync, 30);
    await eventually('as many run as may', () => count.now.get('sync ') === 2);
    const others = await web.client.enqueueMany(
      Array.from({ length: 2 }, (_, n) => ({ job: Export, args: { n }, options: { group: `${n}`, node: 'two' } })),
    );
    await eventually('the others run', () => [0, 1].every((n) => count.now.get(`export ${n}`) === 1));
    gate.resolve();
    await ended([...held, ...others]);
    await second.close();
  });

  it('a node that stops gives up its places at once', async () => {
    const gate = signal();
    const first = await node('one', () => gate.promise);
    const [held] = await enqueue(web, 'single', 1);
    await eventually('it runs', () => count.now.get('single ') === 1);
    await node('two');
    const waiting = await web.client.enqueue('single', { n: 1 }, { node: 'two', strictNode: true });
    const closing = first.close();
    gate.resolve();
    await closing;
    const begun = performance.now();
    await ended([held!, waiting]);
    expect(performance.now() - begun).toBeLessThan(5_000);
    expect(count.most.get('single ')).toBe(1);
  });

  it('killed: its place is free when it is known to be dead, and what it ran runs once more', async () => {
    const one = await inProcess('one');
    const two = await inProcess('two');
    const first = await web.client.enqueue('single', { do: 'hang' }, { node: 'one' });
    await one.started();
    const second = await web.client.enqueue('single', { result: 'two' }, { node: 'two' });
    await second.stored();
    expect(two.starts).toEqual([]);
    await one.kill('SIGKILL');
    const { id } = await two.started();
    // What it ran was taken over, and waits in its turn.
    if (id === first.id) await web.client.cancel(first.id);
    else await two.started(({ id: started }) => started === first.id).then(() => web.client.cancel(first.id));
    expect(await second.result({ timeout: '60s' })).toBe('two');
  });

  it('a node that comes back from the dead has none of what its earlier life had', async () => {
    const one = await inProcess('one');
    await node('two');
    const first = await web.client.enqueue('single', { do: 'hang' }, { node: 'one' });
    await one.started();
    const second = await web.client.enqueue('single', { n: 2 }, { node: 'two', strictNode: true });
    await second.stored();
    await one.kill('SIGKILL');
    await node('one');
    await ended([first, second]);
    expect(count.most.get('single ')).toBe(1);
  });
});
