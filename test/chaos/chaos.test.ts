import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SQLITE, type Place } from './databases.js';
import { chaos, removed, type ChaosSettings } from './harness.js';
import { replay } from './report.js';

/**
 * The short form: `npm run test:chaos` is the long one, and the one over servers. There an insert whose answer was lost
 * can leave its job waiting for the next start of its node, which a short run has no patience for.
 */
const SEED = Number(process.env['JOB_REACTOR_CHAOS_SEED'] ?? 1);

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
});
