import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { programs } from '../support/program.js';
import { ROOT } from './page.js';

const start = programs();
let folder: string;

/** The blocks of docs/testing.md and docs/schedules.md as files, in this repository so that they find the packages they import. */
beforeAll(async () => {
  await mkdir(join(ROOT, '.tmp'), { recursive: true });
  folder = await mkdtemp(join(ROOT, '.tmp', 'testing-'));
  for (const file of ['docs/testing.md', 'docs/schedules.md']) {
    const page = await readFile(join(ROOT, file), 'utf8');
    for (const [, code = '', name = ''] of page.matchAll(/```ts\n(\/\/ ([\w.-]+\.ts)\b[\s\S]*?)```/g)) {
      await writeFile(join(folder, name), code);
    }
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it.each([
  ['mail-jobs.test.ts', 2],
  ['sign-up.test.ts', 2],
  ['end-to-end.test.ts', 1],
  ['report-schedules.test.ts', 1],
])('the example %s of the docs passes, and its process ends by itself', async (file, tests) => {
  const program = start(join(folder, file), [], folder);
  const { code } = await program.ended();
  expect(code, program.output).toBe(0);
  expect(program.output).toMatch(new RegExp(`^(# |ℹ )pass ${tests}$`, 'm'));
});
