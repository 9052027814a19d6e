import type { Progress } from './catalogue.js';

const WIDTH = 40;
/** Without a terminal: milliseconds between two lines. */
const PAUSE = 2_000;
let shownAt = -Infinity;

/** On a terminal a bar that redraws itself, elsewhere a line now and then. */
export function showProgress({ done, total }: Progress): void {
  const isEnd = done === total;
  const bar = '#'.repeat(total ? Math.round((done / total) * WIDTH) : 0).padEnd(WIDTH, '.');
  const line = `[${bar}] ${done} of ${total ?? '?'} files`;
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${line}${isEnd ? '\n' : ''}`);
  else if (isEnd || performance.now() - shownAt >= PAUSE) {
    shownAt = performance.now();
    console.log(line);
  }
}

/** A line that takes the place of the bar; the next bar comes below it. */
export function say(line: string): void {
  console.log(process.stdout.isTTY ? `\r\x1b[K${line}` : line);
}

export function showTable(rows: Record<string, string | number>): void {
  console.log('');
  const width = Math.max(...Object.keys(rows).map((name) => name.length)) + 2;
  for (const [name, value] of Object.entries(rows)) console.log(`  ${name.padEnd(width)}${value}`);
}
