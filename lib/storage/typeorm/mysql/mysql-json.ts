import type { RowValue } from '../job-rows.js';

/*
 * Many rows as one parameter: JSON_TABLE makes a table of it (MySQL 8.0.4, MariaDB 10.6).
 */

const TYPES: Record<string, string> = {
  id: 'CHAR(36) CHARACTER SET ascii COLLATE ascii_bin',
  expected: 'BIGINT',
  fence: 'BIGINT',
  assignment: 'INT',
  run: 'INT',
  attempt: 'INT',
  crashes: 'INT',
  due_at: 'BIGINT',
  started_at: 'BIGINT',
  failed_at: 'BIGINT',
  finished_at: 'BIGINT',
  unfinished: 'TINYINT',
  feedback_id: 'VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin',
  failures: 'INT',
};
/** Said outright, as MariaDB takes the database's character set otherwise, which may know less. */
const TEXT = 'LONGTEXT CHARACTER SET utf8mb4';

/** The rows as a table `v`, and its parameter. */
export function jsonTable(columns: string, rows: readonly (readonly RowValue[])[]): { sql: string; param: string } {
  const described = columns.split(', ').map((name, i) => `${name} ${TYPES[name] ?? TEXT} PATH '$[${i}]'`);
  return { sql: `JSON_TABLE(?, '$[*]' COLUMNS (${described.join(', ')})) AS v`, param: JSON.stringify(rows) };
}
