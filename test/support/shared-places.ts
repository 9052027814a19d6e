import type { ConcernedPeers, PlaceOrder, PlaceRows, PlaceShare } from '../../lib/storage/place-rows.js';

interface Held {
  count: number;
  isWanting: boolean;
}

/** Places that the nodes of one test share, by the rules of a database; what an order takes is the test's. */
export class SharedPlaces {
  readonly #rows = new Map<string, Map<string, Held>>();
  orders = 0;
  /** What their leases tell those who are concerned, one day. */
  bumped: (concerned: string[]) => void = () => undefined;

  /** As one node sees them. `during`: what happens on the way there and back; throws for an answer that is lost. */
  for(owner: string, during: (way: 'there' | 'back') => Promise<void>): PlaceRows {
    return {
      idOf: (name, group) => `${name} ${group}`,
      order: async (orders) => {
        await during('there');
        this.orders++;
        const concerned = new Set<string>();
        const shares = orders.map((order) => this.#order(owner, order, concerned));
        if (concerned.size > 0) this.bumped([...concerned]);
        await during('back');
        return { shares, concerned: [...concerned] };
      },
      clear: async () => {
        await during('there');
        return this.bury(owner);
      },
    };
  }

  /** It is dead: what it had is free. */
  bury(owner: string): ConcernedPeers {
    const concerned = new Set<string>();
    for (const rows of this.#rows.values()) {
      if (!rows.delete(owner)) continue;
      for (const [other, { isWanting }] of rows) if (isWanting) concerned.add(other);
    }
    return [...concerned];
  }

  /** How many of one limit are taken. */
  taken(name: string, group = ''): number {
    return [...(this.#rows.get(`${name} ${group}`)?.values() ?? [])].reduce((sum, { count }) => sum + count, 0);
  }

  #order(owner: string, { id, limit, count, wanted }: PlaceOrder, concerned: Set<string>): PlaceShare {
    const rows = this.#rows.get(id) ?? new Map<string, Held>();
    this.#rows.set(id, rows);
    const mine = rows.get(owner);
    rows.delete(owner);
    const others = [...rows];
    const taken = others.reduce((sum, [, held]) => sum + held.count, 0);
    const has = Math.max(0, Math.min(count, limit - taken));
    const isWanting = wanted > has;
    if (has > 0 || isWanting) rows.set(owner, { count: has, isWanting });
    const wanting = others.filter(([, held]) => held.isWanting);
    if (has < (mine?.count ?? 0)) for (const [other] of wanting) concerned.add(other);
    if (isWanting && !mine?.isWanting) for (const [other, held] of others) if (held.count > 0) concerned.add(other);
    const isStarving = wanting.some(([, held]) => held.count === 0);
    return { has, wanting: wanting.length, isStarving, others: others.length };
  }
}
