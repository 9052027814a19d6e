import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { contenders, type Contender } from './contenders.ts';
import { Session } from './measure.ts';
import { commit, freePort, Servers } from './servers.ts';
import { median, now } from './statistics.ts';

/*
 * Whether a rate stays what it is when there is more of something: jobs that wait beside those that run, nodes,
 * distributors, bytes in a job. Of this project alone; a job is enqueued (64 in flight) and run as in W2. With more nodes or
 * distributors once with as many jobs in flight as before, which are then spread over them, and once with 64 for each.
 */

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    growth: { type: 'string' },
    repetitions: { type: 'string', default: '3' },
    /** Largest backlog. */
    most: { type: 'string', default: '1000000' },
    postgres: { type: 'string', default: 'postgres://postgres@127.0.0.1:5432/postgres' },
    redis: { type: 'string', default: 'redis://127.0.0.1:6379' },
    output: { type: 'string' },
  },
});

const WARM_UP = { count: 40_000, limit: 2_000 };
const MEASURED = { count: 60_000, limit: 5_000 };
const MOST_BYTES = 500_000_000;
const HOUR = 3_600_000;

interface Flow {
  rate: number;
  loopDelay: number;
}

interface Growth {
  id: string;
  title: string;
  steps: readonly number[];
  /** Those that take part in it. */
  of: readonly string[];
  /** Further steps are left out for them. */
  most?: Record<string, number>;
  options?(step: number): Promise<object>;
  before?(session: Session, step: number): Promise<void>;
  /** Bytes of the args of a job. */
  length?(step: number): number;
  /** 64 if missing. */
  inFlight?(step: number): number;
}

const EACH = 64;

const ALL = ['memory', 'sqlite', 'postgres'];

const growths: readonly Growth[] = [
  {
    id: 'backlog',
    title: 'Jobs that wait for their time on the node',
    steps: [1_000, 10_000, 100_000, 1_000_000],
    of: ALL,
    async before(session, count) {
      await session.enqueue({ count, bulk: 1_000, inFlight: 1, dueAt: Date.now() + HOUR });
      await (await session.producer()).call('settled');
    },
  },
  {
    id: 'nodes',
    title: 'Connected nodes, 64 jobs at once on each',
    steps: [1, 8, 50],
    of: ['memory', 'postgres'],
    // Each has a pool of its own, and a PostgreSQL as it is installed takes 100 connections.
    most: { postgres: 8 },
    options: (nodes) => Promise.resolve({ nodes }),
  },
  {
    id: 'nodes-each',
    title: 'The same, with 64 enqueues in flight for each node',
    steps: [1, 8],
    of: ['postgres'],
    options: (nodes) => Promise.resolve({ nodes }),
    inFlight: (nodes) => nodes * EACH,
  },
  {
    id: 'distributors',
    title: 'Distributors that enqueue in turn, and a node that is connected to all of them',
    steps: [1, 2, 8],
    of: ALL,
    options: others,
  },
  {
    id: 'distributors-each',
    title: 'The same, with 64 enqueues in flight for each distributor',
    steps: [1, 2, 8],
    of: ALL,
    options: others,
    inFlight: (count) => count * EACH,
  },
  {
    id: 'args',
    title: 'Bytes of the args of a job',
    steps: [100, 1_000, 10_000, 100_000],
    of: ALL,
    length: (bytes) => bytes,
  },
];

async function others(count: number): Promise<object> {
  const ports: number[] = [];
  while (ports.length < count - 1) ports.push(await freePort());
  return { others: ports };
}

async function flow(session: Session, growth: Growth, step: number): Promise<Flow> {
  const worker = await session.worker();
  const producer = await session.producer();
  await growth.before?.(session, step);
  const length = growth.length?.(step);
  const size = { inFlight: growth.inFlight?.(step) ?? EACH, ...(length === undefined ? {} : { length }) };
  // What is accepted and does not run yet lies in memory where there is no database.
  const most = length === undefined ? Infinity : MOST_BYTES / length;
  const warm = await session.enqueue({ ...WARM_UP, ...size, count: Math.min(WARM_UP.count, most) });
  await worker.call('handled', warm.count, 60_000);
  await worker.call('forget');
  await producer.call('watchLoop');
  const { count, from } = await session.enqueue({ ...MEASURED, ...size, count: Math.min(MEASURED.count, most) });
  const handled = await worker.call('handled', count, 60_000);
  const loopDelay = await producer.call('loopDelay');
  if (handled.count !== count || handled.repeated > 0) {
    throw new Error(`${handled.count} of ${count} jobs ran, ${handled.repeated} of them again`);
  }
  return { rate: (count / (handled.lastAt - from)) * 1_000, loopDelay };
}

