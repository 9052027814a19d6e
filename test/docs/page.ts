import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const ROOT = resolve(import.meta.dirname, '../..');

/** One row of a table, by the names of its columns. */
export type Row = Record<string, string>;

/** The tables of a Markdown page by the heading above them, backticks of headings left out. */
export function tablesOf(page: string): Map<string, Row[]> {
  const tables = new Map<string, Row[]>();
  let heading = '';
  let columns: string[] | undefined;
  for (const line of readFileSync(join(ROOT, page), 'utf8').split('\n')) {
    const title = /^#+ (.*)$/.exec(line)?.[1];
    if (title !== undefined) heading = title.replaceAll('`', '');
    if (!line.startsWith('|')) {
      columns = undefined;
      continue;
    }
    const cells = line
      .slice(1, -1)
      .split(/(?<!\\)\|/)
      .map((cell) => cell.trim());
    if (columns === undefined) columns = cells;
    else if (!/^:?-+:?$/.test(cells[0] ?? '')) {
      const row = Object.fromEntries(columns.map((column, index) => [column, cells[index] ?? '']));
      tables.set(heading, [...(tables.get(heading) ?? []), row]);
    }
  }
  return tables;
}

/** What stands between backticks, when that is all of the cell. */
export function codeIn(cell: string | undefined): string | undefined {
  return /^`([^`]+)`$/.exec(cell ?? '')?.[1];
}
