import type { Clock, ClockTimer } from '../../../clock.js';
import type { LeaseChange, StorageOwner } from '../../job-storage.js';
import { LeaseLost, SetBack, transaction, type Engine, type Owner, type Session } from './engine.js';
import type { Machine } from './process-mark.js';

/** How long a process that says nothing is still taken for alive, by the database's clock. */
export const LEASE = 25_000;
/** So much later its rows may be taken over: more than a statement of its takes, which began in time. */
export const GRACE = 5_000;
/** The only statement of a storage that has nothing to do. */
export const RENEWAL = 10_000;
const RETRY = 1_000;
/** Before its end the lease counts as lost, so that what runs has ended when others may begin. */
const MARGIN = 3_000;
/** What is left of a process that had no rows goes after so long. */
const FORGET_AFTER = 3_600_000;

/**
 * A process's claim to an owner's rows, renewed until it is released. The database's clock says when it runs out; how
 * long it is sure to be held is known here by the monotonic clock, counted from before the statement that renewed it.
 */
export class Lease {
  private renewal: ClockTimer | undefined;
  private fence: ClockTimer | undefined;
  private renewing: Promise<void> | undefined;
  private lost = false;
  /** It ran out once, and that has not been told yet: the answer of the commit that brought it back may be lost. */
  private ranOut = false;
  private released = false;

  private constructor(
    readonly owner: Owner,
    private newcomers: number,
    private readonly mark: string,
    private until: number,
    private readonly engine: Engine,
    private readonly clock: Clock,
    readonly changed: (change: LeaseChange) => void,
  ) {
    this.arm(RENEWAL);
  }

  /**
   * Takes up what a process of this role and name left that gave its lease up, or was killed on this machine; else it is
   * a new owner. Processes may share a name, so none is waited for: what others leave is adopted when they are known to be dead.
   */
  static async take(
    engine: Engine,
    owner: StorageOwner,
    clock: Clock,
    machine: Machine,
    changed: (change: LeaseChange) => void,
  ): Promise<Lease> {
    const mark = await machine.mark();
    const until = clock.monotonic() + LEASE;
    const { id, newcomers } = await engine.session((session) => claim(session, engine, owner, machine, mark));
    return new Lease({ id, ...owner }, newcomers, mark, until, engine, clock, changed);
  }

  /** By this process's own clock it has run out: others may have what was ours when it was last renewed. */
  get hasLapsed(): boolean {
    return this.clock.monotonic() > this.until;
  }

  /** Gives it up, so that whoever takes over need not wait. Twice is safe. */
  async release(): Promise<void> {
    if (this.released) return;
    this.released = true;
    this.renewal?.cancel();
    this.fence?.cancel();
    await this.renewing?.catch(() => undefined);
    await this.set('0').catch(() => undefined);
  }

  /** Now: when a commit found that it had run out. @throws LeaseLost */
  renew(): Promise<void> {
    this.renewing ??= this.renewNow().finally(() => (this.renewing = undefined));
    return this.renewing;
  }

  private async renewNow(): Promise<void> {
    this.renewal?.cancel();
    const until = this.clock.monotonic() + LEASE;
    let { newcomers } = this;
    try {
      const { now } = this.engine;
      // One statement where nothing has happened.
      const held = `AND expires_at > ${now} AND newcomers = ?`;
      if ((await this.set(`${now} + ${LEASE}`, held, [newcomers])) === 0) newcomers = await this.comeBack();
    } catch (error) {
      if (!this.released && !(error instanceof LeaseLost)) this.arm(RETRY);
      throw error;
    }
    if (this.released) return;
    const back = this.ranOut || this.lost;
    const hasCompany = newcomers !== this.newcomers;
    this.newcomers = newcomers;
    this.lost = false;
    this.ranOut = false;
    this.until = until;
    this.arm(RENEWAL);
    if (back) this.changed('regained');
    if (hasCompany) this.changed('newcomer');
  }

  private arm(delay: number): void {
    this.renewal?.cancel();
    this.fence?.cancel();
    this.renewal = this.clock.after(delay, () => void this.renew().catch(() => undefined), false);
    const left = this.until - MARGIN - this.clock.monotonic();
    if (!this.lost) this.fence = this.clock.after(Math.max(0, left), () => void this.end(), false);
  }

  private async end(): Promise<void> {
    // Too late to be on time: this process was frozen, or did not get round to it. What runs may still be its own.
    if (this.clock.monotonic() > this.until) await this.renew().catch(() => undefined);
    if (this.released || this.lost || this.clock.monotonic() < this.until - MARGIN) return;
    this.lost = true;
    this.changed('lost');
  }