const servers = new Servers({ postgres: values.postgres, redis: values.redis });

async function measure(contender: Contender, growth: Growth, step: number): Promise<Flow> {
  const options = { ...contender.options, ...(await growth.options?.(step)) };
  const session = new Session({ ...contender, options }, await servers.empty(contender));
  try {
    return await flow(session, growth, step);
  } finally {
    await session.stop();
  }
}

const shown = (value: number): string => Number(value.toPrecision(3)).toLocaleString('en-US');

function table(growth: Growth, rows: ReadonlyMap<string, readonly Flow[][]>): string {
  const lines = [`### ${growth.title}`, ''];
  lines.push(`|  | ${growth.steps.map(shown).join(' | ')} | least ÷ first |`);
  lines.push(`| --- |${' --- |'.repeat(growth.steps.length + 1)}`);
  for (const [title, steps] of rows) {
    const rates = steps.map((flows) => median(flows.map(({ rate }) => rate)));
    const delays = steps.map((flows) => median(flows.map(({ loopDelay }) => loopDelay)));
    const bytes = growth.length && growth.steps.map((step, i) => (rates[i]! * growth.length!(step)) / 2 ** 20);
    const cells = rates.map((rate, i) => {
      if (Number.isNaN(rate)) return '';
      const rest = bytes ? `, ${shown(bytes[i]!)} MiB/s` : '';
      return `${shown(rate)}/s${rest} (${delays[i]!.toFixed(1)} ms)`;
    });
    const least = bytes ? '' : (Math.min(...rates.filter((rate) => !Number.isNaN(rate))) / rates[0]!).toFixed(2);
    lines.push(`| ${title} | ${cells.join(' | ')} | ${least} |`);
  }
  return lines.join('\n');
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void servers.stop().finally(() => process.exit(130)));
}
const began = now();
let failed = false;
try {
  const load = loadavg()[0]!;
  const parts: string[] = [];
  for (const growth of growths) {
    if (values.growth !== undefined && !values.growth.split(',').includes(growth.id)) continue;
    const steps = growth.steps.filter((step) => growth.id !== 'backlog' || step <= Number(values.most));
    const taking = contenders.filter(
      ({ id }) => growth.of.includes(id) && (values.only?.split(',').includes(id) ?? true),
    );
    const rows = new Map(taking.map(({ title }): [string, Flow[][]] => [title, steps.map(() => [])]));
    for (let repetition = 0; repetition < Number(values.repetitions); repetition++) {
      for (const contender of taking) {
        for (const [i, step] of steps.entries()) {
          if (step > (growth.most?.[contender.id] ?? Infinity)) continue;
          try {
            const one = await measure(contender, growth, step);
            rows.get(contender.title)![i]!.push(one);
            const seconds = ((now() - began) / 1_000).toFixed(0);
            console.error(
              `${seconds.padStart(6)} s  ${growth.id} ${step}: ${contender.id}: ${shown(one.rate)}/s, ${one.loopDelay.toFixed(1)} ms`,
            );
          } catch (error) {
            failed = true;
            console.error(`${growth.id} ${step}: ${contender.id}: ${(error as Error).stack}`);
          }
        }
      }
    }
    parts.push(table({ ...growth, steps }, rows));
  }
  const facts = [
    `- Commit ${commit()}, ${new Date().toISOString().slice(0, 10)}, run of ${((now() - began) / 1_000).toFixed(0)} s, medians of ${values.repetitions}; in brackets the 99th percentile of the event-loop delay in the enqueuing process.`,
    `- ${cpus()[0]?.model.trim()}, ${availableParallelism()} cores, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Node ${process.version}; load average before the run ${load.toFixed(2)}.`,
  ];
  const text = `${facts.join('\n')}\n\n${parts.join('\n\n')}\n`;
  console.log(text);
  if (values.output) writeFileSync(values.output, text);
} finally {
  await servers.stop();
}
process.exit(failed ? 1 : 0);
