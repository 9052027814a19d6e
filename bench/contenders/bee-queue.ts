import BeeQueue from 'bee-queue';
import { CONCURRENCY, QUEUE, type Args, type ContenderModule } from './contender.ts';

export interface Options {
  /** Milliseconds; bee-queue's default is 1,000. */
  delayedDebounce?: number;
}

interface Saved {
  on(event: 'succeeded' | 'failed', listener: (value: unknown) => void): void;
}

/** Events and the map of jobs cost something and are only for results: off where none is awaited, as its README says. */
const without = { getEvents: false, sendEvents: false, storeJobs: false };

export const contender: ContenderModule<Options> = {
  async producer({ redis }) {
    const settings = { redis: { url: redis } as object, isWorker: false, removeOnSuccess: true };
    const queue = new BeeQueue<Args>(QUEUE, { ...settings, ...without });
    await queue.ready();
    let listening: BeeQueue<Args> | undefined;
    return {
      add: ({ args, dueAt }) => (dueAt ? queue.createJob(args).delayUntil(dueAt) : queue.createJob(args)).save(),
      addBulk: (jobs) =>
        queue.saveAll(
          jobs.map(({ args, dueAt }) => (dueAt ? queue.createJob(args).delayUntil(dueAt) : queue.createJob(args))),
        ),
      async result(args) {
        listening ??= await new BeeQueue<Args>(QUEUE, settings).ready();
        const job = listening.createJob(args);
        return new Promise((resolve, reject) => {
          (job as unknown as Saved).on('succeeded', resolve);
          (job as unknown as Saved).on('failed', reject);
          job.save().catch(reject);
        });
      },
      async remaining() {
        const { waiting, active, delayed, succeeded, failed } = await queue.checkHealth();
        return waiting + active + delayed + succeeded + failed;
      },
      async close() {
        await listening?.close();
        await queue.close();
      },
    };
  },

  async worker({ redis }, { delayedDebounce }, handle) {
    const queue = new BeeQueue<Args>(QUEUE, {
      redis: { url: redis } as object,
      removeOnSuccess: true,
      activateDelayedJobs: true,
      getEvents: false,
      storeJobs: false,
      ...(delayedDebounce === undefined ? {} : { delayedDebounce }),
    });
    await queue.ready();
    queue.process(CONCURRENCY, async (job: { data: Args }) => handle(job.data));
    return { close: () => queue.close(2000) };
  },
};
