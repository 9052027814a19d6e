import { describe, expect, it } from 'vitest';
import type { DatabaseOptions } from '../../lib/index.js';
import { databaseKinds } from '../support/databases.js';
import { within } from '../support/deadline.js';
import { joined, reactors, type Application, type ReactorProcess } from '../support/reactor.js';
import { stopsUnderLoad } from '../support/stop-under-load.js';
import { seededRandom } from '../support/seeded-random.js';

/** What a stop may take beyond `drainTimeout`. */
const MARGIN = 2_000;

const system = reactors();

const nodeOf = (web: Application, storage: DatabaseOptions, more: object = {}): Promise<ReactorProcess> =>
  system.process({ node: { name: 'one', storage, distributors: [{ host: '127.0.0.1', port: web.port }], ...more } }, [
    web,
  ]);

/** Milliseconds from SIGTERM to the end; the distributor has to hear a goodbye. */
async function stop(web: Application, node: ReactorProcess): Promise<number> {
  const left = new Promise((resolve) => web.distributor.on('node left', resolve));
  const at = performance.now();
  expect(await node.kill('SIGTERM')).toEqual({ code: null, signal: 'SIGTERM' });
  const took = performance.now() - at;
  await within(left, 'its goodbye');
  return took;
}

describe.each(databaseKinds)('SIGTERM, %s', (kind) => {
  it('ends an idle node within 2 s, with a goodbye', async () => {
    const web = await system.application();
    const node = await nodeOf(web, await system.database(kind));
    expect(await stop(web, node)).toBeLessThan(MARGIN);
  });

  it('ends a busy one within drainTimeout + 2 s: what it ran and what waited is there for the next, no attempt spent', async () => {
    const web = await system.application();
    const storage = await system.database(kind);
    const node = await nodeOf(web, storage, { concurrency: 2, prefetch: 10, drainTimeout: 1_000 });
    const entries = [1, 2, 3, 4].map((n) => ({
      job: 'work',
      args: { do: 'wait', n },
      options: { confirm: 'stored' as const },
    }));
    const jobs = await web.client.enqueueMany(entries);
    await node.started();
    await node.started();
    const took = await stop(web, node);
    expect(took).toBeGreaterThanOrEqual(1_000);
    expect(took).toBeLessThan(1_000 + MARGIN);
    expect(node.starts).toHaveLength(2);

    const next = await nodeOf(web, storage, { concurrency: 4 });
    for (const { id } of jobs) {
      expect(await next.started((started) => started.id === id)).toMatchObject({ attempt: 1, lastError: null });
      next.finish(id, 'done');
    }
    expect(await Promise.all(jobs.map((job) => job.result({ timeout: '30s' })))).toEqual(Array(4).fill('done'));
    expect(next.starts).toHaveLength(4);
  });

  it('a second time does not wait for drainTimeout: what runs is interrupted and given back, no attempt spent', async () => {
    const web = await system.application();
    const storage = await system.database(kind);
    const node = await nodeOf(web, storage, { drainTimeout: '10m' });
    const job = await web.client.enqueue('work', { do: 'wait' });
    await node.started();
    const left = new Promise((resolve) => web.distributor.on('node left', resolve));
    const at = performance.now();
    node.child.kill('SIGTERM');
    // Somebody in a hurry. What comes within half a second may be the same signal, told twice.
    const hurry = setInterval(() => node.child.kill('SIGTERM'), 100);
    await within(node.exit, 'its end').finally(() => clearInterval(hurry));
    expect(performance.now() - at).toBeGreaterThanOrEqual(500);
    expect(performance.now() - at).toBeLessThan(500 + MARGIN);
    await within(left, 'its goodbye');

    const next = await nodeOf(web, storage);
    expect(await next.started()).toMatchObject({ id: job.id, attempt: 1, lastError: null });
    next.finish(job.id, 'done');
    expect(await job.result({ timeout: '30s' })).toBe('done');
  });
});

describe('SIGTERM', () => {
  it('told twice at once, as npm and systemd do, is one stop, and what runs may end', async () => {
    const web = await system.application();
    const node = await nodeOf(web, await system.database('SQLite'), { drainTimeout: '10m' });
    const job = await web.client.enqueue('work', { do: 'wait' });
    await node.started();
    const draining = new Promise((resolve) => web.distributor.on('node left', resolve));
    node.child.kill('SIGINT');
    node.child.kill('SIGTERM');
    // It takes nothing more, and then this one is over.
    node.finish(job.id, 'in peace');
    expect(await job.result({ timeout: '30s' })).toBe('in peace');
    await within(draining, 'its goodbye');
    await within(node.exit, 'its end');
  });

  it('once, in a node that shares a database: what waited there runs on another within a second', async ({ skip }) => {
    const kind = databaseKinds.find((one) => one !== 'SQLite');
    if (!kind) return skip('no database server is there');
    const web = await system.application();
    const storage = await system.database(kind);
    const node = await nodeOf(web, storage, { concurrency: 1, prefetch: 100, drainTimeout: 0 });
    const entry = { job: 'work', args: { do: 'wait' }, options: { confirm: 'stored' as const } };
    const jobs = await web.client.enqueueMany(Array.from({ length: 20 }, () => entry));
    await node.started();
    const joining = joined(web, 'two');
    const two = await nodeOf(web, storage, { name: 'two', concurrency: 100 });
    await joining;
    await stop(web, node);
    const at = performance.now();
    for (const { id } of jobs) {
      expect(await two.started((started) => started.id === id)).toMatchObject({ attempt: 1 });
      two.finish(id, 'done');
    }
    expect(performance.now() - at).toBeLessThan(1_000);
  });
});

/** `npm run test:stops` is the long form: 200, on each kind of database that is there. */
const STOPS = Number(process.env['JOB_REACTOR_STOPS'] ?? 20);
const isLong = process.env['JOB_REACTOR_STOPS'] !== undefined;

describe.each(isLong ? databaseKinds : (['SQLite'] as const))('under load, %s', (kind) => {
  it(
    `${STOPS} stops: each within drainTimeout + 2 s, nothing lost, no attempt spent`,
    async () => {
      const storage = await system.database(kind);
      const seed = isLong ? Date.now() % 1_000_000 : 4;
      const figures = await stopsUnderLoad(system, { stops: STOPS, storage, random: seededRandom(seed) });
      const { took, drainTimeout, accepted, succeeded, starts, again, ...rest } = figures;
      const within = took.filter((one) => one < drainTimeout + MARGIN).length;
      if (isLong) {
        const longest = Math.round(Math.max(...took));
        const stops = `${within} of ${took.length} stops within ${drainTimeout + MARGIN} ms, the longest ${longest} ms`;
        const jobs = `${accepted} jobs accepted, ${succeeded} succeeded, ${starts} starts, ${again} after an interruption`;
        console.log(`${kind}, seed ${seed}: ${stops}; ${jobs}, ${rest.spent.length} attempts spent`);
      }
      expect(rest).toMatchObject({ failed: [], spent: [], bad: [] });
      expect(within).toBe(STOPS);
      expect(succeeded).toBe(accepted);
      // It had something to interrupt.
      expect(again).toBeGreaterThan(0);
    },
    STOPS * 20_000,
  );
});
