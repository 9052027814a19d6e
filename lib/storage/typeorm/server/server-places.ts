import type { ConcernedPeers, PlaceOrder, PlaceRows, PlaceShare } from '../../place-rows.js';
import type { Row } from '../job-rows.js';
import { nameId } from '../name-id.js';
import { LeaseExpired, transaction, type Engine, type Owner, type Session } from './engine.js';
import { GRACE } from './lease.js';

/** Orders in one transaction. */
const PAGE = 500;

interface Held {
  id: string;
  owner: string;
  instance: string;
  count: number;
  isWanting: boolean;
  isDead: boolean;
}

/**
 * Who has how many places, in a database that many processes use. Orders are one after another: each locks the one row of
 * the storage. Whoever is concerned is told twice: by a message, if the processes know each other, and by a number in its
 * lease, which its next renewal finds changed. So nobody looks for places, and no word is lost.
 */
export class ServerPlaces implements PlaceRows {
  constructor(
    private readonly engine: Engine,
    /** @throws STORAGE when it is not open */
    private readonly owner: () => Owner,
    /** Turns what fails into a STORAGE error. */
    private readonly storage: <T>(work: () => Promise<T>) => Promise<T>,
  ) {}

  idOf(name: string, group: string): string {
    return nameId(name, group);
  }

  async order(orders: readonly PlaceOrder[]): Promise<{ shares: PlaceShare[]; concerned: ConcernedPeers }> {
    const shares: PlaceShare[] = [];
    const concerned = new Set<string>();
    for (let from = 0; from < orders.length; from += PAGE) {
      const page = orders.slice(from, from + PAGE);
      const ordered = await this.ordering((session) => this.orderPage(session, page));
      shares.push(...ordered.shares);
      for (const instance of ordered.concerned) concerned.add(instance);
    }
    return { shares, concerned: [...concerned] };
  }

  async clear(): Promise<ConcernedPeers> {
    const { places } = this.engine.tables;
    const mine = `SELECT id FROM ${places} WHERE owner = ?`;
    const { id } = this.owner();
    const { rows } = await this.storage(() => this.engine.session((session) => session.query(mine, [id])));
    if (rows.length === 0) return [];
    return this.ordering(async (session) => {
      const ids = (await session.query(mine, [id])).rows.map((row) => row['id'] as string);
      const concerned: Held[] = [];
      for (let from = 0; from < ids.length; from += PAGE) {
        const page = ids.slice(from, from + PAGE);
        const held = await this.held(session, page);
        concerned.push(...held.filter(({ owner, isWanting, isDead }) => owner !== id && isWanting && !isDead));
      }
      await session.query(`DELETE FROM ${places} WHERE owner = ?`, [id]);
      return this.tell(session, concerned);
    });
  }

  private async orderPage(
    session: Session,
    orders: readonly PlaceOrder[],
  ): Promise<{ shares: PlaceShare[]; concerned: ConcernedPeers }> {
    const me = this.owner().id;
    const ids = orders.map(({ id }) => id);
    const byId = new Map<string, Held[]>();
    for (const held of await this.bury(session, await this.held(session, ids)))
      byId.set(held.id, [...(byId.get(held.id) ?? []), held]);
    const concerned: Held[] = [];
    const shares: PlaceShare[] = [];
    for (const order of orders) {
      const all = byId.get(order.id) ?? [];
      const others = all.filter(({ owner }) => owner !== me);
      const mine = all.find(({ owner }) => owner === me);
      const taken = others.reduce((sum, { count }) => sum + count, 0);
      const has = Math.max(0, Math.min(order.count, order.limit - taken));
      const isWanting = order.wanted > has;
      await this.write(session, order.id, mine, { count: has, isWanting });
      const wanting = others.filter((other) => other.isWanting);
      if (has < (mine?.count ?? 0)) concerned.push(...wanting);
      if (isWanting && !mine?.isWanting) concerned.push(...others.filter(({ count }) => count > 0));
      const isStarving = wanting.some(({ count }) => count === 0);
      shares.push({ has, wanting: wanting.length, isStarving, others: others.length });
    }
    return { shares, concerned: await this.tell(session, concerned) };
  }

  private async write(
    session: Session,
    id: string,
    mine: Held | undefined,
    { count, isWanting }: Pick<Held, 'count' | 'isWanting'>,
  ): Promise<void> {
    const { places } = this.engine.tables;
    const me = this.owner().id;
    if (count === (mine?.count ?? 0) && isWanting === (mine?.isWanting ?? false)) return;
    const wanting = isWanting ? 'TRUE' : 'FALSE';
    if (count === 0 && !isWanting) {
      await session.query(`DELETE FROM ${places} WHERE id = ? AND owner = ?`, [id, me]);
    } else if (mine) {
      const sql = `UPDATE ${places} SET held = ?, wanting = ${wanting} WHERE id = ? AND owner = ?`;
      await session.query(sql, [count, id, me]);
    } else {
      const sql = `INSERT INTO ${places} (id, owner, held, wanting) VALUES (?, ?, ?, ${wanting})`;
      await session.query(sql, [id, me, count]);
    }
  }

  /** What the dead had is free. @returns what the living have */
  private async bury(session: Session, all: readonly Held[]): Promise<Held[]> {
    const dead = new Set(all.filter(({ isDead }) => isDead).map(({ owner }) => owner));
    if (dead.size > 0) {
      const sql = `DELETE FROM ${this.engine.tables.places} WHERE owner IN (${marks([...dead])})`;
      await session.query(sql, [...dead]);
    }
    return all.filter(({ isDead }) => !isDead);
  }

  private async held(session: Session, ids: readonly string[]): Promise<Held[]> {
    const { tables, now } = this.engine;
    const sql =
      `SELECT p.id, p.owner, p.held, p.wanting, l.instance, l.expires_at + ${GRACE} - (${now}) AS time_left ` +
      `FROM ${tables.places} p LEFT JOIN ${tables.leases} l ON l.id = p.owner WHERE p.id IN (${marks(ids)})`;
    return (await session.query(sql, ids)).rows.map(toHeld);
  }

  /** By what their next renewals come upon; and by message, as far as they can be reached. */
  private async tell(session: Session, concerned: readonly Held[]): Promise<ConcernedPeers> {
    const owners = [...new Set(concerned.map(({ owner }) => owner))].sort();
    if (owners.length === 0) return [];
    const { leases } = this.engine.tables;
    await session.query(`UPDATE ${leases} SET newcomers = newcomers + 1 WHERE id IN (${marks(owners)})`, owners);
    return [...new Set(concerned.map(({ instance }) => instance))];
  }

  /** While nobody else orders, and only while our own lease is held. */
  private ordering<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const { tables, now } = this.engine;
    return this.storage(() =>
      this.engine.session((session) =>
        transaction(session, async () => {
          await session.query(`SELECT id FROM ${tables.storage} FOR UPDATE`);
          const { id, instance } = this.owner();
          const alive = `SELECT id FROM ${tables.leases} WHERE id = ? AND instance = ? AND expires_at > ${now}`;
          if ((await session.query(alive, [id, instance])).rows.length === 0)
            throw new LeaseExpired('The own lease has run out.');
          return work(session);
        }),
      ),
    );
  }
}

const marks = (values: readonly unknown[]): string => values.map(() => '?').join(', ');

const toHeld = (row: Row): Held => ({
  id: row['id'] as string,
  owner: row['owner'] as string,
  instance: row['instance'] as string,
  count: Number(row['held']),
  isWanting: Boolean(row['wanting']),
  isDead: row['time_left'] === null || Number(row['time_left']) <= 0,
});
