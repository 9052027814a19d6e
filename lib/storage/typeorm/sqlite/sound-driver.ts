import type { SqliteDriver } from './sqlite-database.js';

const BIG = 2 ** 48 - 1;
const BYTES = [0, 1, 255];
const TEXT = 'é 😀';

/** Does to a database in memory what a storage does to its own. A driver built for another Node or wrongly shimmed fails here, not later. */
export function assertSound(Driver: SqliteDriver): void {
  const database = new Driver(':memory:');
  try {
    database.exec('CREATE TABLE probe (number INTEGER, bytes BLOB, text TEXT NOT NULL)');
    const insert = database.prepare('INSERT INTO probe VALUES (?, ?, ?)');
    expect('an insert counts its row', Number(insert.run([BIG, Buffer.from(BYTES), TEXT]).changes), 1);
    const select = database.prepare('SELECT number, bytes, text FROM probe');
    const row = select.all([])[0] as { number: unknown; bytes: Uint8Array | ArrayBuffer; text: unknown };
    expect('large integers stay exact', row.number, BIG);
    expect('bytes come back', [...new Uint8Array(row.bytes)].join(), BYTES.join());
    expect('text comes back', row.text, TEXT);
    database.exec('BEGIN IMMEDIATE');
    insert.run([1, null, '']);
    database.exec('ROLLBACK');
    expect('a rollback undoes', select.all([]).length, 1);
    expect('statements know whether they read', [select.reader, insert.reader].join(), 'true,false');
    expect(
      'what fits no row is refused',
      refuses(() => insert.run([1, null, null])),
      true,
    );
    expect(
      '64-bit integers can be read',
      refuses(() => database.prepare(`SELECT ${2n ** 62n} AS n`).all([])),
      false,
    );
  } finally {
    database.close();
  }
}

function expect(what: string, actual: unknown, wanted: unknown): void {
  if (actual !== wanted) throw new Error(`it fails the check "${what}" (${String(actual)})`);
}

function refuses(work: () => unknown): boolean {
  try {
    work();
    return false;
  } catch {
    return true;
  }
}
