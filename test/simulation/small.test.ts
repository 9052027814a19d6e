import { expect, it } from 'vitest';
import { faultsOf, simulate, SMALL } from './private-world.js';

const SEEDS = Number(process.env['JOB_REACTOR_SIM_SMALL_SEEDS'] ?? 9_500);

it.each([[4045789, 'a node that was lost and came back while it was being written down that a job goes there']])(
  'what was found once stays mended: seed %i, %s',
  async (seed) => {
    expect(faultsOf(await simulate(seed, SMALL))).toEqual([]);
  },
);

it(`in very many small schedules nothing is lost, ends twice or starts early (${SEEDS} seeds)`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const replay = `npm run test:simulate -- --world small --schedules 1 --seed ${seed}`;
    expect(faultsOf(await simulate(seed, SMALL)), replay).toEqual([]);
  }
}, 900_000);
