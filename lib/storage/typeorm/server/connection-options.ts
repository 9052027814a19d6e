import { createRequire } from 'node:module';
import { join } from 'node:path';
import { JobReactorError } from '../../../job-reactor.error.js';

/*
 * A DataSource's options serve to connect, and for nothing else: its entities, migrations, subscribers, caches and logs
 * are the application's, and so is its pool.
 */
const THE_APPLICATIONS = new Set([
  'cache',
  'dropSchema',
  'entities',
  'entityPrefix',
  'entitySkipConstructor',
  'isolateWhereStatements',
  'invalidWhereValuesBehavior',
  'logger',
  'logging',
  'maxQueryExecutionTime',
  'metadataTableName',
  'migrate',
  'migrations',
  'migrationsRun',
  'migrationsTableName',
  'migrationsTransactionMode',
  'name',
  'namingStrategy',
  'poolErrorHandler',
  'poolSize',
  'relationLoadStrategy',
  'replication',
  'subscribers',
  'synchronize',
]);
/** The pool's size by the names that drivers have for it. */
const POOL_SIZES = new Set(['max', 'min', 'connectionLimit', 'query_timeout', 'statement_timeout']);

/** Of a replicated database, the master. */
export function connectionOptions(options: object): Record<string, unknown> {
  const { replication, extra } = options as { replication?: { master?: object }; extra?: object };
  const kept = Object.entries(options).filter(([name]) => !THE_APPLICATIONS.has(name));
  const more = Object.entries(extra ?? {}).filter(([name]) => !POOL_SIZES.has(name));
  return {
    ...Object.fromEntries(kept),
    ...replication?.master,
    synchronize: false,
    ...(extra === undefined ? {} : { extra: Object.fromEntries(more) }),
  };
}

/** @throws {JobReactorError} STORAGE when the package is not installed */
export function needDriver(name: 'pg' | 'mysql2', given: unknown): void {
  if (given !== undefined) return;
  // From where TypeORM looks for it: its own folder and the application's.
  for (const from of [import.meta.url, join(process.cwd(), 'package.json')]) {
    try {
      createRequire(from).resolve(name);
      return;
    } catch {
      // the next one
    }
  }
  throw new JobReactorError('STORAGE', `This storage needs the package ${name}: npm install ${name}`);
}

/** `host:port/database` of a connection URL. */
export function placeOfUrl(url: string): string {
  try {
    const { host, pathname } = new URL(url);
    return `${host}${pathname}`;
  } catch {
    return '(its URL can not be read)';
  }
}
