import { EventEmitter } from 'node:events';
import { expect, it } from 'vitest';
import { systemClock } from '../../../lib/clock.js';
import { PostgresEngine } from '../../../lib/storage/typeorm/postgres/postgres-engine.js';
import { transaction } from '../../../lib/storage/typeorm/server/engine.js';
import { RENEWAL } from '../../../lib/storage/typeorm/server/lease.js';
import { PostgresPool, type PgClient } from '../../../lib/storage/typeorm/postgres/postgres-pool.js';

type Asked = { text: string; name?: string };

/** A server whose process has the number 7, reached by a connection that was told another one. */
function pool(toldPid: number, asked: Asked[]): PostgresPool {
  const query = async ({ text, name }: Asked) => {
    asked.push({ text, ...(name === undefined ? {} : { name }) });
    return { rows: text.includes('pg_backend_pid') ? [{ pid: 7 }] : [], rowCount: 1 };
  };
  const client = { processID: toldPid, query, release: () => undefined };
  const pool = { connect: async () => client as unknown as PgClient, on: () => undefined };
  return new PostgresPool(pool, systemClock, 5_000, () => undefined);
}

const ask = (of: PostgresPool, sql: string) => of.session((session) => session.query(sql, [1], true));

it('a connection that breaks between two turns of its pool and whoever asked for it does not end the process', async () => {
  const events = new EventEmitter();
  const client = Object.assign(new EventEmitter(), {
    processID: 7,
    query: () => Promise.reject(new Error('it is gone')),
    release: () => undefined,
  });
  const connect = async (): Promise<PgClient> => {
    events.emit('acquire', client);
    client.emit('error', new Error('terminating connection'));
    return client as unknown as PgClient;
  };
  const on = (event: string, listener: (client: PgClient) => void) => events.on(event, listener);
  const broken = new PostgresPool({ connect, on }, systemClock, 5_000, () => undefined);
  for (let i = 0; i < 3; i++) await expect(ask(broken, 'SELECT ?')).rejects.toThrow();
  client.emit('error', new Error('and once more'));
  expect(client.listenerCount('error')).toBe(1);
});

it('through a pooler nothing is prepared and no setting is left behind', async () => {
  const asked: Asked[] = [];
  const pooled = pool(4711, asked);
  for (const _ of [1, 2]) await ask(pooled, 'SELECT ?');
  expect(asked.slice(1)).toEqual([{ text: 'SELECT $1' }, { text: 'SELECT $1' }]);
});

it('a transaction that says nothing is broken off by the server, through a pooler as well', async () => {
  for (const [pid, setting] of [
    [4711, 'SET LOCAL idle_in_transaction_session_timeout = 8000'],
    [7, 'SET idle_in_transaction_session_timeout = 8000'],
  ] as const) {
    const asked: Asked[] = [];
    await pool(pid, asked).session((session) => transaction(session, () => session.query('SELECT 1')));
    expect(asked.map(({ text }) => text).filter((text) => text.includes('idle_in'))).toEqual([setting]);
    expect(asked.at(-1)).toEqual({ text: 'COMMIT' });
  }
});

it('on a connection of its own it prepares what is kept, under a name that stands for one text', async () => {
  const asked: Asked[] = [];
  const direct = pool(7, asked);
  for (const sql of ['SELECT ?', 'SELECT ?, 2', 'SELECT ?']) await ask(direct, sql);
  expect(asked.filter(({ text }) => text.startsWith('SET '))).toHaveLength(6);
  const [first, second, again] = asked.slice(7);
  expect(first).toEqual({ text: 'SELECT $1', name: expect.stringMatching(/^job_reactor_.{43}$/) });
  expect(second!.name).not.toBe(first!.name);
  expect(again).toEqual(first);
});

it('an idle connection lasts from one renewal of the lease to the next, unless the options say otherwise', () => {
  const idleTimeout = (extra?: object): unknown => {
    const options = { type: 'postgres' as const, url: 'postgres://127.0.0.1/test', ...(extra ? { extra } : {}) };
    const { extra: passed } = new PostgresEngine(options, systemClock, {}).dataSourceOptions();
    return (passed as Record<string, unknown>)['idleTimeoutMillis'];
  };
  expect(idleTimeout()).toBeGreaterThan(RENEWAL);
  expect(idleTimeout({ idleTimeoutMillis: 1_000 })).toBe(1_000);
});
