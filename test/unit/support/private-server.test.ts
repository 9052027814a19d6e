import { afterEach, expect, it } from 'vitest';
import { privateMariadb, privatePostgres, type PrivateServer } from '../../support/private-server.js';

let server: PrivateServer | undefined;
afterEach(() => server?.end());

it.each([
  ['PostgreSQL', privatePostgres],
  ['MariaDB', privateMariadb],
] as const)(
  'a %s of its own keeps what it committed when it is killed, and stands still while it is frozen',
  async (_, make) => {
    const made = await make();
    if ('reason' in made) return console.log(`Skipped: ${made.reason}`); // said once, as the set-up does
    server = made;
    await made.query('CREATE TABLE kept (n int)');
    await made.query('INSERT INTO kept VALUES (1)');
    await made.kill();
    await expect(made.query('SELECT 1')).rejects.toThrow('ECONNREFUSED');
    await made.start();
    expect(await made.query('SELECT n FROM kept')).toEqual([{ n: 1 }]);
    made.freeze();
    await expect(made.query('SELECT 1')).rejects.toThrow(/timeout|ETIMEDOUT/i);
    made.thaw();
    expect(await made.query('SELECT n FROM kept')).toEqual([{ n: 1 }]);
  },
);
