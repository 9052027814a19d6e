import { parseArgs } from 'node:util';
import type { Side } from '../../lib/protocol/message-entry.js';
import { fuzz, MOST_GROWN, verdict } from './fuzzer.js';
import { MUTATIONS } from './mutations.js';

/*
 * The long form of the fuzzer: npm run test:fuzz -- --frames 10000000 [--seed N] [--only "distributor 123"] [--mutation "fields unchecked"]. Prints what
 * it did; the same seed sends the same bytes.
 */
const { values } = parseArgs({
  options: {
    frames: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    only: { type: 'string' },
    mutation: { type: 'string' },
  },
});
const [frames, seed] = [Number(values.frames), Number(values.seed)];
if (!(frames >= 1) || !Number.isSafeInteger(seed)) throw new Error('--frames and --seed are whole numbers');
const [to, burst] = values.only?.split(' ') ?? [];
const only = to === undefined ? {} : { only: { to: to as Side, burst: Number(burst) } };

console.log(`npm run test:fuzz -- --frames ${frames} --seed ${seed}`);
const mutation = MUTATIONS.find((one) => one === values.mutation);
const report = await fuzz({ frames, seed, ...only, ...(mutation && { mutation }), log: (line) => console.log(line) });
console.log(JSON.stringify(report, null, 2));
const wrong = verdict(report);
const { application, nodes } = report.grown;
if (Math.max(application.rss, nodes.rss) > MOST_GROWN) wrong.push('the RSS of one has grown too much');
if (report.longestStall > 50) wrong.push(`the event loop stood still for ${Math.round(report.longestStall)} ms`);
if (wrong.length > 0) console.log(`Failed: ${wrong.slice(0, 10).join('\n')}`);
process.exit(wrong.length > 0 ? 1 : 0);
