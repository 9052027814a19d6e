import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { codeIn, ROOT, tablesOf } from './page.js';

it('docs/errors.md has every code once, and none that does not exist', () => {
  const source = readFileSync(join(ROOT, 'lib/job-reactor.error.ts'), 'utf8').replaceAll(/\/\/.*/g, '');
  const union = /type JobReactorErrorCode =([\s\S]*?);/.exec(source)?.[1] ?? '';
  const codes = [...union.matchAll(/'([A-Z0-9_]+)'/g)].map(([, code]) => code);
  expect(codes.length).toBeGreaterThan(20);
  const rows = [...tablesOf('docs/errors.md').values()].flat();
  expect(rows.map(({ code }) => codeIn(code)).toSorted()).toEqual(codes.toSorted());
  expect(rows.filter((row) => !row['what has happened'])).toEqual([]);
});
