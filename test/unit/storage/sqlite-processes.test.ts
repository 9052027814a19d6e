import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../lib/clock.js';
import { createStorage } from '../../../lib/storage/create-storage.js';
import type { JobStorage } from '../../../lib/storage/job-storage.js';
import { sampleJob } from '../../support/sample-job.js';
import { within } from '../../support/deadline.js';
import type { LockProcessMessage } from '../../support/lock-process.js';
import type { StorageProcessMessage } from '../../support/storage-process.js';

const RUN = join(import.meta.dirname, '../../support/run-ts.mjs');
const PROGRAM = join(import.meta.dirname, '../../support/storage-process.ts');
const LOCKS = join(import.meta.dirname, '../../support/lock-process.ts');
/** Milliseconds that the event loop may stand still. */
const STALL = 50;
const OWNER = { role: 'node' as const, name: 'parent', instance: '0192f000-0000-7000-8000-000000000001' };

describe('a SQLite file and several processes', () => {
  let folder: string;
  let database: string;
  let children: ChildProcess[];
  let storage: JobStorage;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'job-reactor-'));
    database = join(folder, 'jobs.sqlite');
    storage = createStorage({ type: 'sqlite', database }, systemClock);
    children = [];
  });
  afterEach(async () => {
    await storage.close();
    await Promise.all(children.map(kill));
    await rm(folder, { recursive: true, force: true });
  });

  const start = (file: string, ...args: string[]): ChildProcess => {
    const option = JSON.stringify({ type: 'sqlite', database: file });
    const child = fork(RUN, [PROGRAM, option, ...args], { execArgv: [] });
    children.push(child);
    return child;
  };
  const kill = async (child: ChildProcess): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  };
  const message = (child: ChildProcess, is: (message: StorageProcessMessage) => boolean) =>
    within(
      new Promise<StorageProcessMessage>((resolve) =>
        child.on('message', (said: StorageProcessMessage) => is(said) && resolve(said)),
      ),
      'a message of the other process',
      60_000,
    );

  it('kill -9 during commits loses nothing that was acknowledged, and lets the next process in', async () => {
    const child = start(database, 'write');
    const acked: string[] = [];
    await message(child, (said) => 'acked' in said && acked.push(said.acked) >= 3000);
    await kill(child);
    await storage.open(OWNER);
    expect(acked.length).toBeGreaterThanOrEqual(3000);
    expect((await storage.get(acked)).length).toBe(acked.length);
  });

  it('another process that holds the write lock for seconds stalls nobody: the commit waits, the event loop does not', async () => {
    await storage.open(OWNER);
    // A stall of our own comes every time; one that a busy machine makes does not.
    const stalls: number[] = [];
    for (let tries = 0; tries < 5 && !stalls.some((stall) => stall < STALL); tries++) {
      const child = fork(RUN, [LOCKS, database, '3000'], { execArgv: [] });
      children.push(child);
      const said = (what: LockProcessMessage): Promise<void> =>
        within(new Promise((resolve) => child.on('message', (message) => message === what && resolve())), what, 60_000);
      const released = said('released');
      await said('locked');
      const delay = monitorEventLoopDelay({ resolution: 1 });
      delay.enable();
      const since = performance.now();
      let first = 0;
      const commits = Array.from({ length: 20 }, () => storage.commit([{ kind: 'insert', job: sampleJob() }]));
      void Promise.race(commits).then(() => (first = performance.now() - since));
      await released;
      delay.disable();
      stalls.push(delay.max / 1e6);
      expect((await Promise.all(commits)).flat()).toEqual(Array(20).fill('done'));
      expect(first).toBeGreaterThan(2_000);
    }
    expect(Math.min(...stalls), `stalls of ${stalls.map((stall) => stall.toFixed(0)).join(', ')} ms`).toBeLessThan(
      STALL,
    );
  });

  it('a second process is refused, told which file, and what to do', async () => {
    const child = start(database);
    await message(child, (said) => 'opened' in said);
    const refusal = within(storage.open(OWNER), 'the refusal');
    await expect(refusal).rejects.toMatchObject({ code: 'STORAGE_IN_USE', message: expect.stringContaining(database) });
    await expect(refusal).rejects.toThrow('Each node and each outbox needs a file of its own');
  });

  it('a second process is refused by another path to the same file', async () => {
    await storage.open(OWNER);
    const other = join(folder, 'other-name.sqlite');
    await symlink(database, other);
    const said = await message(start(other), () => true);
    expect(said).toMatchObject({ refused: 'STORAGE_IN_USE' });
    expect(await storage.commit([{ kind: 'insert', job: sampleJob() }])).toEqual(['done']);
  });

  it('an opener waits for a predecessor that is on its way out', async () => {
    const child = start(database);
    const { opened } = (await message(child, (said) => 'opened' in said)) as { opened: string };
    const opening = storage.open(OWNER);
    child.disconnect();
    expect(await within(opening, 'the opening')).toEqual({ id: opened });
  });
});
