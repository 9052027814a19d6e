import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import type { SqliteDriver } from '../../../lib/storage/typeorm/sqlite/sqlite-database.js';
import { loadSqliteDriver } from '../../../lib/storage/typeorm/sqlite/sqlite-driver.js';

const libsql = createRequire(import.meta.url)('libsql') as SqliteDriver;

/** Modules by name; a name that is missing is not installed. */
function installed(modules: Record<string, unknown>): { load: (name: string) => unknown; asked: string[] } {
  const asked: string[] = [];
  const load = (name: string): unknown => {
    asked.push(name);
    if (name in modules) return modules[name];
    throw new Error(`Cannot find module '${name}'\nRequire stack: …`);
  };
  return { load, asked };
}

class Rounding extends (libsql as new (path: string) => InstanceType<SqliteDriver>) {
  override prepare(sql: string) {
    const statement = super.prepare(sql);
    const { all } = statement;
    statement.all = (...params) => all.apply(statement, params).map((row) => ({ ...(row as object), number: 2 ** 24 }));
    return statement;
  }
}

describe('the SQLite driver', () => {
  it('is the first that is there and works: node:sqlite, libsql, better-sqlite3', () => {
    const { load, asked } = installed({ 'better-sqlite3': libsql });
    expect(loadSqliteDriver({ type: 'sqlite' }, load)).toEqual({ name: 'better-sqlite3', driver: libsql });
    expect(asked).toEqual(['node:sqlite', 'libsql', 'better-sqlite3']);
  });

  it("is better-sqlite3 first for the type 'better-sqlite3'", () => {
    const { load } = installed({ libsql, 'better-sqlite3': libsql });
    expect(loadSqliteDriver({ type: 'better-sqlite3' }, load).name).toBe('better-sqlite3');
    expect(loadSqliteDriver({ type: 'better-sqlite3' }, installed({ libsql }).load).name).toBe('libsql');
  });

  it('passes over one that is installed and not sound', () => {
    const broken = class {
      constructor() {
        throw new Error('The module was compiled against a different Node.js version');
      }
    };
    const { load } = installed({ libsql: broken, 'better-sqlite3': Rounding });
    expect(() => loadSqliteDriver({ type: 'sqlite' }, load)).toThrow(
      /different Node.js version.*large integers stay exact/,
    );
  });

  it('that is missing is told with all names and the command to run', () => {
    const error = thrown(() => loadSqliteDriver({ type: 'sqlite' }, installed({}).load));
    expect(error).toMatchObject({ code: 'NO_SQLITE_DRIVER' });
    for (const part of ['node:sqlite', 'npm install libsql', 'npm install better-sqlite3', 'Node 22.13']) {
      expect((error as Error).message).toContain(part);
    }
  });

  it("is the user's if one is given, once it proved sound", () => {
    const { load, asked } = installed({});
    expect(loadSqliteDriver({ type: 'sqlite', driver: libsql }, load).driver).toBe(libsql);
    expect(asked).toEqual([]);
    for (const driver of [Rounding, {}, 'libsql']) {
      expect(thrown(() => loadSqliteDriver({ type: 'sqlite', driver }, load))).toMatchObject({
        code: 'NO_SQLITE_DRIVER',
      });
    }
  });
});

function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}
