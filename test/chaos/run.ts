import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { givenServer, ownServer, SQLITE, type Place } from './databases.js';
import { chaos, removed } from './harness.js';
import { markdown, replay } from './report.js';

/*
 * The long form of the kill harness: npm run test:chaos -- --cycles 1000 --storage sqlite|postgres|mysql [--seed N]. A
 * server is started for it, unless --url names one, which is then not killed. Prints what it did as Markdown, and what
 * it found.
 */
const { values } = parseArgs({
  options: {
    cycles: { type: 'string', default: '100' },
    storage: { type: 'string', default: 'sqlite' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    rate: { type: 'string', default: '250' },
    pace: { type: 'string', default: '500' },
    url: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
});

const whole = (name: 'cycles' | 'seed' | 'rate' | 'pace'): number => {
  const value = Number(values[name]);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} is a whole number, not ${values[name]}`);
  return value;
};
const place = await placeOf(values.storage, values.url);

const folder = await mkdtemp(join(tmpdir(), 'job-reactor-chaos-'));
const log = (line: string): void => console.log(line);
const settings = { cycles: whole('cycles'), seed: whole('seed'), rate: whole('rate'), pace: whole('pace') };
const given = { ...settings, ...place.settings, folder, log };
log(replay(given));
const report = await chaos(given).finally(() => place.end());

log(`\n${markdown(report, place.durability)}\n`);
const failed = report.violations.length > 0 || typeof report.drained === 'string';
for (const { rule, id, why } of report.violations.slice(0, 50)) log(`${rule}: ${id}: ${why}`);
if (failed) log(`\nFailed. Replay: ${replay(report.settings)}`);
if (failed || values.keep) log(`The journals are in ${folder}`);
else await removed(folder);
process.exit(failed ? 1 : 0);

async function placeOf(storage: string, url: string | undefined): Promise<Place> {
  if (storage === 'sqlite') return SQLITE;
  if (storage !== 'postgres' && storage !== 'mysql')
    throw new Error(`--storage is sqlite, postgres or mysql, not ${storage}`);
  if (url !== undefined) return givenServer(storage, url);
  const own = await ownServer(storage);
  if ('reason' in own) throw new Error(`No ${storage} of its own: ${own.reason}. Give one with --url.`);
  return own;
}
