import { describe, expect, it } from 'vitest';
import type { Adopted, StoragePeer, StoragePeers } from '../../../lib/storage/job-storage.js';
import { PeerWatch, type Wants } from '../../../lib/storage/peer-watch.js';
import { ManualClock } from '../../support/manual-clock.js';
import { sampleJob } from '../../support/sample-job.js';

const LEASE = 30_000;

/** A database with leases on the manual clock, which counts what is asked of it. */
class Leases implements StoragePeers {
  readonly database = '0192f000-0000-7000-8000-000000000009';
  onLease = (): void => undefined;
  readonly clock = new ManualClock();
  readonly expires = new Map<string, number>();
  readonly rows = new Map<string, string[]>();
  readonly taken: string[] = [];
  lists = 0;
  adopts = 0;
  broken = false;
  /** The next adoption takes the rows, and its answer is lost. */
  answerLost = false;
  readonly #unanswered: { peer: StoragePeer; page: Adopted }[] = [];

  renew(...ids: string[]): void {
    for (const id of ids) this.expires.set(id, this.clock.monotonic() + LEASE);
  }

  async list(): Promise<StoragePeer[]> {
    this.lists++;
    if (this.broken) throw new Error('the database is away');
    return [...this.expires].map(([id, expiresAt]) => ({
      id,
      name: id,
      instance: id,
      expiresAt,
      left: Math.max(0, expiresAt - this.clock.monotonic()),
    }));
  }

  async *adopt(peer: StoragePeer, wants: (row: { name: string; options: object }) => boolean): AsyncIterable<Adopted> {
    this.adopts++;
    const rows = this.rows.get(peer.id) ?? [];
    const wanted = rows.filter((name) => wants({ name, options: {} }));
    this.rows.set(
      peer.id,
      rows.filter((name) => !wanted.includes(name)),
    );
    const page = { jobs: wanted.map((name) => sampleJob({ name })), feedbacks: 0 };
    if (this.answerLost) {
      this.answerLost = false;
      this.#unanswered.push({ peer, page });
      throw new Error('no answer came');
    }
    if (wanted.length > 0) yield page;
  }

  async *unanswered(): AsyncIterable<{ peer: StoragePeer; page: Adopted }> {
    yield* this.#unanswered.splice(0);
  }
}

