import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { contenders as all, WORKS, type Contender, type Work } from './contenders.ts';
import { measure, measurements } from './measure.ts';
import { report, Results } from './report.ts';
import { commit, Servers } from './servers.ts';
import { FULL, QUICK, SMOKE } from './sizes.ts';
import { now } from './statistics.ts';

const USAGE = `npm run bench -- [options]
  --quick                less of everything: under 10 minutes on a quiet machine
  --smoke                next to nothing, once: does every contender still run?
  --only a,b             these contenders: ${all.map(({ id }) => id).join(' ')}
  --work W1,W3           these works: ${WORKS.join(' ')}
  --part single,flow     these measurements: ${measurements.map(({ name }) => name).join(', ')}
  --count 100000         jobs of W1 and W2
  --repetitions 5        of each measurement; the median is shown
  --against <dist>       another build of this project, measured beside it (its rows end in "other build")
  --postgres <url>       default postgres://postgres@127.0.0.1:5432/postgres; a database job_reactor_bench is made there
  --redis <url>          default redis://127.0.0.1:6379/15; flushed, so it is to be empty
  --output <file>        the tables, as Markdown; --json <file>: every figure
`;

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean' },
    smoke: { type: 'boolean' },
    only: { type: 'string' },
    work: { type: 'string' },
    part: { type: 'string' },
    count: { type: 'string' },
    repetitions: { type: 'string' },
    against: { type: 'string' },
    postgres: { type: 'string', default: 'postgres://postgres@127.0.0.1:5432/postgres' },
    redis: { type: 'string', default: 'redis://127.0.0.1:6379/15' },
    output: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean' },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit();
}

function chosen<T extends string>(given: string | undefined, known: readonly T[], what: string): readonly T[] {
  if (given === undefined) return known;
  const names = given.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !known.includes(name as T));
  if (unknown.length > 0) throw new Error(`No such ${what}: ${unknown.join(', ')}. There are: ${known.join(', ')}.`);
  return names as T[];
}

function another(contender: Contender, dist: string): Contender[] {
  if (!contender.ours) return [contender];
  const options = { ...contender.options, dist: resolve(dist) };
  return [contender, { ...contender, id: `${contender.id}'`, title: `${contender.title}, other build`, options }];
}

/** Turns the order with each repetition, so that nobody is always first or always after the same. */
function turned<T>(list: readonly T[], by: number): T[] {
  const from = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(from), ...list.slice(0, from)];
}

const sizes = { ...(values.smoke ? SMOKE : values.quick ? QUICK : FULL) };
if (values.count !== undefined) {
  const count = Number(values.count);
  for (const name of ['single', 'bulk', 'drain', 'flow'] as const) sizes[name] = { count, limit: FULL[name].limit };
}
const works = chosen(values.work, WORKS, 'work') as readonly Work[];
const parts = chosen(
  values.part,
  measurements.map(({ name }) => name),
  'measurement',
);
const ids = chosen(
  values.only,
  all.map(({ id }) => id),
  'contender',
);
const picked = all
  .filter(({ id, slow }) => ids.includes(id) && !(slow && values.quick && values.only === undefined))
  .flatMap((contender) => (values.against ? another(contender, values.against) : [contender]));
const repetitions = values.repetitions === undefined ? sizes.repetitions : Number(values.repetitions);

const servers = new Servers({ postgres: values.postgres, redis: values.redis });
const results = new Results();
const began = now();
const seconds = (): string => `${((now() - began) / 1_000).toFixed(0)} s`;

function versions(): string {
  const { dependencies } = JSON.parse(readFileSync(join(import.meta.dirname, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  const version = (name: string): string => {
    const file = join(import.meta.dirname, 'node_modules', name, 'package.json');
    return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
  };
  return Object.keys(dependencies)
    .map((name) => `${name} ${version(name)}`)
    .join(', ');
}

async function run(): Promise<void> {
  const settings = await servers.describe(picked);
  const load = loadavg()[0]!;
  for (const measurement of measurements) {
    const { work, name, part } = measurement;
    if (!works.includes(work) && !(name === 'bulk and drain' && works.includes('W1'))) continue;
    if (!parts.includes(name)) continue;
    const taking = picked.filter(
      (contender) => contender.works.includes(work) && !(part === 'flow' && contender.without?.includes(part)),
    );
    const times = work === 'W5' || work === 'W6' ? Math.min(sizes.still, repetitions) : repetitions;
    for (let repetition = 0; repetition < times; repetition++) {
      for (const contender of turned(taking, repetition)) {
        if (name === 'bulk and drain' && nothingToDo(contender)) continue;
        try {
          const figures = await measure(measurement, contender, servers, sizes);
          results.add(contender, figures);
          const shown = Object.entries(figures).map(
            ([metric, value]) => `${metric} ${value.toFixed(value < 100 ? 2 : 0)}`,
          );
          console.error(`${seconds().padStart(6)}  ${work} ${name}: ${contender.id}: ${shown.join(', ')}`);
        } catch (error) {
          results.failures.push(`${contender.title}, ${work} ${name}: ${(error as Error).message.split('\n')[0]}`);
          console.error(`${seconds().padStart(6)}  ${work} ${name}: ${contender.id}: ${(error as Error).stack}`);
        }
      }
    }
  }
  const commitNow = commit();
  const facts = [
    `Commit ${commitNow}, ${new Date().toISOString().slice(0, 10)}, ${values.smoke ? 'smoke' : values.quick ? 'quick' : 'full'} run of ${seconds()}, ` +
      `${repetitions} interleaved repetitions; medians, and least to most in brackets.`,
    `${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, ` +
      `${process.platform} ${process.arch}, Node ${process.version}; load average before the run ${load.toFixed(2)}.`,
    ...settings,
    versions(),
    'One process enqueues, one works; servers on the same machine, each measurement on an empty database and with fresh processes; ' +
      'args of 220 bytes, a handler that does nothing, finished jobs removed.',
  ];
  const text = report(results, picked, facts);
  console.log(text);
  if (values.output) writeFileSync(values.output, text);
  if (values.json) writeFileSync(values.json, JSON.stringify({ facts, results }, null, 2));
}

/** Neither enqueues in bulk nor has a backlog of the kind. */
function nothingToDo({ without = [] }: Contender): boolean {
  return without.includes('bulk') && without.includes('drain');
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void servers.stop().finally(() => process.exit(130)));
}
try {
  await run();
} finally {
  await servers.stop();
}
process.exit(results.failures.length > 0 ? 1 : 0);
