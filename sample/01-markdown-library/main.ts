import 'reflect-metadata';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { NestFactory } from '@nestjs/core';
import { JobCancelled, JobReactorClient, JobReactorDistributor } from 'nestjs-job-reactor';
import { AppModule, Librarian } from './app.js';
import { Catalogue } from './catalogue.js';
import { countNearDuplicates, plainLoop } from './indexing.js';
import { ReportProgress, ScanFolder } from './jobs.js';
import { NodeProcesses } from './node-processes.js';
import { say, showProgress, showTable } from './show.js';

/*
 * The application and what happens to it: it indexes a folder in a plain loop, then the same folder with jobs on two
 * nodes, one of which is killed and started again midway, and compares. Exit code 1 if anything is lost or differs.
 */
const folder = resolve(process.argv[2] ?? 'node_modules');
const NODES = ['left', 'right'];
/** Milliseconds without news of any file after which what is missing counts as lost. */
const PATIENCE = 90_000;

if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) fail(`${folder} is not a folder.`);
const loopStarted = performance.now();
const expected = await plainLoop(folder);
const loopSeconds = secondsSince(loopStarted);
if (expected.size === 0) fail(`There are no Markdown files under ${folder}.`);

const work = await mkdtemp(join(tmpdir(), 'markdown-library-'));
const app = await NestFactory.createApplicationContext(AppModule.in(work), { logger: ['error'] });
const jobs = app.get(JobReactorClient);
const distributor = app.get(JobReactorDistributor);
const librarian = app.get(Librarian);
const catalogue = app.get(Catalogue);

const stop = new AbortController();
process.once('SIGINT', () => stop.abort('interrupted'));
process.once('SIGTERM', () => stop.abort('interrupted'));
const patience = setTimeout(() => stop.abort(`nothing was indexed for ${PATIENCE / 1000} s`), PATIENCE);
const nodes = new NodeProcesses((await distributor.address()).port, work, (what) => stop.abort(what));
let killed: Promise<void> | undefined;

librarian.progress.subscribe(showProgress);
librarian.indexed.subscribe(() => {
  patience.refresh();
  if (!killed && catalogue.progress().done >= expected.size / 3) killed = killBusiestNode();
});

try {
  console.log(`${expected.size} Markdown files under ${folder}, indexed by jobs on two nodes`);
  const started = performance.now();
  for (const name of NODES) nodes.start(name);
  await Promise.race([indexWithJobs(), once(stop.signal, 'abort')]);
  const seconds = secondsSince(started);
  await killed;
  if (stop.signal.aborted) say(`Stopped: ${stop.signal.reason}`);
  if (stop.signal.reason === 'interrupted') process.exitCode = 130;
  else process.exitCode = showOutcome(seconds) && !stop.signal.aborted ? 0 : 1;
} finally {
  clearTimeout(patience);
  await nodes.endAll();
  await app.close();
  catalogue.close();
  await rm(work, { recursive: true, force: true });
}

async function indexWithJobs(): Promise<void> {
  const args = { catalogue: catalogue.path };
  const report = await jobs.enqueue(ReportProgress, args, { after: '100ms', period: '250ms' });
  await jobs.run(ScanFolder, { folder });
  // The report cancels itself when all is done, so this is how it ends well.
  await report.result().catch((error: unknown) => {
    if (!(error instanceof JobCancelled)) throw error;
  });
  showProgress(catalogue.progress());
}

async function killBusiestNode(): Promise<void> {
  const [busiest] = distributor.nodes().toSorted((a, b) => a.freeSlots - b.freeSlots);
  const name = busiest?.name ?? 'left';
  say(`Node '${name}' is killed with SIGKILL and started again`);
  await nodes.end(name, 'SIGKILL');
  if (!stop.signal.aborted) nodes.start(name);
}

/** The table, and whether the catalogue is what the plain loop made of the same files. */
function showOutcome(seconds: string): boolean {
  const rows = catalogue.rows();
  const found = new Set(rows.map(({ file }) => file));
  const lost = [...expected.keys()].filter((file) => !found.has(file));
  const differing = rows.filter(({ file, outcome }) => !isDeepStrictEqual(outcome, expected.get(file)));
  const entries = rows.flatMap(({ outcome }) => ('error' in outcome ? [] : [outcome]));
  const again = rows.filter(({ crashed }) => crashed).length;
  showTable({
    files: expected.size,
    'not readable': rows.length - entries.length,
    words: entries.reduce((sum, { words }) => sum + words, 0),
    'near-duplicates': countNearDuplicates(entries),
    jobs: `${rows.length + 2} (a scan, a periodic report, one for each file)`,
    'jobs per node': NODES.map((name) => `${name} ${rows.filter(({ node }) => node === name).length}`).join(', '),
    retries: rows.reduce((sum, { attempts }) => sum + attempts - 1, 0) - again,
    'runs again': `${again} (were running when their node was killed)`,
    lost: lost.length,
    seconds: `${seconds} (the plain loop ${loopSeconds})`,
  });
  for (const file of lost.slice(0, 10)) console.error(`Lost: ${file}`);
  for (const { file } of differing.slice(0, 10)) console.error(`Not what the plain loop found: ${file}`);
  if (rows.length !== found.size) console.error(`${rows.length} jobs for ${found.size} files`);
  const isSame = lost.length === 0 && differing.length === 0 && rows.length === found.size;
  console.log(`\nlost ${lost.length}; the catalogue ${isSame ? 'is what' : 'DIFFERS from what'} a plain loop makes`);
  return isSame;
}

function secondsSince(start: number): string {
  return ((performance.now() - start) / 1000).toFixed(1);
}

function fail(why: string): never {
  console.error(why);
  process.exit(1);
}
