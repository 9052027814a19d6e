import type { RowValue } from '../job-rows.js';

/*
 * Many rows as one parameter for each column: a statement has one text, and one plan, for any number of rows. Texts go
 * joined by a character that JSON never has, which is cheaper than an array literal with its quotes.
 */

export interface Column {
  readonly name: string;
  readonly type: 'uuid' | 'text' | 'bigint' | 'integer' | 'boolean';
}

const SEPARATOR = '\x1e';
const NULL = '\x1d';

const TYPES: Record<string, Column['type']> = {
  id: 'uuid',
  job_id: 'uuid',
  priority: 'integer',
  enqueued_at: 'bigint',
  run_at: 'bigint',
  given_id: 'boolean',
  assignment: 'integer',
  expected: 'bigint',
  fence: 'bigint',
  run: 'integer',
  attempt: 'integer',
  crashes: 'integer',
  due_at: 'bigint',
  started_at: 'bigint',
  failed_at: 'bigint',
  finished_at: 'bigint',
  expires_at: 'bigint',
  unfinished: 'boolean',
  final: 'boolean',
  failures: 'integer',
};

export const columnsOf = (names: string): Column[] =>
  names.split(', ').map((name) => ({ name, type: TYPES[name] ?? 'text' }));

/** The rows as a table `v`. */
export function unnest(columns: readonly Column[]): string {
  return `unnest(${columns.map(({ type }) => listOf(type)).join(', ')}) AS v(${columns.map(({ name }) => name).join(', ')})`;
}

export const listOf = (type: Column['type']): string =>
  type === 'text' ? 'string_to_array(?::text, chr(30), chr(29))' : `?::${type}[]`;

/** The parameters of `unnest`. */
export function listParams(columns: readonly Column[], rows: readonly (readonly RowValue[])[]): string[] {
  return columns.map(({ type }, i) => {
    if (type === 'text') return rows.map((row) => row[i] ?? NULL).join(SEPARATOR);
    return `{${rows.map((row) => row[i] ?? 'NULL').join(',')}}`;
  });
}

/** `a = v.a, b = v.b` */
export const assignments = (names: string): string =>
  names
    .split(', ')
    .map((name) => `${name} = v.${name}`)
    .join(', ');

/** `a = EXCLUDED.a, b = EXCLUDED.b` */
export const excluded = (names: string): string =>
  names
    .split(', ')
    .map((name) => `${name} = EXCLUDED.${name}`)
    .join(', ');
