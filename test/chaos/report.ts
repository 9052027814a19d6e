import { execFileSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import type { ChaosSettings, Report } from './harness.js';

/** What to run to see a failing seed again. */
export const replay = ({ storage, cycles, seed, rate, pace }: ChaosSettings): string =>
  `npm run test:chaos -- --storage ${storage} --cycles ${cycles} --seed ${seed} --rate ${rate} --pace ${pace}`;

/** A run as docs/reliability.md shows it. */
export function markdown(report: Report, durability: string): string {
  const { settings, counts, kills, weather, failpoints, took, drained, violations } = report;
  const n = settings.cycles;
  const list = (of: Record<string, number>): string =>
    Object.entries(of)
      .map(([what, count]) => `${count} ${what}`)
      .join(', ');
  const rows = [
    ['run', `\`${replay(settings)}\``],
    ['commit', `${commit()}, ${new Date().toISOString().slice(0, 10)}`],
    [
      'machine',
      `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), ${gibibytes()} GiB, Node ${process.version}`,
    ],
    ['storage', durability],
    [
      'kill -9',
      `${n}: ${list(kills)}; ${failpoints} of them at a moment before or after a commit, in ${minutes(took)}`,
    ],
    ['beside them', list(weather) || 'nothing'],
    [
      'jobs',
      `${counts.enqueued} enqueued: ${counts.accepted} accepted, ${counts.rejected} rejected, ${counts.unknown} never answered`,
    ],
    ['starts', `${counts.starts}; ${counts.duplicatesInWindow} of them second runs in the named window`],
    [
      'ends',
      `${counts.succeeded} succeeded, ${counts.failed} failed, ${counts.cancelled} cancelled, ${counts.dead} dead`,
    ],
    ['feedbacks', `${counts.feedbacks}, of which ${counts.feedbacksAgain} came a second time`],
    [
      'all at an end',
      typeof drained === 'string' ? `never: ${drained}` : `${(drained / 1000).toFixed(1)} s after the last kill`,
    ],
    ['violations', String(violations.length)],
  ];
  return [
    `| | |`,
    `| --- | --- |`,
    ...rows.map(([name, value]) => `| ${name} | ${value} |`),
    '',
    `No loss in ${n} independent kills bounds the chance of a loss by one kill at ${(300 / n).toPrecision(2)} % (3/N, with 95 % confidence), and says no more than that.`,
  ].join('\n');
}

function commit(): string {
  try {
    const git = (...args: string[]): string =>
      execFileSync('git', args, { cwd: import.meta.dirname })
        .toString()
        .trim();
    return `${git('rev-parse', '--short', 'HEAD')}${git('status', '--porcelain', '--', 'lib') ? ' with changes' : ''}`;
  } catch {
    return 'unknown';
  }
}

const gibibytes = (): number => Math.round(totalmem() / 2 ** 30);
const minutes = (milliseconds: number): string => `${(milliseconds / 60_000).toFixed(1)} minutes`;
