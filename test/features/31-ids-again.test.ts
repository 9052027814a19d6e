import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { Job, OnSuccessFeedback, type Feedback, type JobHandle } from '../../lib/index.js';
import { databaseKinds } from '../support/databases.js';
import { eventually, Facts, reactors } from '../support/reactor.js';

const system = reactors();

function work(ran: Facts<number>) {
  @Injectable()
  class Work {
    @Job('work')
    work(@Payload() n: number): number {
      ran.tell(n);
      if (n < 0) throw new Error('It fails, and is kept.');
      return n;
    }
  }
  return Work;
}

function told(heard: Facts<unknown>) {
  @Injectable()
  class Told {
    @OnSuccessFeedback('work')
    done({ result }: Feedback): void {
      heard.tell(result);
    }
  }
  return Told;
}

/** An id is remembered for `dedupRetention`, and then it is free: what is enqueued with it is a job like any other. */
describe.each(['memory', ...databaseKinds] as const)('an id, with an outbox and nodes in %s', (kind) => {
  it.each(['memory', 'the same'] as const)('is free again after dedupRetention, nodes in %s', async (nodes) => {
    const jobs = { retention: { dedupRetention: 100 } };
    // It counts from the end of the job, and the application's from its hand-over: the node is not to be the last to know it.
    const shorter = { retention: { dedupRetention: 0 } };
    const outbox = kind === 'memory' ? undefined : await system.database(kind);
    const storage = nodes === 'memory' || kind === 'memory' ? 'memory' : await system.database(kind);
    const [ran, heard] = [new Facts<number>(), new Facts<unknown>()];
    const web = await system.application({ ...(outbox ? { outbox } : {}), jobs, providers: [told(heard)] });
    await system.node({ to: web, storage, jobs: shorter, providers: [work(ran)] });
    const id = randomUUID();
    let job: JobHandle<'work'>;
    for (let n = 0; n < 4; n++) {
      await eventually('the id is free', async () => {
        job = await web.client.enqueue('work', n, { id });
        return !job.duplicate;
      });
      expect(await job!.result({ timeout: '10s' })).toBe(n);
    }
    expect(ran.all).toEqual([0, 1, 2, 3]);
    await eventually('each was told', () => heard.all.length === 4);
    expect(heard.all).toEqual([0, 1, 2, 3]);
    await eventually('nothing is left', () => web.distributor.backlog().unconfirmed === 0);
  });

  // A node in a database that others may share can't tell whether the outbox remembers it as well.
  it.runIf(kind === 'memory' || kind === 'SQLite')(
    'is free for the node too, whatever became of the job that had it',
    async () => {
      const jobs = { retention: { dedupRetention: 100 } };
      const outbox = kind === 'memory' ? undefined : await system.database(kind);
      const storage = kind === 'memory' ? 'memory' : await system.database(kind);
      const ran = new Facts<number>();
      const web = await system.application({ ...(outbox ? { outbox } : {}), jobs });
      await system.node({ to: web, storage, jobs, providers: [work(ran)] });
      const id = randomUUID();
      // The node remembers it from its end, the application from its hand-over, which is earlier by as much as it waited.
      for (const [n, options] of [
        [-1, {}],
        [1, { after: 300 }],
        [2, {}],
      ] as const) {
        let job: JobHandle<'work'>;
        await eventually('the id is free', async () => {
          job = await web.client.enqueue('work', n, { id, maxAttempts: 1, ...options });
          return !job.duplicate;
        });
        const result = job!.result({ timeout: '10s' });
        if (n < 0) await expect(result).rejects.toMatchObject({ code: 'JOB_FAILED' });
        else expect(await result).toBe(n);
      }
      expect(ran.all).toEqual([-1, 1, 2]);
    },
  );
});
