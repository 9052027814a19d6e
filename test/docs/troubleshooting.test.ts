import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { sourceFiles } from '../support/source-file.js';
import { ROOT } from './page.js';

it('docs/troubleshooting.md quotes lines that the code says', () => {
  const page = readFileSync(join(ROOT, 'docs/troubleshooting.md'), 'utf8');
  const quoted = [...page.matchAll(/^- \*\*`(.+?)`\*\*(?! or| from the compiler)/gm)].map(([, line = '']) => line);
  expect(quoted.length).toBeGreaterThan(8);
  const code = sourceFiles('lib')
    .map(({ path }) => readFileSync(join(ROOT, path), 'utf8'))
    .join('\n');
  // What stands for a name, an address or a number differs; all between has to be there, word by word.
  const pieces = quoted.flatMap((line) => line.split(/'?\b[xy]\b'?|[…;]|\d[\d.:]*/));
  const unsaid = pieces.map((piece) => piece.trim()).filter((piece) => !code.includes(piece));
  expect(unsaid).toEqual([]);
});
