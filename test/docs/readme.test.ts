import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { within } from '../support/deadline.js';
import { ROOT } from './page.js';

const RUN = join(ROOT, 'test/support/run-ts.mjs');
/** In this repository, so that the example finds the packages it imports. */
const WORK = join(ROOT, '.tmp');

const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

it('the example of the README runs as its reader would run it: the application first, then the worker', async () => {
  const folder = await example();
  const app = program(folder, 'app.ts');
  await app.says('listens on');
  const worker = program(folder, 'worker.ts');
  await worker.says('attempt 1: cat.png to 640 pixels');
  await worker.says('recorded cat.png');
  await app.says('resized cat.png');
  await app.says('640000 bytes');
  expect(await worker.stop()).toBe('SIGTERM');
  expect(await app.stop()).toBe('SIGTERM');
}, 60_000);

/** Its blocks as files, on a port that is free here. */
async function example(): Promise<string> {
  await mkdir(WORK, { recursive: true });
  const folder = await mkdtemp(join(WORK, 'readme-'));
  open.push(() => rm(folder, { recursive: true, force: true }));
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const port = await freePort();
  for (const [, code = '', name = ''] of readme.matchAll(/```ts\n(\/\/ (\w+\.ts)\b[\s\S]*?)```/g)) {
    await writeFile(join(folder, name), code.replaceAll('port: 5000', `port: ${port}`));
  }
  return folder;
}

interface Program {
  says(text: string): Promise<void>;
  /** Resolves with the signal it ended by, once it has drained. */
  stop(): Promise<NodeJS.Signals | null>;
}

function program(folder: string, file: string): Program {
  const child: ChildProcess = fork(RUN, [join(folder, file)], {
    cwd: folder,
    silent: true,
    env: { ...process.env, NO_COLOR: '1' },
  });
  const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  open.push(() => (child.kill('SIGKILL'), exit));
  let said = '';
  let wake = (): void => {};
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      said += chunk;
      wake();
    });
  }
  const heard = async (text: string): Promise<void> => {
    while (!said.includes(text)) await new Promise<void>((resolve) => (wake = resolve));
  };
  return {
    says: (text) =>
      within(heard(text), `${file} saying '${text}'`, 20_000).catch((error: Error) => {
        throw new Error(`${error.message}. It said:\n${said}`);
      }),
    async stop() {
      child.kill('SIGTERM');
      const [, signal] = await within(exit, `the end of ${file}`, 60_000);
      return signal;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
