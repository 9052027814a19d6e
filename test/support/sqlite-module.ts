import { createRequire } from 'node:module';

/** The SQLite library an application would give TypeORM as `driver`. */
export async function sqliteModule(): Promise<unknown> {
  return createRequire(import.meta.url)('libsql');
}
