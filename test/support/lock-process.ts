import { loadSqliteDriver } from '../../lib/storage/typeorm/sqlite/sqlite-driver.js';

/*
 * A process that writes to the SQLite file its first argument names, and takes as many milliseconds over it as its
 * second says: for so long nobody else can write.
 */
export type LockProcessMessage = 'locked' | 'released';

const [, , file = '', milliseconds = '0'] = process.argv;
const { driver: Driver } = loadSqliteDriver({ type: 'sqlite' });
const database = new Driver(file);
database.pragma('busy_timeout = 5000');
database.exec('BEGIN IMMEDIATE');
process.send?.('locked' satisfies LockProcessMessage);
await new Promise((resolve) => setTimeout(resolve, Number(milliseconds)));
// Before it is so: nobody is to have seen a lock that the parent thinks is gone.
process.send?.('released' satisfies LockProcessMessage);
database.exec('COMMIT');
database.close();
process.disconnect();
