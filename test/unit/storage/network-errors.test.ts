import { createConnection } from 'mysql2';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { isMysqlAway } from '../../../lib/storage/typeorm/mysql/mysql-errors.js';
import { isPostgresAway } from '../../../lib/storage/typeorm/postgres/postgres-errors.js';
import { freePort } from '../../support/free-port.js';

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => Promise.reject(new Error('it succeeded')),
    (error: unknown) => error,
  );

/** What the drivers themselves say; a process that opens its storage meanwhile has to wait for the server. */
describe('a server that is away', () => {
  it('is known by what pg says when it connects, and when a connection is used that broke before', async () => {
    const client = new pg.Client({ host: '127.0.0.1', port: await freePort() });
    expect(isPostgresAway(await failure(client.connect()))).toBe(true);
    const ended = new pg.Client();
    await ended.end();
    expect(isPostgresAway(await failure(ended.query('SELECT 1')))).toBe(true);
    // Of one whose server dies while it is in the pool: seen with a database killed while a node opened its storage.
    const broken = new Error('Client has encountered a connection error and is not queryable');
    expect(isPostgresAway(broken)).toBe(true);
  });

  it('is known by what mysql2 says in the same cases', async () => {
    const connection = createConnection({ host: '127.0.0.1', port: await freePort() });
    const refused = await new Promise((resolve) => connection.once('error', resolve));
    expect(isMysqlAway(refused)).toBe(true);
    const broken = await new Promise<Error | null>((resolve) => void connection.query('SELECT 1', resolve));
    expect([broken?.message, isMysqlAway(broken)]).toEqual([expect.stringContaining('closed state'), true]);
  });

  it('is not what a mistake is', () => {
    expect(isPostgresAway(Object.assign(new Error('no such role'), { code: '28000', severity: 'FATAL' }))).toBe(false);
    expect(isPostgresAway(new TypeError('Client is not a constructor'))).toBe(false);
    expect(isMysqlAway(Object.assign(new Error('denied'), { errno: 1045, sqlState: '28000' }))).toBe(false);
  });
});
