import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { freePort } from '../support/free-port.js';
import { programs } from '../support/program.js';
import { ROOT } from './page.js';

/** In this repository, so that the example finds the packages it imports. */
const WORK = join(ROOT, '.tmp');

const start = programs();
let folder: string | undefined;
afterEach(async () => {
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

it('the example of the README runs as its reader would run it: the application first, then the worker', async () => {
  folder = await example();
  const app = start(join(folder, 'app.ts'), [], folder);
  await app.says('listens on');
  const worker = start(join(folder, 'worker.ts'), [], folder);
  await worker.says('attempt 1: cat.png to 640 pixels');
  await worker.says('recorded cat.png');
  await app.says('resized cat.png');
  await app.says('640000 bytes');
  expect(await worker.kill('SIGTERM')).toMatchObject({ signal: 'SIGTERM' });
  expect(await app.kill('SIGTERM')).toMatchObject({ signal: 'SIGTERM' });
}, 120_000);

/** Its blocks as files, on a port that is free here. */
async function example(): Promise<string> {
  await mkdir(WORK, { recursive: true });
  const made = await mkdtemp(join(WORK, 'readme-'));
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const port = await freePort();
  for (const [, code = '', name = ''] of readme.matchAll(/```ts\n(\/\/ (\w+\.ts)\b[\s\S]*?)```/g)) {
    await writeFile(join(made, name), code.replaceAll('port: 5000', `port: ${port}`));
  }
  return made;
}
