import { expect, it } from 'vitest';
import { systemClock } from '../../../lib/clock.js';
import { PostgresPool, type PgClient } from '../../../lib/storage/typeorm/postgres/postgres-pool.js';

type Asked = { text: string; name?: string };

/** A pooler that gives every statement another server connection: none knows what was prepared before. */
function pooler(asked: Asked[], code: string): { connect(): Promise<PgClient> } {
  const query = async ({ text, name }: Asked) => {
    asked.push({ text, name });
    if (name === undefined) return { rows: [], rowCount: 1 };
    throw Object.assign(new Error('prepared statement'), { code, severity: 'ERROR' });
  };
  const client = { query, on: () => undefined, off: () => undefined, release: () => undefined };
  return { connect: async () => client as unknown as PgClient };
}

it.each(['26000', '42P05'])(
  'behind a pooler that knows no prepared statements (%s) they are given up, and nothing is lost',
  async (code) => {
    const asked: Asked[] = [];
    const pool = new PostgresPool(pooler(asked, code), systemClock, 5_000, () => undefined);
    const ask = () => pool.session((session) => session.query('SELECT ?, ?', [1, 2], true));
    expect(await ask()).toEqual({ rows: [], count: 1 });
    expect(await ask()).toEqual({ rows: [], count: 1 });
    const text = 'SELECT $1, $2';
    expect(asked).toEqual([{ text, name: expect.stringMatching(/^job_reactor_.{43}$/) }, { text }, { text }]);
  },
);

it('a name of a prepared statement stands for one text, whichever process made it', async () => {
  const names = async (...statements: string[]): Promise<(string | undefined)[]> => {
    const asked: Asked[] = [];
    const pool = new PostgresPool(pooler(asked, '26000'), systemClock, 5_000, () => undefined);
    const [first = ''] = statements;
    await pool.session((session) => session.query(first, [], true));
    return [asked[0]?.name];
  };
  expect(await names('SELECT 1')).toEqual(await names('SELECT 1'));
  expect(await names('SELECT 1')).not.toEqual(await names('SELECT 2'));
});
