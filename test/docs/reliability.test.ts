import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT, tablesOf } from './page.js';

/** A file of tests between backticks, and the titles after it between typographic quotes. */
const SHOWN = /`(test\/[^`]+)`((?:\s“[^”]+”)*)/g;

describe('docs/reliability.md', () => {
  const tables = tablesOf('docs/reliability.md');
  const rows = ['Guarantees', 'Faults'].flatMap((heading) => tables.get(heading) ?? []);

  it.each(rows.map((row) => Object.values(row)))('%s: %s is shown by what it names', (...cells) => {
    const shown = [...cells.join(' ').matchAll(SHOWN)];
    expect(shown.length).toBeGreaterThan(0);
    for (const [, path, titles] of shown) {
      expect(existsSync(join(ROOT, path!)), path).toBe(true);
      const source = readFileSync(join(ROOT, path!), 'utf8');
      for (const [, title] of titles!.matchAll(/“([^”]+)”/g)) expect(source, `${path}: ${title}`).toContain(title);
    }
  });
});
