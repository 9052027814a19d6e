import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Outcome, Told } from './application.js';

/*
 * Two applications, each with a distributor of its own, and three nodes that work for both, in five processes; with each
 * storage in turn. Exit code 1 if one job is lost or one result is wrong.
 */
const { values } = parseArgs({ options: { postgres: { type: 'string' }, jobs: { type: 'string', default: '1000' } } });
const APPLICATIONS = ['shop', 'market'];
const NODES = ['red', 'green', 'blue'];
/** Milliseconds after which what has not come is not waited for. */
const PATIENCE = 120_000;

const work = await mkdtemp(join(tmpdir(), 'two-distributors-'));
/** For each storage the one of a node. Memory and files are a node's own; a PostgreSQL database is shared. */
const STORAGES: Record<string, (node: string) => unknown> = {
  memory: () => 'memory',
  SQLite: (node) => ({ type: 'sqlite', database: join(work, `${node}.sqlite`) }),
  ...(values.postgres === undefined ? {} : { PostgreSQL: () => ({ type: 'postgres', url: values.postgres }) }),
};

const running = new Set<ChildProcess>();
let allWell = true;
try {
  for (const [storage, of] of Object.entries(STORAGES)) allWell = (await run(storage, of)) && allWell;
} finally {
  await Promise.all([...running].map(end));
  await rm(work, { recursive: true, force: true });
}
process.exitCode = allWell ? 0 : 1;

async function run(storage: string, storageOf: (node: string) => unknown): Promise<boolean> {
  const applications = APPLICATIONS.map((name) => start('application', name, values.jobs, String(NODES.length)));
  const ports = await Promise.all(applications.map(async (child) => (await told(child, 'port')).port));
  const started = performance.now();
  const outcomes = applications.map((child) => told(child, 'results'));
  const nodes = NODES.map((name) => start('node', name, ports.join(), JSON.stringify(storageOf(name))));
  const isWell = show(storage, await Promise.all(outcomes), performance.now() - started);
  await Promise.all([...nodes, ...applications].map(end));
  return isWell;
}

function show(storage: string, outcomes: Outcome[], milliseconds: number): boolean {
  const jobs = Number(values.jobs);
  const lost = outcomes.flatMap((outcome) => outcome.lost);
  const wrong = outcomes.reduce((sum, outcome) => sum + outcome.wrong, 0);
  const of = (node: string): number[] => outcomes.map(({ perNode }) => perNode[node] ?? 0);
  console.log(`\n${storage}: ${APPLICATIONS.length} applications, ${NODES.length} nodes, ${jobs} jobs each`);
  const header = ['', ...APPLICATIONS, 'all'];
  const rows = NODES.map((node) => [`jobs on ${node}`, ...of(node), of(node).reduce((sum, count) => sum + count, 0)]);
  const results = outcomes.map((outcome) => outcome.results);
  rows.push(['results', ...results, results.reduce((sum, count) => sum + count, 0)]);
  for (const row of [header, ...rows]) {
    console.log(`  ${row.map((cell, i) => (i === 0 ? String(cell).padEnd(16) : String(cell).padStart(8))).join('')}`);
  }
  console.log(
    `  lost ${lost.length}, wrong ${wrong}, ${(milliseconds / 1000).toFixed(1)} s with the start of the nodes`,
  );
  for (const why of lost.slice(0, 10)) console.error(`Lost: ${why}`);
  return lost.length === 0 && wrong === 0 && results.every((count) => count === jobs);
}

function start(program: 'application' | 'node', ...args: string[]): ChildProcess {
  const child = fork(join(import.meta.dirname, program + extname(import.meta.filename)), args);
  running.add(child);
  child.once('exit', (code, signal) => {
    if (running.delete(child)) stop(`${program} '${args[0]}' ended by itself (${signal ?? `exit code ${code}`}).`);
  });
  return child;
}

/** The next thing an application tells that has this field. */
function told<K extends 'port' | 'results'>(child: ChildProcess, field: K): Promise<Extract<Told, Record<K, unknown>>> {
  return new Promise((resolve) => {
    const patience = setTimeout(() => stop(`No ${field} came within ${PATIENCE / 1000} s.`), PATIENCE);
    const listener = (message: Told): void => {
      if (!(field in message)) return;
      clearTimeout(patience);
      child.off('message', listener);
      resolve(message as Extract<Told, Record<K, unknown>>);
    };
    child.on('message', listener);
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (!running.delete(child) || child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
}

function stop(why: string): never {
  console.error(why);
  for (const child of running) child.kill('SIGKILL');
  process.exit(1);
}
