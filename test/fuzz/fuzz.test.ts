import { describe, expect, it } from 'vitest';
import { Bursts, STATES } from './bursts.js';
import { fuzz, verdict } from './fuzzer.js';
import { MUTATIONS, type Mutation } from './mutations.js';

const SEED = Number(process.env['JOB_REACTOR_FUZZ_SEED'] ?? 20261126);
const FRAMES = 100_000;

describe('what is sent by the fuzzer', () => {
  it('is the same for the same seed, and for every state', () => {
    const [first, again, other] = [new Bursts(SEED), new Bursts(SEED), new Bursts(SEED + 1)];
    const seen = new Set<string>();
    for (const to of ['distributor', 'node'] as const) {
      for (let n = 0; n < 200; n++) {
        const burst = first.burst(n, to);
        expect(burst).toEqual(again.burst(n, to));
        expect(burst).not.toEqual(other.burst(n, to));
        seen.add(`${to} ${burst.state}`);
      }
    }
    expect(seen.size).toBe(STATES.distributor + STATES.node);
  });
});

it(`${FRAMES} frames, good and broken, in every state of a connection do no harm: nobody is lost, no job, and no memory`, async () => {
  const report = await fuzz({ frames: FRAMES, seed: SEED });
  const { frames, connections } = report;
  expect(frames).toBeGreaterThanOrEqual(FRAMES);
  expect(connections.distributor).toBeGreaterThan(1000);
  expect(connections.node).toBeGreaterThan(1000);
  expect(verdict(report)).toEqual([]);
  expect(Object.keys(report.stats.refused)).toContain('AUTHENTICATION');
}, 300_000);

describe('the fuzzer bites', () => {
  const wrong = async (mutation?: Mutation): Promise<string[]> =>
    fuzz({ frames: 5000, seed: SEED, ...(mutation && { mutation }) }).then(verdict, (error: Error) => [error.message]);

  it('not where every guard is in its place', async () => {
    expect(await wrong()).toEqual([]);
  }, 240_000);

  it.each(MUTATIONS)(
    'when one guard is taken out: %s',
    async (mutation) => {
      expect(await wrong(mutation)).not.toEqual([]);
    },
    240_000,
  );
});