describe('a watch over the peers in a database', () => {
  const watched = (leases: Leases, wants = (_name: string, _alive: ReadonlySet<string>): Wants => 'yes') => {
    const errors: unknown[] = [];
    const watch = new PeerWatch({
      peers: leases,
      clock: leases.clock,
      wants: ({ name }, alive) => wants(name, alive),
      adopted: async ({ jobs }) => void leases.taken.push(...jobs.map(({ name }) => name)),
      failed: (error) => errors.push(error),
    });
    return { watch, errors };
  };
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
  };
  const pass = async (leases: Leases, milliseconds: number): Promise<void> => {
    leases.clock.advance(milliseconds);
    await settle();
  };

  it('reads the leases once when something happened, once more when one would have run out, and then never', async () => {
    const leases = new Leases();
    leases.renew('a', 'b');
    const { watch } = watched(leases);
    watch.look();
    await settle();
    expect(leases.lists).toBe(1);
    for (let seconds = 10; seconds <= 30; seconds += 10) {
      await pass(leases, 9_000);
      leases.renew('a', 'b');
      await pass(leases, 1_000);
    }
    await pass(leases, 100);
    expect(leases.lists).toBe(2);
    for (let minute = 0; minute < 60; minute++) {
      leases.renew('a', 'b');
      await pass(leases, 20_000);
    }
    expect(leases.lists).toBe(2);
    expect(leases.adopts).toBe(0);
  });

  it('looks at those nobody would tell of until somebody is connected to them, and again when that one is gone', async () => {
    const leases = new Leases();
    leases.renew('a', 'b');
    leases.rows.set('a', ['x']);
    const { watch } = watched(leases);
    const minutes = async (count: number, ...living: string[]): Promise<number> => {
      const before = leases.lists;
      for (let turn = 0; turn < count * 3; turn++) {
        leases.renew(...living);
        await pass(leases, 20_000);
      }
      return leases.lists - before;
    };
    watch.unheardOf();
    await settle();
    expect(await minutes(2, 'a', 'b')).toBeGreaterThan(2);
    const node = {};
    watch.back('b', node);
    expect(await minutes(2, 'a', 'b')).toBeGreaterThan(2);
    watch.back('a', node);
    await minutes(1, 'a', 'b');
    expect(await minutes(10, 'a', 'b')).toBe(0);
    // Asked to look at all again it leaves out those somebody is connected to.
    watch.unheardOf();
    await minutes(1, 'a', 'b');
    expect(await minutes(10, 'a', 'b')).toBe(0);
    watch.forget(node);
    expect(await minutes(2, 'a', 'b')).toBeGreaterThan(2);
    // It dies, and nobody says so.
    await minutes(1, 'b');
    expect(leases.taken).toEqual(['x']);
  });

  it('looks at those nobody would tell of for about an hour', async () => {
    const leases = new Leases();
    const { watch } = watched(leases);
    watch.unheardOf();
    for (let turn = 0; turn < 3 * 90; turn++) {
      leases.renew('a');
      await pass(leases, 20_000);
    }
    const { lists } = leases;
    for (let turn = 0; turn < 3 * 10; turn++) {
      leases.renew('a');
      await pass(leases, 20_000);
    }
    expect(leases.lists).toBe(lists);
  });

  it('looks for a minute at all that are alive, when who would have told of them is gone', async () => {
    const leases = new Leases();
    leases.renew('a', 'b');
    leases.rows.set('a', ['x']);
    const { watch } = watched(leases);
    watch.witnessLost();
    await settle();
    // Looks for other reasons take nothing away from it.
    for (let looks = 0; looks < 5; looks++) {
      await pass(leases, 1_000);
      watch.look();
      await settle();
    }
    leases.renew('a', 'b');
    await pass(leases, 20_000);
    leases.renew('b');
    await pass(leases, 25_000);
    leases.renew('b');
    await pass(leases, 1_000);
    expect(leases.taken).toEqual(['x']);
    const lists = async (minutes: number): Promise<number> => {
      const before = leases.lists;
      for (let turn = 0; turn < minutes * 3; turn++) {
        leases.renew('b');
        await pass(leases, 20_000);
      }
      return leases.lists - before;
    };
    await lists(2);
    expect(await lists(10)).toBe(0);
  });

  it('looks at one that was lost again at the end of each lease until it is back, and not for ever', async () => {
    const leases = new Leases();
    leases.renew('a', 'b');
    leases.rows.set('a', ['x']);
    const { watch } = watched(leases);
    const minutes = async (count: number): Promise<void> => {
      for (let turn = 0; turn < count * 3; turn++) {
        leases.renew('a', 'b');
        await pass(leases, 20_000);
      }
    };
    const [one, other] = [{}, {}];
    watch.lost('a', one);
    await settle();
    await minutes(10);
    expect(leases.lists).toBeGreaterThan(10);
    expect(leases.lists).toBeLessThan(35);
    watch.lost('a', other);
    watch.back('a', one);
    await minutes(2);
    const byOther = leases.lists;
    await minutes(10);
    expect(leases.lists).toBeGreaterThan(byOther + 5);
    watch.forget(other);
    await minutes(2);
    const whenBack = leases.lists;
    await minutes(10);
    expect(leases.lists).toBe(whenBack);
    watch.lost('a', one);
    await minutes(120);
    expect(leases.lists - whenBack).toBeLessThan(185);
    watch.lost('a', one);
    await minutes(5);
    leases.expires.set('a', 0);
    await pass(leases, LEASE + 100);
    expect(leases.taken).toEqual(['x']);
  });

  it('looks at one that was lost a second later, once: it may not have been quite gone', async () => {
    const leases = new Leases();
    leases.renew('a', 'b');
    leases.rows.set('a', ['x']);
    const { watch } = watched(leases);
    watch.lost('a', {});
    await settle();
    leases.expires.set('a', -1);
    await pass(leases, 999);
    expect(leases.taken).toEqual([]);
    await pass(leases, 60);
    expect(leases.taken).toEqual(['x']);
    expect(leases.lists).toBe(2);
    watch.lost('b', {});
    await settle();
    for (let second = 0; second < 20; second++) await pass(leases, 1_000);
    expect(leases.lists).toBe(4);
  });

  it('takes over when the lease has run out, and not before', async () => {
    const leases = new Leases();
    leases.renew('a', 'b');
    leases.rows.set('a', ['x', 'y']);
    const { watch } = watched(leases);
    watch.look();
    await settle();
    await pass(leases, LEASE - 1);
    leases.renew('b');
    expect(leases.taken).toEqual([]);
    await pass(leases, 60);
    expect(leases.taken).toEqual(['x', 'y']);
  });

  it('what happens while it reads has it read again', async () => {
    const leases = new Leases();
    const { watch } = watched(leases);
    watch.look();
    leases.expires.set('a', -1);
    leases.rows.set('a', ['x']);
    watch.look();
    await settle();
    expect(leases.taken).toEqual(['x']);
  });

  it('looks at what a dead peer left once, and again when somebody else is alive or it has died once more', async () => {
    const leases = new Leases();
    leases.expires.set('dead', -1);
    leases.rows.set('dead', ['for b']);
    leases.renew('b');
    const { watch } = watched(leases, (name, alive) => (alive.has(name.slice(4)) ? 'no' : 'yes'));
    watch.look();
    await settle();
    watch.look();
    await settle();
    expect(leases.adopts).toBe(1);
    leases.renew('c');
    watch.look();
    await settle();
    expect(leases.adopts).toBe(2);
    expect(leases.taken).toEqual([]);
    leases.expires.set('b', -1);
    watch.look();
    await settle();
    expect(leases.taken).toEqual(['for b']);
    leases.rows.set('dead', ['later']);
    leases.expires.set('dead', -0.5);
    watch.look();
    await settle();
    expect(leases.taken).toEqual(['for b', 'later']);
  });

  it('leaves the first choice to others for 5 s, then takes what they have no use for, and asks nothing more', async () => {
    const leases = new Leases();
    leases.expires.set('dead', -1);
    leases.rows.set('dead', ['mine', 'for b']);
    leases.renew('b');
    const { watch } = watched(leases, (name, alive) => (alive.has(name.slice(4)) ? 'later' : 'yes'));
    watch.look();
    await settle();
    expect(leases.taken).toEqual(['mine']);
    await pass(leases, 4_999);
    watch.look();
    await settle();
    expect(leases.adopts).toBe(1);
    await pass(leases, 1);
    expect(leases.taken).toEqual(['mine', 'for b']);
    const { lists } = leases;
    for (let second = 0; second < 20; second++) await pass(leases, 1_000);
    expect([leases.lists, leases.adopts]).toEqual([lists, 2]);
  });

  it('waits for nobody whose row is gone, nor for one that has come back', async () => {
    const leases = new Leases();
    leases.expires.set('dead', -1);
    leases.rows.set('dead', ['for b']);
    leases.renew('b');
    const { watch } = watched(leases, (name, alive) => (alive.has(name.slice(4)) ? 'later' : 'yes'));
    watch.look();
    await settle();
    leases.renew('dead');
    await pass(leases, 5_000);
    const { lists } = leases;
    await pass(leases, 5_000);
    expect(leases.taken).toEqual([]);
    expect(leases.lists).toBe(lists);
  });

  it('tries again when the database was away, as thorough as it was to be', async () => {
    const leases = new Leases();
    leases.expires.set('dead', -1);
    leases.rows.set('dead', ['x']);
    leases.broken = true;
    const { watch, errors } = watched(leases);
    watch.look();
    await settle();
    await pass(leases, 1_000);
    expect(errors).toHaveLength(2);
    leases.broken = false;
    await pass(leases, 1_000);
    expect(leases.taken).toEqual(['x']);
  });

  it('finds what was taken over without an answer, once, also when its peer is alive again', async () => {
    const leases = new Leases();
    leases.expires.set('dead', -1);
    leases.rows.set('dead', ['x']);
    leases.answerLost = true;
    const { watch, errors } = watched(leases);
    watch.look();
    await settle();
    expect([errors.length, leases.taken]).toEqual([1, []]);
    leases.renew('dead');
    await pass(leases, 1_000);
    expect(leases.taken).toEqual(['x']);
    watch.look();
    await settle();
    expect([errors.length, leases.taken]).toEqual([1, ['x']]);
  });

  it('does nothing more once it is stopped', async () => {
    const leases = new Leases();
    leases.renew('a');
    const { watch } = watched(leases);
    watch.look();
    await settle();
    await watch.stop();
    await pass(leases, 10 * LEASE);
    watch.look();
    await settle();
    expect(leases.lists).toBe(1);
  });
});
