import type { Options as BeeQueue } from './contenders/bee-queue.ts';
import type { Options as BullMQ } from './contenders/bullmq.ts';
import type { Options as GraphileWorker } from './contenders/graphile-worker.ts';
import type { Options as JobReactor } from './contenders/job-reactor.ts';
import type { Options as PgBoss } from './contenders/pg-boss.ts';

export const WORKS = ['W1', 'W2', 'W3', 'W4', 'W5', 'W6'] as const;
export type Work = (typeof WORKS)[number];

/** Parts of a work that not every contender takes part in. */
export type Part = 'bulk' | 'drain' | 'flow' | 'result';

export interface Contender {
  id: string;
  /** Its row in the tables. */
  title: string;
  /** What is left of a job it has accepted when a process or the machine dies. */
  durability: string;
  ours: boolean;
  /** File in contenders/, and what it is told. */
  file: string;
  options: object;
  server: 'none' | 'postgres' | RedisMode;
  works: readonly Work[];
  without?: readonly Part[];
  /** W1: jobs due in an hour, with the worker connected, since there the worker's storage accepts them. */
  acceptedByWorker?: boolean;
  /** W2, drain: the worker's own storage holds the backlog, and the worker is started again. */
  backlogInWorker?: boolean;
  /** Jobs of produce and consume at most: with more it begins none while they come, and none for as long as is measured. */
  flowMost?: number;
  /** Left out of a quick run. */
  slow?: boolean;
}

export type RedisMode = 'redis' | 'redis, AOF everysec' | 'redis, AOF always';

const ALL = WORKS;
const FLOW: readonly Work[] = ['W1', 'W2', 'W3'];

function ours(
  id: string,
  title: string,
  durability: string,
  options: JobReactor,
  more: Partial<Contender> = {},
): Contender {
  const server = options.node === 'postgres' || options.outbox === 'postgres' ? 'postgres' : 'none';
  return {
    id,
    title: `**JobReactor**, ${title}`,
    durability,
    ours: true,
    file: 'job-reactor',
    options,
    server,
    works: ALL,
    ...more,
  };
}

function bullmq(
  id: string,
  title: string,
  durability: string,
  server: Contender['server'],
  works: readonly Work[] = ALL,
): Contender {
  const options: BullMQ = { backend: server === 'postgres' ? 'postgres' : 'redis' };
  return { id, title: `BullMQ, ${title}`, durability, ours: false, file: 'bullmq', options, server, works };
}

const NOTHING = 'lost with the process that holds it';
const REDIS = 'lost with Redis';
const COMMIT = 'COMMIT, fsync on';

const POSTGRES: JobReactor = { outbox: 'postgres', node: 'postgres' };
const SQLITE: JobReactor = { outbox: 'memory', node: 'sqlite', confirm: 'stored' };
const HOLDS_BACKLOG: Partial<Contender> = { backlogInWorker: true, works: ['W2'], without: ['flow'] };

/** In the order of the tables. Rivals as their own documentation recommends for speed; bench/README.md says where. */
export const contenders: readonly Contender[] = [
  ours('memory', 'memory', NOTHING, { outbox: 'memory', node: 'memory' }),
  ours('sqlite', 'node on SQLite', 'COMMIT of the node, synchronous=FULL, then enqueue() resolves', SQLITE, {
    acceptedByWorker: true,
    without: ['drain'],
  }),
  ours('sqlite-node', 'node on SQLite, backlog in its file', 'COMMIT, synchronous=FULL', SQLITE, HOLDS_BACKLOG),
  ours('postgres', 'outbox and node on PostgreSQL', `${COMMIT}, fenced`, POSTGRES),
  ours(
    'postgres-node',
    "node on PostgreSQL, backlog in the node's storage",
    `${COMMIT}, fenced`,
    POSTGRES,
    HOLDS_BACKLOG,
  ),
  ours(
    'postgres-feedback',
    'the same with declared feedback',
    `${COMMIT}, fenced; so is every feedback`,
    { ...POSTGRES, feedback: true },
    {
      works: ['W2'],
      without: ['bulk', 'drain'],
    },
  ),
  bullmq('bullmq-redis', 'Redis', REDIS, 'redis'),
  {
    ...bullmq('bullmq-everysec', 'Redis, AOF everysec', 'up to 1 s lost with the machine', 'redis, AOF everysec', FLOW),
    slow: true,
  },
  bullmq('bullmq-always', 'Redis, AOF always', 'fsync before the reply', 'redis, AOF always', FLOW),
  {
    id: 'bee-queue',
    title: 'bee-queue, Redis',
    durability: REDIS,
    ours: false,
    file: 'bee-queue',
    options: {} satisfies BeeQueue,
    server: 'redis',
    works: ALL,
  },
  {
    id: 'bee-queue-1ms',
    title: 'bee-queue, Redis, delayedDebounce 1 ms',
    durability: REDIS,
    ours: false,
    file: 'bee-queue',
    options: { delayedDebounce: 1 } satisfies BeeQueue,
    server: 'redis',
    works: ['W4'],
  },
  bullmq('bullmq-postgres', 'PostgreSQL', COMMIT, 'postgres'),
  {
    id: 'pg-boss',
    title: 'pg-boss',
    durability: COMMIT,
    ours: false,
    file: 'pg-boss',
    options: { batchSize: 64, localConcurrency: 1 } satisfies PgBoss,
    server: 'postgres',
    works: ALL,
    without: ['result'],
  },
  {
    id: 'pg-boss-batch',
    title: 'pg-boss, batches of 1,000',
    durability: COMMIT,
    ours: false,
    file: 'pg-boss',
    options: { batchSize: 1_000, localConcurrency: 1 } satisfies PgBoss,
    server: 'postgres',
    works: ['W2'],
    without: ['flow'],
  },
  {
    id: 'graphile-worker',
    title: 'graphile-worker',
    durability: COMMIT,
    ours: false,
    file: 'graphile-worker',
    options: { batch: false } satisfies GraphileWorker,
    server: 'postgres',
    works: ALL,
    without: ['result'],
  },
  {
    id: 'graphile-worker-batch',
    title: 'graphile-worker, local queue and batches',
    durability: COMMIT,
    ours: false,
    file: 'graphile-worker',
    options: { batch: true } satisfies GraphileWorker,
    server: 'postgres',
    works: ALL,
    without: ['result'],
  },
  {
    id: 'agenda',
    title: 'Agenda, PostgreSQL',
    durability: COMMIT,
    ours: false,
    file: 'agenda',
    options: {},
    server: 'postgres',
    works: ALL,
    without: ['result', 'bulk'],
    flowMost: 5_000,
  },
];
