import { expect, it } from 'vitest';
import type { Cluster } from './cluster.js';
import { BACKLOG, faultsOf, LARGE, simulate } from './private-world.js';

const SEEDS = Number(process.env['JOB_REACTOR_SIM_SEEDS'] ?? 200);
const FIRST_SEED = Number(process.env['JOB_REACTOR_SIM_SEED'] ?? 1);

it(`nothing accepted is lost, every job has one final state, none starts early (${SEEDS} seeds)`, async () => {
  let deaths = 0;
  let alone = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    const cluster = await simulate(seed, LARGE);
    const faults = faultsOf(cluster);
    const replay = `seed ${seed}; replay with JOB_REACTOR_SIM_SEED=${seed} JOB_REACTOR_SIM_SEEDS=1`;
    if (faults.length > 0 && SEEDS === 1) console.log(cluster.world.journal.join('\n'));
    expect(faults, replay).toEqual([]);
    expect(cluster.accepted.size, replay).toBeGreaterThan(0);
    alone += cluster.ranAlone;
    deaths += cluster.threads.reduce((sum, pool) => sum + pool.deaths, 0);
  }
  // One seed may have none; many without any would mean that the threads were never used.
  if (SEEDS >= 20) expect([deaths, alone].every((count) => count > 0)).toBe(true);
}, 300_000);

it('the questions are asked and answered in these worlds', async () => {
  const seen = { retried: 0, removed: 0, looks: 0, expired: 0 };
  for (let seed = 1; seed <= 20; seed++) {
    const { retried, removed, looks, world } = await simulate(seed, LARGE);
    seen.retried += retried.size;
    seen.removed += removed.size;
    seen.looks += looks.length;
    seen.expired += world.journal.filter((line) => line.includes('job expired')).length;
  }
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(10);
}, 120_000);

const BACKLOGS = Number(process.env['JOB_REACTOR_SIM_BACKLOGS'] ?? 60);

it(`the same where most jobs wait beyond the window over the outbox (${BACKLOGS} seeds)`, async () => {
  let beyond = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + BACKLOGS; seed++) {
    const cluster = await simulate(seed, BACKLOG);
    const replay = `npm run test:simulate -- --world backlog --schedules 1 --seed ${seed}`;
    expect(faultsOf(cluster), replay).toEqual([]);
    // More are not held whole, at whatever moment that was.
    beyond += Math.max(0, cluster.waited - cluster.window * 2);
  }
  expect(beyond).toBeGreaterThan(BACKLOGS);
}, 120_000);

it('the same seed gives the same world', async () => {
  const [one, two] = [await simulate(7, LARGE), await simulate(7, LARGE)];
  const shape = (cluster: Cluster): string => JSON.stringify([[...cluster.told], [...cluster.starts]]);
  expect(shape(one)).toBe(shape(two));
});
