import { describe, expect, it } from 'vitest';
import { Bursts, STATES } from './bursts.js';
import { fuzz } from './fuzzer.js';

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
  const { frames, connections, stats, grown } = await fuzz({ frames: FRAMES, seed: SEED });
  expect(frames).toBeGreaterThanOrEqual(FRAMES);
  expect(connections.distributor).toBeGreaterThan(1000);
  expect(connections.node).toBeGreaterThan(1000);
  expect(stats.unhandled).toEqual([]);
  expect(stats.lost).toEqual([]);
  expect(stats.failed).toEqual([]);
  expect(stats.done).toBeGreaterThan(20);
  // As many kinds of refusal as there are, or the fuzzing tests nothing.
  expect(Object.keys(stats.refused)).toEqual(expect.arrayContaining(['PROTOCOL', 'TOO_LARGE', 'AUTHENTICATION']));
  // In use after a collection: what the system has given to a young process says little.
  expect(grown.application.used / 1e6).toBeLessThan(50);
  expect(grown.nodes.used / 1e6).toBeLessThan(50);
}, 300_000);
