import { parseArgs } from 'node:util';
import type { Side } from '../../lib/protocol/message-entry.js';
import { fuzz } from './fuzzer.js';

/*
 * The long form of the fuzzer: npm run test:fuzz -- --frames 10000000 [--seed N] [--only "distributor 123"]. Prints what
 * it did; the same seed sends the same bytes.
 */
const { values } = parseArgs({
  options: {
    frames: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    only: { type: 'string' },
  },
});
const [frames, seed] = [Number(values.frames), Number(values.seed)];
if (!(frames >= 1) || !Number.isSafeInteger(seed)) throw new Error('--frames and --seed are whole numbers');
const [to, burst] = values.only?.split(' ') ?? [];
const only = to === undefined ? {} : { only: { to: to as Side, burst: Number(burst) } };

console.log(`npm run test:fuzz -- --frames ${frames} --seed ${seed}`);
const report = await fuzz({ frames, seed, ...only, log: (line) => console.log(line) });
const { stats } = report;
console.log(JSON.stringify(report, null, 2));
const failed = [...stats.unhandled, ...stats.failed, ...stats.lost];
if (failed.length > 0 || report.grown.application.rss > 50e6 || report.grown.nodes.rss > 50e6) {
  console.log(`Failed: ${failed.slice(0, 10).join('\n') || 'it has grown too much'}`);
  process.exit(1);
}
process.exit(0);
