import type { QueryRunner, TableColumnOptions } from 'typeorm';
import { tableNames, type TableNames } from '../table-names.js';

/** Where a migration works: the options of whoever runs it say so. */
export interface SchemaPlace {
  readonly kind: 'sqlite' | 'postgres' | 'mysql';
  /** A table's name as QueryRunner takes it. */
  table(name: string): string;
  /** An index has a name of its own in each schema, so it has the prefix as well. */
  index(name: string): string;
  /** Quoted, for statements. */
  readonly quoted: TableNames;
}

export function schemaPlace(queryRunner: QueryRunner): SchemaPlace {
  const { options } = queryRunner.dataSource;
  const prefix = options.entityPrefix ?? '';
  const schema = options.type === 'postgres' ? options.schema : undefined;
  const kind = kindOf(options.type);
  return {
    kind,
    table: (name) => `${schema === undefined ? '' : `${schema}.`}${prefix}job_reactor_${name}`,
    index: (name) => `${prefix}job_reactor_${name}`,
    quoted: tableNames({ prefix, schema }, kind === 'mysql' ? '`' : '"'),
  };
}

function kindOf(type: string): SchemaPlace['kind'] {
  if (type === 'postgres') return 'postgres';
  return type === 'mysql' || type === 'mariadb' ? 'mysql' : 'sqlite';
}

/** The column as this kind of database keeps it best. */
export function columnOf(kind: SchemaPlace['kind'], column: TableColumnOptions): TableColumnOptions {
  const isId = column.type === 'varchar' && ['id', 'job_id', 'owner', 'instance'].includes(column.name);
  const isUuid = isId && column.length === '36';
  if (kind === 'sqlite') return column;
  if (kind === 'postgres') {
    if (!isUuid) return isId ? { ...column, collation: 'C' } : column;
    const { length: _length, ...rest } = column;
    return { ...rest, type: 'uuid' };
  }
  // Ids compare byte by byte, and names keep whatever is written in them, whatever the database's default is.
  if (isId) return { ...column, charset: 'ascii', collation: 'ascii_bin' };
  if (column.type === 'varchar') return { ...column, charset: 'utf8mb4', collation: 'utf8mb4_bin' };
  // MySQL's own text ends at 64 KiB.
  return column.type === 'text'
    ? { ...column, type: 'longtext', charset: 'utf8mb4', collation: 'utf8mb4_bin' }
    : column;
}
