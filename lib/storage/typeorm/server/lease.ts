import { randomUUID } from 'node:crypto';
import type { Clock, ClockTimer } from '../../../clock.js';
import { JobReactorError } from '../../../job-reactor.error.js';
import type { StorageOwner } from '../../job-storage.js';
import { transaction, type Engine, type Owner, type Session } from './engine.js';
import { isGone, processMark } from './process-mark.js';

/** How long a process that says nothing is still taken for alive, by the database's clock. */
export const LEASE = 25_000;
/** The only statement of a storage that has nothing to do. */
export const RENEWAL = 10_000;
const RETRY = 1_000;

interface Held {
  expiresAt: number;
  left: number;
}

/** A process's claim to an owner's rows, renewed until it is released. */
export class Lease {
  private timer: ClockTimer | undefined;
  private released = false;

  private constructor(
    readonly owner: Owner,
    private readonly engine: Engine,
    private readonly clock: Clock,
  ) {
    this.arm(RENEWAL);
  }

  /**
   * Takes the lease of this role and name, with the rows that belong to it. If a process seems to hold it, waits until
   * that is known to be dead, which is after 25 s at most.
   * @throws {JobReactorError} STORAGE_IN_USE when it is alive
   */
  static async take(
    engine: Engine,
    owner: StorageOwner,
    clock: Clock,
    onWait: (milliseconds: number) => void,
  ): Promise<Lease> {
    const mark = await processMark();
    let seen: Held | undefined;
    for (;;) {
      const taken = await engine.session((session) => claim(session, engine, owner, mark, seen));
      if (typeof taken === 'string') {
        return new Lease({ id: taken, instance: owner.instance, role: owner.role }, engine, clock);
      }
      if (seen && taken.expiresAt > seen.expiresAt) throw inUse(engine, owner);
      if (!seen) onWait(taken.left);
      seen = taken;
      // A living one renews it before half of the time is over.
      await new Promise<void>((resolve) => clock.after(Math.min(taken.left, RENEWAL + RETRY) + 50, resolve));
    }
  }

  /** Gives it up, so that a successor need not wait. Twice is safe. */
  async release(): Promise<void> {
    if (this.released) return;
    this.released = true;
    this.timer?.cancel();
    await this.update('0').catch(() => undefined);
  }

  private arm(delay: number): void {
    this.timer = this.clock.after(delay, () => void this.renew(), false);
  }

  private async renew(): Promise<void> {
    const renewed = await this.update(`${this.engine.now} + ${LEASE}`).catch(() => null);
    // Gone means that another process took it. Every commit finds that by itself, so there is nothing to do here.
    if (!this.released && renewed !== 0) this.arm(renewed === null ? RETRY : RENEWAL);
  }

  private async update(expiresAt: string): Promise<number> {
    const sql = `UPDATE ${this.engine.tables.leases} SET expires_at = ${expiresAt} WHERE id = ? AND instance = ?`;
    const { id, instance } = this.owner;
    return (await this.engine.session((session) => session.query(sql, [id, instance]))).count;
  }
}

/** The lease's id when it is ours now, else what is known of who holds it. */
async function claim(
  session: Session,
  { tables, now }: Engine,
  owner: StorageOwner,
  mark: string,
  seen: Held | undefined,
): Promise<string | Held> {
  return transaction(session, async () => {
    // One at a time; there is always this one row.
    await session.query(`SELECT id FROM ${tables.storage} FOR UPDATE`);
    const { rows } = await session.query(
      `SELECT id, process, expires_at, expires_at - (${now}) AS time_left FROM ${tables.leases} WHERE role = ? AND name = ?`,
      [owner.role, owner.name],
    );
    const row = rows[0];
    if (!row) {
      const id = randomUUID();
      await session.query(
        `INSERT INTO ${tables.leases} (id, role, name, instance, process, expires_at) VALUES (?, ?, ?, ?, ?, ${now} + ${LEASE})`,
        [id, owner.role, owner.name, owner.instance, mark],
      );
      return id;
    }
    const held = { expiresAt: Number(row['expires_at']), left: Number(row['time_left']) };
    const unchanged = seen === undefined || seen.expiresAt === held.expiresAt;
    if (held.left > 0 && !(unchanged && (await isGone(row['process'] as string)))) return held;
    await session.query(
      `UPDATE ${tables.leases} SET instance = ?, process = ?, expires_at = ${now} + ${LEASE} WHERE id = ?`,
      [owner.instance, mark, row['id']],
    );
    return row['id'] as string;
  });
}

function inUse(engine: Engine, owner: StorageOwner): JobReactorError {
  const who = owner.role === 'node' ? `node '${owner.name}'` : `distributor '${owner.name}'`;
  return new JobReactorError(
    'STORAGE_IN_USE',
    `Another ${who} is running on ${engine.place}. In one database each needs a name of its own.`,
  );
}
