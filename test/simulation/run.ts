import { fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BACKLOG, faultsOf, LARGE, simulate, SMALL } from './private-world.js';
import { SharedWorld } from './shared-world.js';

/*
 * The long form of the simulation: npm run test:simulate -- --schedules 1000000 [--seed N] [--world small|large|backlog|shared]
 * [--trouble P]. P: the probability that a statement of the shared world gets no answer. One process for each core; a
 * seed that fails is printed with what replays it.
 */
const WORLDS: Record<string, (seed: number, trouble: number) => Promise<string[]>> = {
  small: async (seed) => faultsOf(await simulate(seed, SMALL)),
  backlog: async (seed) => faultsOf(await simulate(seed, BACKLOG)),
  large: async (seed) => faultsOf(await simulate(seed, LARGE)),
  shared: async (seed, trouble) => (await new SharedWorld(seed, { trouble }).run()).check(),
};

interface Share {
  world: string;
  trouble: number;
  from: number;
  count: number;
}
type Said = { done: number } | { seed: number; faults: string[] };

/** Schedules until it is said how many there were. */
const TELL_EVERY = 500;

async function work({ world, trouble, from, count }: Share): Promise<void> {
  const tell = (said: Said): Promise<void> => new Promise((resolve) => void process.send!(said, () => resolve()));
  for (let seed = from; seed < from + count; seed++) {
    const faults = await WORLDS[world]!(seed, trouble);
    if (faults.length > 0) await tell({ seed, faults });
    const done = seed - from + 1;
    if (done % TELL_EVERY === 0) await tell({ done: TELL_EVERY });
    else if (done === count) await tell({ done: count % TELL_EVERY });
  }
  process.disconnect();
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      schedules: { type: 'string', default: '10000' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
      world: { type: 'string', default: 'small' },
      trouble: { type: 'string', default: '0' },
      processes: { type: 'string', default: String(availableParallelism()) },
    },
  });
  const { world } = values;
  if (!WORLDS[world]) throw new Error(`--world is ${Object.keys(WORLDS).join(', ')}, not ${world}`);
  const [schedules, seed, processes, trouble] = (['schedules', 'seed', 'processes', 'trouble'] as const).map((name) =>
    Number(values[name]),
  ) as [number, number, number, number];
  const command = `npm run test:simulate -- --world ${world}${trouble > 0 ? ` --trouble ${trouble}` : ''}`;
  console.log(`${command} --schedules ${schedules} --seed ${seed}`);
  const since = performance.now();
  let done = 0;
  let failed = 0;
  const share = Math.ceil(schedules / processes);
  const shares: Share[] = Array.from({ length: processes }, (_, i) => ({
    world,
    trouble,
    from: seed + i * share,
    count: Math.min(share, schedules - i * share),
  })).filter(({ count }) => count > 0);
  await Promise.all(
    shares.map(async (one) => {
      const program = fileURLToPath(new URL('../support/run-ts.mjs', import.meta.url));
      const child = fork(program, [fileURLToPath(import.meta.url)], {
        env: { ...process.env, SHARE: JSON.stringify(one) },
      });
      child.on('message', (said: Said) => {
        if ('faults' in said) {
          failed++;
          console.log(`${said.faults.join('\n')}\nReplay: ${command} --schedules 1 --seed ${said.seed}`);
          return;
        }
        const before = done;
        done += said.done;
        if (Math.floor(before / 50_000) < Math.floor(done / 50_000)) console.log(`${done} of ${schedules} schedules`);
      });
      const code = await new Promise<number | null>((resolve) => child.once('exit', resolve));
      if (code !== 0) {
        failed++;
        console.log(
          `A process ended with code ${code}, somewhere from seed ${one.from} to ${one.from + one.count - 1}`,
        );
      }
    }),
  );
  const seconds = (performance.now() - since) / 1000;
  console.log(`${done} schedules in ${seconds.toFixed(0)} s, ${failed} of them with faults`);
  if (failed > 0 || done !== schedules) process.exit(1);
}

await (process.env['SHARE'] ? work(JSON.parse(process.env['SHARE']) as Share) : main());
