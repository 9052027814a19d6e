import { createPostgresBackend, Queue, QueueEvents, runMigrations, Worker, type Job } from 'bullmq';
import { Redis } from 'ioredis';
import pg from 'pg';
import { CONCURRENCY, QUEUE, type Args, type ContenderModule, type NewJob } from './contender.ts';

export interface Options {
  backend: 'redis' | 'postgres';
}

const remove = { removeOnComplete: true, removeOnFail: true };

/** Half a pool each for producer and worker: the documentation says to give a backend connections for its concurrency. */
const pool = (url: string): { connectionString: string; max: number } => ({ connectionString: url, max: 20 });

function options(job: NewJob): { delay?: number } {
  return job.dueAt === undefined ? {} : { delay: Math.max(0, job.dueAt - Date.now()) };
}

export const contender: ContenderModule<Options> = {
  async producer({ redis, postgres }, { backend }) {
    if (backend === 'postgres') await migrate(postgres);
    const queue = (
      backend === 'redis'
        ? new Queue(QUEUE, { connection: new Redis(redis), defaultJobOptions: remove })
        : new Queue(QUEUE, { connection: pool(postgres), defaultJobOptions: remove }, createPostgresBackend)
    ) as Queue<Args>;
    await queue.waitUntilReady();
    let events: QueueEvents | undefined;
    const listen = async (): Promise<QueueEvents> => {
      const made = (
        backend === 'redis'
          ? new QueueEvents(QUEUE, { connection: new Redis(redis, { maxRetriesPerRequest: null }) })
          : new QueueEvents(QUEUE, { connection: pool(postgres) }, createPostgresBackend)
      ) as QueueEvents;
      await made.waitUntilReady();
      return made;
    };
    return {
      add: (job) => queue.add('noop', job.args, options(job)),
      addBulk: (jobs) => queue.addBulk(jobs.map((job) => ({ name: 'noop', data: job.args, opts: options(job) }))),
      async result(args) {
        events ??= await listen();
        // One that is removed at once may be gone before it is asked for.
        const job = (await queue.add('noop', args, { removeOnComplete: 1_000 })) as Job;
        return job.waitUntilFinished(events);
      },
      async remaining() {
        const counts = await queue.getJobCounts('waiting', 'active', 'delayed', 'prioritized', 'completed', 'failed');
        return Object.values(counts).reduce((sum, count) => sum + count, 0);
      },
      async close() {
        await events?.close();
        await queue.close();
      },
    };
  },

  async worker({ redis, postgres }, { backend }, handle) {
    const run = async (job: { data: Args }): Promise<void> => handle(job.data);
    const common = { concurrency: CONCURRENCY, ...remove } as { concurrency: number };
    const worker =
      backend === 'redis'
        ? new Worker(QUEUE, run, { ...common, connection: new Redis(redis, { maxRetriesPerRequest: null }) })
        : new Worker(QUEUE, run, { ...common, connection: pool(postgres) }, createPostgresBackend);
    await worker.waitUntilReady();
    return { close: () => worker.close() };
  },
};

async function migrate(url: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await runMigrations(client as unknown as Parameters<typeof runMigrations>[0]);
  await client.end();
}
