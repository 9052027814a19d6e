import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Case, Costs } from './case.js';

/*
 * Costs of a job that no machine changes, beside those written down: npm run bench:guard
 * It fails on a rise; `npm run bench:guard -- --update` writes down what is now, which is for a commit that says why.
 */
const CASES: Record<string, Case> = {
  'memory, 64 in flight': { outbox: 'memory', node: 'memory', inFlight: 64, jobs: 1_000, allocations: true },
  'memory, declared feedback, 64 in flight': {
    outbox: 'memory',
    node: 'memory',
    inFlight: 64,
    jobs: 1_000,
    feedback: true,
    allocations: true,
  },
  'memory, one at a time': { outbox: 'memory', node: 'memory', inFlight: 1, jobs: 200 },
  'node on SQLite, confirmed, 64 in flight': {
    outbox: 'memory',
    node: 'sqlite',
    inFlight: 64,
    jobs: 1_000,
    confirm: 'stored',
    allocations: true,
  },
  'node on SQLite, confirmed, one at a time': {
    outbox: 'memory',
    node: 'sqlite',
    inFlight: 1,
    jobs: 50,
    confirm: 'stored',
  },
  'one PostgreSQL, one at a time': { outbox: 'postgres', node: 'postgres', inFlight: 1, jobs: 50 },
};

/** A server answers when it likes, and what meets in one commit or one write differs a little. */
const LOOSE = 10;

/** A rise up to this share is no rise: allocations depend on when V8 optimises, the rest hardly on anything. */
const TOLERANCE: Record<keyof Costs, number> = {
  frames: 0.01,
  bytes: 0.01,
  writes: 0.02,
  commits: 0.02,
  statements: 0.01,
  allocated: 0.05,
};

type Baseline = { node: string; costs: Record<string, Costs> };
const FILE = join(import.meta.dirname, 'baseline.json');
const RUN = join(import.meta.dirname, '../../test/support/run-ts.mjs');
/** No collection while it is counted, and no second thread that optimises at a moment of its own. */
const FLAGS = ['--expose-gc', '--min-semi-space-size=256', '--max-semi-space-size=256', '--single-threaded'];

const major = `${process.versions.node.split('.')[0]}`;
const update = process.argv.includes('--update');
const baseline = JSON.parse(readFileSync(FILE, 'utf8')) as Baseline;
const hasPostgres = Boolean(process.env['JOB_REACTOR_TEST_POSTGRES_URL']);

async function costsOf(wanted: Case): Promise<Costs> {
  const args = [...FLAGS, RUN, join(import.meta.dirname, 'case.ts'), JSON.stringify(wanted)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 120_000 });
  const costs = JSON.parse(stdout) as Costs;
  return Object.fromEntries(
    Object.entries(costs).map(([name, cost]) => [name, Number((cost as number).toPrecision(4))]),
  ) as unknown as Costs;
}

const rises: string[] = [];
const skipped: string[] = [];
if (major !== baseline.node) skipped.push(`allocations (written down on Node ${baseline.node}, this is ${major})`);

for (const [name, wanted] of Object.entries(CASES)) {
  if (!hasPostgres && (wanted.node === 'postgres' || wanted.outbox === 'postgres')) {
    skipped.push(`${name} (JOB_REACTOR_TEST_POSTGRES_URL is not set)`);
    continue;
  }
  const costs = await costsOf(wanted);
  const known = baseline.costs[name];
  const shown = Object.entries(costs).map(([metric, cost]) => {
    const before = known?.[metric as keyof Costs];
    const same = metric === 'allocated' && major !== baseline.node;
    if (before === undefined || before === cost || same) return `${metric} ${cost}`;
    const share = TOLERANCE[metric as keyof Costs] * (wanted.node === 'postgres' ? LOOSE : 1);
    const limit = before * (1 + share) + 0.005;
    if (cost > limit && !update) rises.push(`${name}: ${metric} ${before} → ${cost}`);
    return `${metric} ${before} → ${cost}`;
  });
  console.log(`${name}: ${shown.join(', ')}`);
  if (update) baseline.costs[name] = costs;
}

if (update) {
  for (const name of Object.keys(baseline.costs)) if (!(name in CASES)) delete baseline.costs[name];
  writeFileSync(FILE, `${JSON.stringify({ node: major, costs: baseline.costs }, null, 2)}\n`);
}
for (const one of skipped) console.log(`Skipped: ${one}`);
if (rises.length > 0) {
  console.error(`\nA job costs more than before:\n${rises.map((rise) => `  ${rise}`).join('\n')}`);
  console.error('Find out why, or, if it is worth it, write it down: npm run bench:guard -- --update');
  process.exitCode = 1;
}
