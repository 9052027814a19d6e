import type { Contender } from './contenders.ts';
import { goals, type Goal } from './goals.ts';
import type { Figures, Metric } from './measure.ts';
import { median } from './statistics.ts';

/** What every repetition gave, and what went wrong. */
export class Results {
  readonly #values = new Map<string, Map<Metric, number[]>>();
  readonly failures: string[] = [];

  add({ id }: Contender, figures: Figures): void {
    const mine = this.#values.get(id) ?? new Map<Metric, number[]>();
    this.#values.set(id, mine);
    for (const [metric, value] of Object.entries(figures) as [Metric, number][]) {
      mine.set(metric, [...(mine.get(metric) ?? []), value]);
    }
  }

  values(id: string, metric: Metric): readonly number[] {
    return this.#values.get(id)?.get(metric) ?? [];
  }

  median(id: string, metric: Metric): number {
    return median(this.values(id, metric));
  }

  toJSON(): object {
    return Object.fromEntries([...this.#values].map(([id, metrics]) => [id, Object.fromEntries(metrics)]));
  }
}

interface Column {
  metric: Metric;
  title: string;
  digits?: number;
}

interface Table {
  title: string;
  note: string;
  columns: readonly Column[];
}

const TABLES: readonly Table[] = [
  {
    title: 'W1: accepting jobs, per second',
    note: 'Single awaited enqueues, 64 in flight, while no job runs; and calls with 1,000 jobs each, one after another.',
    columns: [
      { metric: 'single', title: 'single' },
      { metric: 'bulk', title: 'by 1,000' },
    ],
  },
  {
    title: 'W2: running jobs, per second',
    note:
      'A backlog that a worker finds when it starts, 64 jobs at once, from the first start to the last; and jobs that are ' +
      'enqueued (64 in flight) and run (64 at once) at the same time, from the first enqueue to the last start, or to the ' +
      'last feedback. Then, of the latter: processor time of a job in the two processes (that of the server is not in it), ' +
      'and the 99th percentile of the event-loop delay in the enqueuing process.',
    columns: [
      { metric: 'drain', title: 'drain' },
      { metric: 'flow', title: 'produce and consume' },
      { metric: 'producer µs', title: 'application, µs a job' },
      { metric: 'worker µs', title: 'worker, µs a job' },
      { metric: 'loop p99', title: 'event loop p99, ms', digits: 1 },
    ],
  },
  {
    title: 'W3: one job to an idle system, ms',
    note: 'From the call of enqueue to the start of the handler in the other process, and back to the awaited result.',
    columns: [
      { metric: 'start p50', title: 'start p50', digits: 2 },
      { metric: 'start p99', title: 'start p99', digits: 2 },
      { metric: 'result p50', title: 'result p50', digits: 2 },
    ],
  },
  {
    title: 'W4: lateness of deferred jobs, ms',
    note: "From the time a job is due to the start of its handler, by the calendar's clock; below zero is early.",
    columns: [
      { metric: 'late p50', title: 'p50', digits: 2 },
      { metric: 'late p99', title: 'p99', digits: 2 },
      { metric: 'late min', title: 'earliest', digits: 2 },
    ],
  },
  {
    title: 'W5: memory of jobs that wait for their time, MiB',
    note: 'Resident memory of the worker after a garbage collection: as it starts, idle after it has run what was enqueued in two seconds, and with the jobs that wait. And what these add to it, and to the application, once the engine has given back what it has in reserve.',
    columns: [
      { metric: 'fresh rss', title: 'fresh worker' },
      { metric: 'idle rss', title: 'idle worker' },
      { metric: 'full rss', title: 'with the jobs' },
      { metric: 'rss', title: 'jobs, worker', digits: 1 },
      { metric: 'producer rss', title: 'jobs, application', digits: 1 },
    ],
  },
  {
    title: 'W6: idle, per minute',
    note: 'Statements or commands that reach the server (or the database file), and processor time of both processes.',
    columns: [
      { metric: 'statements', title: 'statements' },
      { metric: 'cpu', title: 'processor, s', digits: 2 },
    ],
  },
];

const CLOSE = 0.15;

export function report(results: Results, contenders: readonly Contender[], facts: readonly string[]): string {
  const parts = [facts.map((fact) => `- ${fact}`).join('\n')];
  for (const table of TABLES) parts.push(...tableOf(table, results, contenders));
  parts.push(...goalTable(results, contenders));
  if (results.failures.length > 0) {
    parts.push('### Not measured', results.failures.map((failure) => `- ${failure}`).join('\n'));
  }
  return `${parts.join('\n\n')}\n`;
}

function tableOf({ title, note, columns }: Table, results: Results, contenders: readonly Contender[]): string[] {
  const rows = contenders.filter(({ id }) => columns.some(({ metric }) => results.values(id, metric).length > 0));
  if (rows.length === 0) return [];
  const head = ['', ...columns.map(({ title: name }) => name), 'what is accepted is'];
  const lines = rows.map((contender) => [
    contender.title,
    ...columns.map((column) => cell(results.values(contender.id, column.metric), column.digits ?? 0)),
    contender.durability,
  ]);
  return [`### ${title}`, note, markdown([head, ...lines])];
}

function goalTable(results: Results, contenders: readonly Contender[]): string[] {
  const lines = goals.flatMap((goal) => {
    const found = reached(goal, results);
    return found ? [[goal.configuration, goal.what, goal.text, found.text, found.met]] : [];
  });
  if (lines.length === 0) return [];
  const head = ['configuration', 'what', 'goal', 'measured', ''];
  const note = 'Ratios are of the medians above, ours ÷ rival, all from this run.';
  return contenders.some(({ ours }) => ours) ? ['### Goals', note, markdown([head, ...lines])] : [];
}

function reached(goal: Goal, results: Results): { text: string; met: string } | null {
  const mine = results.median(goal.ours, goal.metric);
  if (Number.isNaN(mine)) return null;
  if (!goal.rivals) return { text: format(mine, 2), met: verdict(mine, goal) };
  const rivals = goal.rivals
    .map((id) => ({ id, value: results.median(id, goal.metric) }))
    .filter(({ value }) => !Number.isNaN(value));
  if (rivals.length === 0) return null;
  const smallerIsBetter = goal.atMost !== undefined;
  const best = rivals.reduce((a, b) => (smallerIsBetter === a.value < b.value ? a : b));
  const ratio = mine / best.value;
  return { text: `${format(ratio, 2)} × ${best.id}`, met: verdict(ratio, goal) };
}

function verdict(value: number, { atLeast, atMost }: Goal): string {
  const met = atLeast === undefined ? value <= atMost! : value >= atLeast;
  const limit = atLeast ?? atMost!;
  if (met) return 'met';
  return Math.abs(value - limit) <= CLOSE * limit ? 'close' : '**missed**';
}

function cell(values: readonly number[], digits: number): string {
  if (values.length === 0) return '';
  const middle = format(median(values), digits);
  if (values.length === 1) return middle;
  return `${middle} (${format(Math.min(...values), digits)}–${format(Math.max(...values), digits)})`;
}

/** Rates to three figures: more would only look exact. */
function format(value: number, digits: number): string {
  if (digits > 0) return value.toFixed(digits);
  const scale = 10 ** Math.max(0, Math.floor(Math.log10(Math.abs(value) || 1)) - 2);
  return (Math.round(value / scale) * scale).toLocaleString('en');
}

function markdown(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows;
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---'))), ...body.map(line)].join('\n');
}
