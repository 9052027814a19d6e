import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../lib/clock.js';
import { Job, OnErrorFeedback, OnSuccessFeedback, type Feedback } from '../../../lib/index.js';
import { CommitInDoubt } from '../../../lib/storage/commit-in-doubt.js';
import { createStorage } from '../../../lib/storage/create-storage.js';
import type { JobStorage, JobWrite } from '../../../lib/storage/job-storage.js';
import { wrapped } from '../../support/wrapped-storage.js';
import { signal, within } from '../../support/deadline.js';
import { eventually, Facts, reactors } from '../../support/reactor.js';

function hearing(facts: Facts<Feedback>, until: Promise<unknown> = Promise.resolve()) {
  @Injectable()
  class Hears {
    @OnSuccessFeedback('work')
    @OnErrorFeedback('work')
    async hear(feedback: Feedback): Promise<void> {
      facts.tell(feedback);
      await until;
    }
  }
  return Hears;
}

const system = reactors();

describe('a job that ends in the distributor, with an outbox', () => {
  const outboxIn = async (): Promise<() => JobStorage> => {
    const option = await system.database('SQLite');
    return () => createStorage(option, systemClock);
  };

  it.each([
    ['is cancelled', 'cancelled', {}],
    ['expires', 'failed', { expires: 300 }],
  ] as const)('%s: nobody is told before that is committed', async (_, status, options) => {
    const storage = (await outboxIn())();
    const [reached, gate] = [signal(), signal()];
    const outbox = wrapped(storage, {
      async commit(writes) {
        if (writes.some(({ kind }) => kind === 'delete')) {
          reached.resolve();
          await gate.promise;
        }
        return storage.commit(writes);
      },
    });
    const told = new Facts<Feedback>();
    const web = await system.application({ outbox, providers: [hearing(told)] });
    const job = await web.client.enqueue('work', {}, options);
    const cancelled = status === 'cancelled' ? job.cancel() : null;
    await within(reached.promise, 'the commit of its end');
    expect(told.all).toEqual([]);
    gate.resolve();
    expect(await told.next()).toMatchObject({ id: `${job.id}:1`, status });
    if (cancelled) expect(await cancelled).toBe('cancelled');
    await eventually('it is heard, and forgotten', async () => {
      return (await storage.feedbacks({ after: null, limit: 1 })).length === 0;
    });
  });

  it('and is told to nobody, as the process dies: the next one is told', async () => {
    const outbox = await outboxIn();
    const [first, second] = [new Facts<Feedback>(), new Facts<Feedback>()];
    const never = new Promise(() => undefined);
    const web = await system.application({ outbox: outbox(), providers: [hearing(first, never)] });
    const job = await web.client.enqueue('work', { n: 1 });
    void job.cancel('no longer wanted');
    await first.next();
    await web.close();

    const again = await system.application({ outbox: outbox(), providers: [hearing(second)] });
    expect(await second.next()).toMatchObject({ id: `${job.id}:1`, status: 'cancelled', args: { n: 1 } });
    expect(again.distributor.backlog().unconfirmed).toBe(0);
    await again.close();

    const third = new Facts<Feedback>();
    const last = await system.application({ outbox: outbox(), providers: [hearing(third)] });
    expect(await last.client.cancel(job.id)).toBe('unknown');
    expect(third.all).toEqual([]);
  });
});

