import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { givenServer, ownServer, SQLITE, type Place } from './databases.js';
import { chaos, removed, type ChaosSettings } from './harness.js';
import { replay } from './report.js';

/** The short form: `npm run test:chaos` is the long one. */
const SEED = Number(process.env['JOB_REACTOR_CHAOS_SEED'] ?? Math.floor(Math.random() * 1e9));

async function survives(place: Place, cycles: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'job-reactor-chaos-'));
  const settings: ChaosSettings = { ...place.settings, cycles, seed: SEED, rate: 100, pace: 400, folder };
  const report = await chaos(settings).finally(() => place.end());
  const where = `${replay(settings)}; its journals are in ${folder}`;
  expect(report.violations, where).toEqual([]);
  expect(report.drained, `everything came to an end: ${where}`).toEqual(expect.any(Number));
  expect(Object.values(report.kills).reduce((sum, count) => sum + count)).toBe(cycles);
  // A run that did nothing shows nothing.
  expect(report.counts.accepted).toBeGreaterThan(cycles * 10);
  await removed(folder);
}

describe('kill -9 at any moment: nothing accepted is lost, and nothing runs twice but in the named window', () => {
  it('over SQLite, 20 times', () => survives(SQLITE, 20), 600_000);

  const databases = inject('databases');
  it.for(['postgres', 'mysql'] as const)(
    'over %s, 10 times, a server of its own among them where one can be started',
    { timeout: 600_000 },
    async (storage, { skip }) => {
      const own = await ownServer(storage);
      const url = databases[storage];
      if ('reason' in own && url === null) return skip(`no ${storage}: ${own.reason}`);
      return survives('reason' in own ? await givenServer(storage, url!) : own, 10);
    },
  );
});
