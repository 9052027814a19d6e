import { expect, it } from 'vitest';
import type { LeaseChange, StorageOwner } from '../../../lib/storage/job-storage.js';
import type { Engine, Session } from '../../../lib/storage/typeorm/server/engine.js';
import { LEASE, Lease, RENEWAL } from '../../../lib/storage/typeorm/server/lease.js';
import { ManualClock } from '../../support/manual-clock.js';

const OWNER: StorageOwner = { role: 'outbox', name: 'web', instance: 'me' };

/** A lease in a database on the test's clock, which may have committed and give no answer. */
async function lease() {
  const clock = new ManualClock();
  const row = { newcomers: 0, expiresAt: 0 };
  const told: LeaseChange[] = [];
  let silent = 0;
  const renew = (): void => void (row.expiresAt = clock.now() + LEASE);
  const query: Session['query'] = async (sql, params = []) => {
    const answer = (rows: Record<string, unknown>[], count = rows.length): { rows: never[]; count: number } => ({
      rows: rows as never[],
      count,
    });
    if (sql.startsWith('INSERT INTO leases') || sql.endsWith('WHERE id = ?')) renew();
    if (sql === 'COMMIT' && silent-- > 0) throw new Error('no answer came');
    if (sql.startsWith('SELECT instance'))
      return answer([{ instance: 'me', newcomers: row.newcomers, time_left: row.expiresAt - clock.now() }]);
    if (!sql.includes('AND expires_at >')) return answer([]);
    const holds = row.expiresAt > clock.now() && params[2] === row.newcomers;
    if (holds) renew();
    return answer([], Number(holds));
  };
  const engine = {
    now: 'now()',
    tables: { leases: 'leases', storage: 'storage', jobs: 'jobs', feedbacks: 'feedbacks' },
    session: <T>(work: (session: Session) => Promise<T>): Promise<T> => work({ query }),
  } as unknown as Engine;
  const machine = { mark: async () => 'mark', isGone: async () => false, uuid: () => 'lease' };
  await Lease.take(engine, OWNER, clock, machine, (change) => void told.push(change));
  const loseAnswers = (count: number): void => void (silent = count);
  return { clock, row, told, loseAnswers };
}

it('an instance that has begun is told although the answer that said so was lost', async () => {
  const { clock, row, told, loseAnswers } = await lease();
  row.newcomers++;
  loseAnswers(1);
  await clock.advanceAsync(RENEWAL);
  expect(told).toEqual([]);
  await clock.advanceAsync(RENEWAL);
  expect(told).toEqual(['newcomer']);
  await clock.advanceAsync(60_000);
  expect(told).toEqual(['newcomer']);
});

it('a lease that had run out is told as regained although the answer that brought it back was lost', async () => {
  const { clock, row, told, loseAnswers } = await lease();
  // By the database's clock alone, as after a jump of that.
  row.expiresAt = clock.now();
  loseAnswers(1);
  await clock.advanceAsync(RENEWAL);
  expect(told).toEqual([]);
  await clock.advanceAsync(RENEWAL);
  expect(told).toEqual(['regained']);
  await clock.advanceAsync(60_000);
  expect(told).toEqual(['regained']);
});