it('a job whose result comes while its row is being deleted is let go of once, and acknowledged after that', async () => {
  const storage = createStorage(await system.database('SQLite'), systemClock);
  const gate = signal();
  const deletes = new Facts<string>();
  const outbox = wrapped(storage, {
    async commit(writes) {
      for (const write of writes) if (write.kind === 'delete') deletes.tell(write.id);
      if (writes.some(({ kind }) => kind === 'delete')) await gate.promise;
      return storage.commit(writes);
    },
  });
  @Injectable()
  class Work {
    @Job('work') work(): void {}
  }
  const told = new Facts<Feedback>();
  const web = await system.application({ outbox, providers: [hearing(told)] });
  const node = await system.database('SQLite');
  await system.node({ to: web, storage: node, providers: [Work] });
  const { id } = await web.client.enqueue('work', {});
  expect(await deletes.next()).toBe(id);
  await told.next();
  gate.resolve();
  await eventually('it is let go of', () => web.distributor.backlog().unconfirmed === 0);
  const again = await web.client.enqueue('work', {});
  await told.next(({ id: feedback }) => feedback.startsWith(again.id));
  await eventually('and so is the next', () => deletes.all.includes(again.id));
  expect(deletes.all).toEqual([id, again.id]);
});

it('a job that another has by now, as this process stood still, is not told as cancelled, and not removed', async () => {
  const storage = createStorage(await system.database('SQLite'), systemClock);
  const outbox = wrapped(storage, {
    commit: (writes) => {
      const isDelete = writes.some(({ kind }) => kind === 'delete');
      return isDelete ? Promise.resolve(writes.map(() => 'stale' as const)) : storage.commit(writes);
    },
  });
  const told = new Facts<Feedback>();
  const web = await system.application({ outbox, providers: [hearing(told)] });
  const job = await web.client.enqueue('work', {});
  expect(await job.cancel()).not.toBe('cancelled');
  expect([told.all, web.distributor.backlog().unconfirmed]).toEqual([[], 0]);
  const other = await web.client.enqueue('work', {});
  expect(await web.client.remove(other.id)).toMatchObject({ removed: 0 });
});

describe('a job that ends in an outbox that nodes share, by a commit that gives no answer', () => {
  /** `first`: what comes of the first attempt to end a job. */
  const shared = async (first: (storage: JobStorage, writes: readonly JobWrite[]) => Promise<unknown>) => {
    const storage = createStorage(await system.database('SQLite'), systemClock);
    let ends = 0;
    const outbox = wrapped(storage, {
      peers: {
        database: randomUUID(),
        onLease: () => undefined,
        list: () => Promise.resolve([]),
        async *adopt() {},
      },
      async commit(writes) {
        if (!writes.some(({ kind }) => kind === 'delete') || ends++ > 0) return storage.commit(writes);
        await first(storage, writes);
        throw new CommitInDoubt('The connection broke.');
      },
    });
    return { storage, outbox };
  };

  it.each([
    ['with a method that hears of it', true],
    ['that nobody hears of', false],
  ])('%s: it was done, and is told once', async (_, isHeard) => {
    const { storage, outbox } = await shared((own, writes) => own.commit(writes));
    const told = new Facts<Feedback>();
    const web = await system.application({ outbox, providers: isHeard ? [hearing(told)] : [] });
    const job = await web.client.enqueue('work', {});
    expect(await within(job.cancel(), 'the answer')).toBe('cancelled');
    if (isHeard) expect(await told.next()).toMatchObject({ id: `${job.id}:1`, status: 'cancelled' });
    await eventually('what was kept of it is forgotten', async () => {
      return (await storage.feedbacks({ after: null, limit: 1 })).length === 0;
    });
    expect([told.all.length, web.distributor.backlog().unconfirmed]).toEqual([Number(isHeard), 0]);
  });

  it('and a node has taken it and ended it meanwhile: nobody is told that it was cancelled', async () => {
    const { outbox } = await shared((own, writes) =>
      own.commit(writes.map((write) => (write.kind === 'delete' ? { kind: 'delete', id: write.id, fence: 0 } : write))),
    );
    const told = new Facts<Feedback>();
    const web = await system.application({ outbox, providers: [hearing(told)] });
    const job = await web.client.enqueue('work', {});
    expect(await within(job.cancel(), 'the answer')).not.toBe('cancelled');
    expect([told.all, web.distributor.backlog().unconfirmed]).toEqual([[], 0]);
  });
});
