import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chaos, removed } from './harness.js';
import { markdown, replay } from './report.js';

/*
 * The long form of the kill harness: npm run test:chaos -- --cycles 1000 --storage sqlite [--seed N]. Prints what it did
 * as Markdown, and what it found.
 */
const { values } = parseArgs({
  options: {
    cycles: { type: 'string', default: '100' },
    storage: { type: 'string', default: 'sqlite' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    rate: { type: 'string', default: '250' },
    pace: { type: 'string', default: '500' },
    keep: { type: 'boolean', default: false },
  },
});

const whole = (name: 'cycles' | 'seed' | 'rate' | 'pace'): number => {
  const value = Number(values[name]);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} is a whole number, not ${values[name]}`);
  return value;
};
const { storage } = values;
if (storage !== 'sqlite') throw new Error(`--storage is sqlite, not ${storage}`);

const folder = await mkdtemp(join(tmpdir(), 'job-reactor-chaos-'));
const log = (line: string): void => console.log(line);
const settings = { cycles: whole('cycles'), seed: whole('seed'), rate: whole('rate'), pace: whole('pace') };
log(replay({ ...settings, storage, folder }));
const report = await chaos({ ...settings, storage, folder, log });

log(`\n${markdown(report, 'SQLite, WAL, synchronous=FULL: a file for the outbox and one for each of two nodes')}\n`);
const failed = report.violations.length > 0 || report.drained === null;
for (const { rule, id, why } of report.violations.slice(0, 50)) log(`${rule}: ${id}: ${why}`);
if (failed) log(`\nFailed. Replay: ${replay(report.settings)}`);
if (failed || values.keep) log(`The journals are in ${folder}`);
else await removed(folder);
process.exit(failed ? 1 : 0);
