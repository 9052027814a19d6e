import { PgBoss } from 'pg-boss';
import { CONCURRENCY, QUEUE, type Args, type ContenderModule } from './contender.ts';

export interface Options {
  batchSize: number;
  localConcurrency: number;
}

const SCHEMA = 'pgboss';

/** LISTEN/NOTIFY on: without it a job waits for the next poll, half a second at least. */
function boss(url: string): PgBoss {
  const made = new PgBoss({ connectionString: url, schema: SCHEMA, max: 20, useListenNotify: true });
  made.on('error', (error) => console.error('pg-boss:', error));
  return made;
}

const after = (dueAt: number | undefined): { startAfter?: Date } =>
  dueAt === undefined ? {} : { startAfter: new Date(dueAt) };

export const contender: ContenderModule<Options> = {
  async producer({ postgres }) {
    const made = boss(postgres);
    await made.start();
    await made.createQueue(QUEUE, { notify: true });
    return {
      add: ({ args, dueAt }) => made.send(QUEUE, args, after(dueAt)),
      addBulk: (jobs) =>
        made.insert(
          QUEUE,
          jobs.map(({ args, dueAt }) => ({ data: args, ...after(dueAt) })),
        ),
      async remaining() {
        const { rows } = await made
          .getDb()
          .executeSql(`SELECT count(*)::int AS n FROM ${SCHEMA}.job WHERE name = $1 AND state < 'completed'`, [QUEUE]);
        return (rows[0] as { n: number }).n;
      },
      close: () => made.stop({ graceful: false }),
    };
  },

  async worker({ postgres }, { batchSize, localConcurrency }, handle) {
    const made = boss(postgres);
    await made.start();
    const options = {
      batchSize,
      localConcurrency,
      pollingIntervalSeconds: 0.5,
      notifyPollingIntervalSeconds: 0.5,
      burstWhenBatchFull: true,
    };
    if (batchSize * localConcurrency < CONCURRENCY) throw new Error('pg-boss would run fewer jobs at once');
    await made.work<Args>(QUEUE, options, async (jobs) => {
      for (const { data } of jobs) handle(data);
    });
    return { close: () => made.stop({ graceful: false }) };
  },
};