  private async set(expiresAt: string, condition = '', params: readonly unknown[] = []): Promise<number> {
    const sql = `UPDATE ${this.engine.tables.leases} SET expires_at = ${expiresAt} WHERE id = ? AND instance = ? ${condition}`;
    const { id, instance } = this.owner;
    return (await this.engine.session((session) => session.query(sql, [id, instance, ...params]))).count;
  }

  /**
   * It ran out: what was ours may be adopted by now, and the row itself be gone; or there are newcomers.
   * @returns how many newcomers there were
   * @throws LeaseLost when it is another's
   */
  private comeBack(): Promise<number> {
    const { id, instance } = this.owner;
    const { tables, now } = this.engine;
    return this.engine.session((session) =>
      transaction(session, async () => {
        await session.query(`SELECT id FROM ${tables.storage} FOR UPDATE`);
        const sql = `SELECT instance, newcomers, expires_at - (${now}) AS time_left FROM ${tables.leases} WHERE id = ? FOR UPDATE`;
        const [row] = (await session.query(sql, [id])).rows;
        if (!row) {
          // Nobody deletes it within that time: the tables were emptied, or are those of a backup.
          if (this.clock.monotonic() - this.until < FORGET_AFTER)
            throw new SetBack('The lease of this process is not there.');
          this.ranOut = true;
          await insert(session, this.engine, this.owner, this.mark);
          return 0;
        }
        if (row['instance'] !== instance) throw new LeaseLost('The lease is held by another process.');
        this.ranOut ||= Number(row['time_left']) <= 0;
        await session.query(`UPDATE ${tables.leases} SET expires_at = ${now} + ${LEASE} WHERE id = ?`, [id]);
        return Number(row['newcomers']);
      }),
    );
  }
}

async function claim(
  session: Session,
  engine: Engine,
  owner: StorageOwner,
  machine: Machine,
  mark: string,
): Promise<{ id: string; newcomers: number }> {
  const { tables, now } = engine;
  return transaction(session, async () => {
    // One at a time; there is always this one row.
    await session.query(`SELECT id FROM ${tables.storage} FOR UPDATE`);
    const { rows } = await session.query(
      `SELECT id, process, expires_at, newcomers FROM ${tables.leases} WHERE role = ? AND name = ? ORDER BY id`,
      [owner.role, owner.name],
    );
    for (const row of rows) {
      if (Number(row['expires_at']) > 0 && !(await machine.isGone(row['process'] as string))) continue;
      await session.query(
        `UPDATE ${tables.leases} SET instance = ?, process = ?, expires_at = ${now} + ${LEASE} WHERE id = ?`,
        [owner.instance, mark, row['id']],
      );
      const id = row['id'] as string;
      await announce(session, engine, owner, id);
      return { id, newcomers: Number(row['newcomers']) };
    }
    await forgetEmpty(session, engine);
    const fresh = { ...owner, id: machine.uuid() };
    await insert(session, engine, fresh, mark);
    await announce(session, engine, owner, fresh.id);
    return { id: fresh.id, newcomers: 0 };
  });
}

/** Nobody may ever be connected to this process: others of its name have to see to it when it dies, so they are told. */
async function announce(session: Session, { tables }: Engine, { role, name }: StorageOwner, id: string): Promise<void> {
  if (role !== 'outbox') return;
  const sql = `UPDATE ${tables.leases} SET newcomers = newcomers + 1 WHERE role = ? AND name = ? AND id <> ?`;
  await session.query(sql, [role, name, id]);
}

async function insert(session: Session, { tables, now }: Engine, owner: Owner, mark: string): Promise<void> {
  await session.query(
    `INSERT INTO ${tables.leases} (id, role, name, instance, process, expires_at, newcomers) VALUES (?, ?, ?, ?, ?, ${now} + ${LEASE}, 0)`,
    [owner.id, owner.role, owner.name, owner.instance, mark],
  );
}

/** Replicas come and go under names that are never used again. */
async function forgetEmpty(
  session: Session,
  { tables: { leases, jobs, feedbacks, places }, now }: Engine,
): Promise<void> {
  const { rows } = await session.query(`SELECT id FROM ${leases} WHERE expires_at < ${now} - ${FORGET_AFTER}`);
  for (const { id } of rows) {
    const owned = [jobs, feedbacks].map((table) => `SELECT 1 FROM ${table} WHERE owner = ? LIMIT 1`);
    let empty = true;
    for (const sql of owned) empty &&= (await session.query(sql, [id])).rows.length === 0;
    if (!empty) continue;
    await session.query(`DELETE FROM ${places} WHERE owner = ?`, [id]);
    await session.query(`DELETE FROM ${leases} WHERE id = ?`, [id]);
  }
}
