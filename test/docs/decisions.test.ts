import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ROOT } from './page.js';

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

it('docs/decisions.md says of every runtime and peer dependency why it is there, and of none that is not', () => {
  const { dependencies, peerDependencies } = JSON.parse(read('package.json')) as Record<string, object>;
  const section = /^## Dependencies\n([\s\S]*?)^## /m.exec(read('docs/decisions.md'))?.[1] ?? '';
  const explained = [...section.matchAll(/^- \*\*(.+?)\*\*/gm)].flatMap(([, names = '']) => names.split(', '));
  const used = [...Object.keys(dependencies!), ...Object.keys(peerDependencies!)];
  expect(used.length).toBeGreaterThan(8);
  expect(explained.toSorted()).toEqual(used.toSorted());
});

it('every optional peer is a peer', () => {
  const { peerDependencies, peerDependenciesMeta } = JSON.parse(read('package.json')) as Record<string, object>;
  expect(Object.keys(peerDependencies!)).toEqual(expect.arrayContaining(Object.keys(peerDependenciesMeta!)));
});
