import { PostgresBackend } from '@agendajs/postgres-backend';
import { Agenda } from 'agenda';
import pg from 'pg';
import { CONCURRENCY, QUEUE, type Args, type ContenderModule } from './contender.ts';

/** LISTEN/NOTIFY wakes it; for jobs that were deferred it polls, by default every 5 s. */
function agenda(url: string): Agenda {
  return new Agenda({
    backend: new PostgresBackend({ poolConfig: { connectionString: url, max: 20 } }),
    processEvery: 100,
    maxConcurrency: CONCURRENCY,
    defaultConcurrency: CONCURRENCY,
    removeOnComplete: true,
  });
}

export const contender: ContenderModule<object> = {
  async producer({ postgres }) {
    const made = agenda(postgres);
    await made.ready;
    const pool = new pg.Pool({ connectionString: postgres, max: 1 });
    return {
      add: ({ args, dueAt }) =>
        dueAt === undefined ? made.now(QUEUE, args) : made.schedule(new Date(dueAt), QUEUE, args),
      async remaining() {
        const { rows } = await pool.query<{ n: number }>('SELECT count(*)::int AS n FROM agenda_jobs');
        return rows[0]?.n ?? 0;
      },
      async close() {
        await pool.end();
        await made.stop();
      },
    };
  },

  async worker({ postgres }, _options, handle) {
    const made = agenda(postgres);
    made.define<Args>(QUEUE, async (job) => handle(job.attrs.data));
    await made.ready;
    await made.start();
    return { close: () => made.stop() };
  },
};
