import { expect, it } from 'vitest';
import { SharedWorld, type Mutation, type Weather } from './shared-world.js';

const SEEDS = Number(process.env['JOB_REACTOR_SIM_SHARED_SEEDS'] ?? 300);
const FIRST_SEED = Number(process.env['JOB_REACTOR_SIM_SEED'] ?? 1);

it(`on a shared database nothing is lost, runs twice or is written by who lost it (${SEEDS} seeds)`, async () => {
  const faults = new Set<string>();
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    const shared = await new SharedWorld(seed).run();
    const found = shared.check();
    if (found.length > 0 && SEEDS === 1) console.log(shared.world.journal.join('\n'));
    expect(found, `seed ${seed}; replay with JOB_REACTOR_SIM_SEED=${seed} JOB_REACTOR_SIM_SHARED_SEEDS=1`).toEqual([]);
    for (const fault of shared.faults) faults.add(fault);
  }
  if (SEEDS >= 100) expect(faults.size).toBeGreaterThan(10);
}, 300_000);

/** What the checks find in the first of so many seeds in which they find anything. */
async function found(mutation: Mutation, seeds: number, what: RegExp, weather: Weather = {}): Promise<string[]> {
  for (let seed = 1; seed <= seeds; seed++) {
    const shared = await new SharedWorld(seed, { mutation, ...weather }).run();
    const faults = shared.check().filter((fault) => what.test(fault));
    if (faults.length > 0) return faults;
  }
  return [];
}

/** Each bites with what it alone guards. */
it.each<[Mutation, number, RegExp, Weather?]>([
  ['no owner', 500, /fence|at once/, { dangers: ['frozen', 'without distributors'], latency: 5_000 }],
  ['no fence', 200, /fence|ended|ran again/],
  ['adopts the living', 100, /at once/],
  ['no self-fence', 500, /at once/, { dangers: ['without database', 'stopped'], faultsLast: 28_000 }],
  ['ack before commit', 100, /lost|fence|ran again/],
])(
  'the checks bite: %s',
  async (mutation, seeds, what, weather) => {
    expect(await found(mutation, seeds, what, weather)).not.toEqual([]);
  },
  300_000,
);

/**
 * Where the answer to an adoption is lost, where a job is found in the outbox while it waits already, where a node
 * dies after everybody had lost it, where a cancel comes while the end is in doubt, where an outbox takes over another
 * and hears no answer, where a job that is adopted is on its way here as well, where a node is given up while it is not
 * known whether the outbox has the job that is meant for it, and where a job is read after a lost lease and adopted at once.
 * The last five: a newcomer, or the end of a job, is committed without an answer around the loss of a lease; a node takes
 * a job whose end is in doubt; a job is read at the moment in which the lease is lost; and a node dies between one
 * distributor, which stopped, and the next.
 */
it.each([
  [794, 0.035],
  [106, 0.015],
  [2670, 0.005],
  [5437, 0.05],
  [5470, 0.05],
  [1427, 0.05],
  [4642, 0.05],
  [7476, 0.05],
  [14388, 0.05],
  [45425, 0.05],
  [25941, 0.05],
  [36131, 0.05],
  [80073, 0.05],
])('statements without an answer: seed %i', async (seed, trouble) => {
  expect((await new SharedWorld(seed, { trouble }).run()).check()).toEqual([]);
});

it('what is adopted from a peer is what it lost: one that is only called dead keeps its jobs', async () => {
  expect(await found('peers called dead', 50, /at once|ran again|another's|fence|final|ended/)).toEqual([]);
}, 120_000);

it('the same seed gives the same shared world', async () => {
  const [one, two] = [await new SharedWorld(7).run(), await new SharedWorld(7).run()];
  expect(one.world.journal).toEqual(two.world.journal);
});
