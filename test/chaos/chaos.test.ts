import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { chaos, removed, type ChaosSettings } from './harness.js';
import { replay } from './report.js';

/** The short form: `npm run test:chaos` is the long one. */
const SEED = Number(process.env['JOB_REACTOR_CHAOS_SEED'] ?? Math.floor(Math.random() * 1e9));

async function survives(settings: Pick<ChaosSettings, 'storage' | 'cycles' | 'database'>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'job-reactor-chaos-'));
  const given: ChaosSettings = { ...settings, seed: SEED, rate: 100, pace: 400, folder };
  const report = await chaos(given);
  const where = `${replay(given)}; its journals are in ${folder}`;
  expect(report.violations, where).toEqual([]);
  expect(report.drained, `everything came to an end: ${where}`).not.toBeNull();
  expect(Object.values(report.kills).reduce((sum, count) => sum + count)).toBe(settings.cycles);
  // A run that did nothing shows nothing.
  expect(report.counts.accepted).toBeGreaterThan(settings.cycles * 10);
  expect(report.counts.succeeded + report.counts.failed + report.counts.cancelled).toBeGreaterThan(0);
  await removed(folder);
}

it('20 times kill -9 over SQLite: nothing accepted is lost, nothing runs twice but in the named window', async () => {
  await survives({ storage: 'sqlite', cycles: 20 });
}, 600_000);
