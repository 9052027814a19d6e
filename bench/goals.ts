import type { Metric } from './measure.ts';

/** What the project wants to reach; exactly one of `atLeast` and `atMost`. */
export interface Goal {
  configuration: string;
  what: string;
  text: string;
  ours: string;
  metric: Metric;
  /** The best of them counts; without any the figure itself. */
  rivals?: readonly string[];
  atLeast?: number;
  atMost?: number;
}

const POSTGRES = ['bullmq-postgres', 'pg-boss', 'graphile-worker', 'graphile-worker-batch', 'agenda'];

const MEMORY = { configuration: 'memory', ours: 'memory' };
const SQLITE = { configuration: 'node on SQLite', ours: 'sqlite' };
const ONE_POSTGRES = { configuration: 'one PostgreSQL', ours: 'postgres' };

const flow = { what: 'produce and consume', metric: 'flow' } as const;
const single = { what: 'single enqueues', metric: 'single' } as const;
const start = { what: 'enqueue → start p50', metric: 'start p50' } as const;

function late(place: { configuration: string; ours: string }, p50: number, p99: number): Goal[] {
  const what = 'lateness';
  return [
    { ...place, what: `${what} p50, ms`, metric: 'late p50', text: `≤ ${p50}`, atMost: p50 },
    { ...place, what: `${what} p99, ms`, metric: 'late p99', text: `≤ ${p99}`, atMost: p99 },
    { ...place, what: `earliest, ms`, metric: 'late min', text: '≥ 0', atLeast: 0 },
  ];
}

export const goals: readonly Goal[] = [
  { ...MEMORY, ...flow, text: '≥ 3 × bee-queue', rivals: ['bee-queue'], atLeast: 3 },
  { ...MEMORY, ...flow, text: '≥ 5.5 × BullMQ on Redis', rivals: ['bullmq-redis'], atLeast: 5.5 },
  { ...MEMORY, ...start, text: '≤ 0.35 × bee-queue', rivals: ['bee-queue'], atMost: 0.35 },
  {
    ...MEMORY,
    what: 'enqueue → result p50',
    metric: 'result p50',
    text: '≤ 0.4 × bee-queue',
    rivals: ['bee-queue'],
    atMost: 0.4,
  },
  { ...SQLITE, ...flow, text: '≥ 2.5 × BullMQ on Redis', rivals: ['bullmq-redis'], atLeast: 2.5 },
  { ...SQLITE, ...single, text: '≥ 1 × BullMQ on Redis', rivals: ['bullmq-redis'], atLeast: 1 },
  { ...ONE_POSTGRES, ...single, text: '≥ 10 × the best on PostgreSQL', rivals: POSTGRES, atLeast: 10 },
  { ...ONE_POSTGRES, ...single, text: '≥ 1 × BullMQ on Redis', rivals: ['bullmq-redis'], atLeast: 1 },
  { ...ONE_POSTGRES, ...flow, text: '≥ 15 × the best on PostgreSQL', rivals: POSTGRES, atLeast: 15 },
  { ...ONE_POSTGRES, ...flow, text: '≥ 1.5 × BullMQ on Redis', rivals: ['bullmq-redis'], atLeast: 1.5 },
  {
    configuration: 'the same with declared feedback',
    ours: 'postgres-feedback',
    ...flow,
    text: '≥ 10 × the best on PostgreSQL',
    rivals: POSTGRES,
    atLeast: 10,
  },
  {
    configuration: 'one PostgreSQL',
    ours: 'postgres-node',
    what: "drain from the node's storage",
    metric: 'drain',
    text: '≥ 1 × graphile-worker in batches',
    rivals: ['graphile-worker-batch'],
    atLeast: 1,
  },
  {
    ...ONE_POSTGRES,
    what: 'drain from the outbox',
    metric: 'drain',
    text: '≥ 0.6 × graphile-worker in batches',
    rivals: ['graphile-worker-batch'],
    atLeast: 0.6,
  },
  { ...ONE_POSTGRES, ...start, text: '≤ 1 × graphile-worker', rivals: ['graphile-worker'], atMost: 1 },
  ...late(MEMORY, 1, 3),
  ...late(SQLITE, 2, 6),
  ...late(ONE_POSTGRES, 3, 10),
  { ...SQLITE, what: 'RSS of pending jobs, MiB', metric: 'rss', text: '≤ 40 for 100,000', atMost: 40 },
  { ...ONE_POSTGRES, what: 'RSS of pending jobs, MiB', metric: 'rss', text: '≤ 40 for 100,000', atMost: 40 },
  { ...MEMORY, what: 'RSS of pending jobs, MiB', metric: 'rss', text: '≤ 63 for 100,000, 3 × the payload', atMost: 63 },
  ...[MEMORY, SQLITE].map((place): Goal => ({
    ...place,
    what: 'statements a minute, idle',
    metric: 'statements',
    text: '0',
    atMost: 0,
  })),
  {
    ...ONE_POSTGRES,
    what: 'statements a minute, idle',
    metric: 'statements',
    text: '≤ 12, the leases of both processes',
    atMost: 12,
  },
  ...[MEMORY, SQLITE, ONE_POSTGRES].map((place): Goal => ({
    ...place,
    what: 'processor, s a minute, idle',
    metric: 'cpu',
    text: '≤ 0.1',
    atMost: 0.1,
  })),
  ...[MEMORY, SQLITE, ONE_POSTGRES].map((place): Goal => ({
    ...place,
    what: 'event loop p99 under load, ms',
    metric: 'loop p99',
    text: '≤ 20',
    atMost: 20,
  })),
];
