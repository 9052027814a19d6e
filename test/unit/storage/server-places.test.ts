import { randomUUID } from 'node:crypto';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { afterEach, expect, it } from 'vitest';
import { systemClock, type Clock } from '../../../lib/clock.js';
import { createStorage } from '../../../lib/storage/create-storage.js';
import type { JobStorage, LeaseChange } from '../../../lib/storage/job-storage.js';
import type { PlaceOrder, PlaceRows } from '../../../lib/storage/place-rows.js';
import type { StorageOption } from '../../../lib/storage/storage-option.js';
import { describeEachDatabase } from '../../support/databases.js';
import { Facts } from '../../support/facts.js';
import { ManualClock } from '../../support/manual-clock.js';
import { seededRandom } from '../../support/seeded-random.js';

type Options = Extract<StorageOption, { url?: string }> & { url: string; schema?: string; entityPrefix?: string };

describeEachDatabase('places in a database server', (database) => {
  const cleanups: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });

  const place = (): Options => {
    const { storage, drop } = database.make();
    cleanups.push(drop);
    return storage as Options;
  };
  const open = async (option: Options, name: string, clock: Clock = systemClock) => {
    const storage: JobStorage = createStorage(option, clock);
    cleanups.push(() => storage.close());
    const instance = randomUUID();
    const { id } = await storage.open({ role: 'node', name, instance });
    const told = new Facts<LeaseChange>();
    storage.peers!.onLease = (change) => told.tell(change);
    return { storage, places: storage.places!, instance, id, told };
  };
  const leases = ({ schema, entityPrefix = '' }: Options): string =>
    `${schema ? `${schema}.` : ''}${entityPrefix}job_reactor_leases`;
  const sql = async (options: Options, statement: string): Promise<void> => {
    const { type, url } = options;
    const dataSource = await new DataSource({ type, url } as DataSourceOptions).initialize();
    await dataSource.query(statement).finally(() => dataSource.destroy());
  };
  const order = async (rows: PlaceRows, more: Partial<PlaceOrder> = {}) => {
    const given = { id: rows.idOf('work', ''), limit: 3, count: 2, wanted: 2, ...more };
    const { shares, concerned } = await rows.order([given]);
    return { ...shares[0]!, concerned };
  };

  it('are had up to the limit, by whoever comes first; the same again changes nothing', async () => {
    const option = place();
    const [a, b] = [await open(option, 'a'), await open(option, 'b')];
    const alone = { has: 2, wanting: 0, isStarving: false, others: 0, concerned: [] };
    expect(await order(a.places)).toEqual(alone);
    expect(await order(a.places)).toEqual(alone);
    const second = { has: 1, wanting: 0, isStarving: false, others: 1 };
    expect(await order(b.places)).toEqual({ ...second, concerned: [a.instance] });
    // It has said that it wants more: nobody is told twice.
    expect(await order(b.places)).toEqual({ ...second, concerned: [] });
    expect(await order(a.places, { count: 1, wanted: 1 })).toMatchObject({
      has: 1,
      wanting: 1,
      concerned: [b.instance],
    });
    expect(await order(b.places)).toMatchObject({ has: 2, wanting: 0 });
    expect(await order(a.places, { count: 0, wanted: 0 })).toMatchObject({ has: 0, concerned: [] });
    expect(await order(b.places, { limit: 1 })).toMatchObject({ has: 1 });
    // Of another name, or of a group, there are others.
    expect(await order(a.places, { id: a.places.idOf('work', 'tenant') })).toMatchObject({ has: 2, others: 0 });
    expect(a.places.idOf('work', 'tenant')).not.toBe(a.places.idOf('work', ''));
  });

  it('of several limits in one order, and of very many', async () => {
    const option = place();
    const [a, b] = [await open(option, 'a'), await open(option, 'b')];
    const orders = (rows: PlaceRows): PlaceOrder[] =>
      Array.from({ length: 1_200 }, (_, n) => ({ id: rows.idOf('work', `g${n}`), limit: 1, count: 1, wanted: 1 }));
    const { shares } = await a.places.order(orders(a.places));
    expect(shares.every(({ has }) => has === 1)).toBe(true);
    const late = await b.places.order(orders(b.places));
    expect(late.shares.every(({ has }) => has === 0)).toBe(true);
    expect(late.concerned).toEqual([a.instance]);
    expect(await a.places.clear()).toEqual([b.instance]);
    expect((await b.places.order(orders(b.places))).shares.every(({ has }) => has === 1)).toBe(true);
  });

  it('whoever is concerned comes upon it with the next renewal of its lease, however often it is told', async () => {
    const option = place();
    const clock = new ManualClock();
    const [a, b] = [await open(option, 'a', clock), await open(option, 'b')];
    await order(a.places, { count: 3, wanted: 3 });
    expect(await order(b.places)).toMatchObject({ has: 0, concerned: [a.instance] });
    clock.advance(10_000);
    expect(await a.told.next()).toBe('newcomer');
    clock.advance(10_000);
    await a.places.clear();
    expect(a.told.all).toEqual(['newcomer']);
  });

  it('of a dead process are free with its lease and its grace; and with its next life', async () => {
    const option = place();
    const [a, b] = [await open(option, 'a', new ManualClock()), await open(option, 'b')];
    const now = option.type === 'postgres' ? '(EXTRACT(EPOCH FROM now()) * 1000)::bigint' : 'UNIX_TIMESTAMP() * 1000';
    const expire = (ago: number): Promise<void> =>
      sql(option, `UPDATE ${leases(option)} SET expires_at = ${now} - ${ago} WHERE name = 'a'`);
    await order(a.places, { count: 3, wanted: 3 });
    await expire(2_000);
    expect(await order(b.places)).toMatchObject({ has: 0 });
    // And it can have none before it has its lease again.
    await expect(order(a.places)).rejects.toMatchObject({ code: 'STORAGE' });
    await expire(7_000);
    expect(await order(b.places)).toMatchObject({ has: 2, others: 0 });

    await order(b.places, { count: 3, wanted: 3 });
    await b.storage.close();
    const c = await open(option, 'b');
    expect(c.id).toBe(b.id);
    await c.places.clear();
    expect(await order((await open(option, 'd')).places)).toMatchObject({ has: 2 });
  });

  it('eight that order at the same time never have more than there are', async () => {
    const option = place();
    const nodes = await Promise.all(Array.from({ length: 8 }, (_, n) => open(option, `n${n}`)));
    const random = seededRandom(7);
    const has = nodes.map(() => 0);
    let most = 0;
    await Promise.all(
      nodes.map(async ({ places }, n) => {
        for (let times = 0; times < 15; times++) {
          const count = Math.floor(random() * 4);
          // What is given up is not had any more before that is written.
          has[n] = Math.min(has[n]!, count);
          has[n] = (await order(places, { limit: 5, count, wanted: count })).has;
          most = Math.max(
            most,
            has.reduce((sum, one) => sum + one, 0),
          );
        }
      }),
    );
    expect(most).toBeLessThanOrEqual(5);
    expect(most).toBeGreaterThan(2);
  });
});
