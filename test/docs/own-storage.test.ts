import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ROOT } from './page.js';

it('docs/own-storage.md shows the very example that passes the suite', () => {
  const tested = readFileSync(join(ROOT, 'test/conformance/json-file-storage.ts'), 'utf8');
  const shown = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(ROOT, 'docs/own-storage.md'), 'utf8'))?.[1];
  expect(shown).toBe(tested.replace("'../../lib/index.js'", "'nestjs-job-reactor'"));
});
