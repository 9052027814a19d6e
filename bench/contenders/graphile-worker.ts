import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import { CONCURRENCY, QUEUE, type Args, type ContenderModule } from './contender.ts';

export interface Options {
  /** The local queue and the batching of completions that its page about performance recommends. */
  batch: boolean;
}

const logger = new Logger(() => () => undefined);
const BATCH = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };

const at = (dueAt: number | undefined): { runAt?: Date } => (dueAt === undefined ? {} : { runAt: new Date(dueAt) });

export const contender: ContenderModule<Options> = {
  async producer({ postgres }) {
    const utils = await makeWorkerUtils({ connectionString: postgres, maxPoolSize: 20, logger });
    await utils.migrate();
    return {
      add: ({ args, dueAt }) => utils.addJob(QUEUE, args, at(dueAt)),
      addBulk: (jobs) =>
        utils.addJobs(jobs.map(({ args, dueAt }) => ({ identifier: QUEUE, payload: args, ...at(dueAt) }))),
      remaining: () =>
        utils.withPgClient(async (client) => {
          const { rows } = await client.query<{ n: number }>('SELECT count(*)::int AS n FROM graphile_worker.jobs');
          return rows[0]?.n ?? 0;
        }),
      close: async () => utils.release(),
    };
  },

  async worker({ postgres }, { batch }, handle) {
    const runner = await run({
      preset: {
        worker: { connectionString: postgres, concurrentJobs: CONCURRENCY, maxPoolSize: 20, ...(batch ? BATCH : {}) },
      },
      taskList: { [QUEUE]: (payload) => handle(payload as Args) },
      logger,
      noHandleSignals: true,
    });
    runner.promise.catch((error: unknown) => console.error('graphile-worker:', error));
    return { close: () => runner.stop() };
  },
};
