import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { Ctx } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.js';
import type { StoredJob } from '../../lib/job/job.js';
import { Job, JobReactorError, type JobContext } from '../../lib/index.js';
import { CommitInDoubt } from '../../lib/storage/commit-in-doubt.js';
import type { JobStorage, JobWrite, StoragePeers } from '../../lib/storage/job-storage.js';
import { MemoryStorage } from '../../lib/storage/memory-storage.js';
import { signal, within } from '../support/deadline.js';
import { Facts, reactors } from '../support/reactor.js';
import { wrapped } from '../support/wrapped-storage.js';

/*
 * A node whose lease runs out, and comes back, at the very moment the test says: what the servers and the simulation come
 * upon by chance.
 */
const system = reactors();

interface Peers extends StoragePeers {
  lapsed: boolean;
}

/** `after`: what happens once the writes are committed and before the node hears of it. `refused`: kinds of writes. */
function leased(
  after: (write: JobWrite, peers: Peers) => void,
  refused = new Facts<string>(),
  own: (memory: JobStorage, peers: Peers) => Partial<JobStorage> = () => ({}),
): JobStorage {
  const memory = new MemoryStorage(systemClock);
  const peers: Peers = {
    database: randomUUID(),
    lapsed: false,
    onLease: () => undefined,
    list: () => Promise.resolve([]),
    async *adopt() {},
  };
  return wrapped(memory, {
    peers,
    ...own(memory, peers),
    async commit(writes) {
      if (peers.lapsed) {
        refused.tell(writes.map(({ kind }) => kind).join());
        throw new JobReactorError('STORAGE', 'The lease has run out.');
      }
      const results = await memory.commit(writes);
      for (const write of writes) after(write, peers);
      return results;
    },
  });
}

/** Says that it has begun, and which attempt it was. */
function works(begun: Facts<string>) {
  @Injectable()
  class Work {
    @Job('work') work(@Ctx() ctx: JobContext): string {
      begun.tell(ctx.job.id);
      return `attempt ${ctx.job.attempt}`;
    }
  }
  return Work;
}

describe('a node that loses its lease and has it again', () => {
  it('tells the feedback that a commit without an answer left meanwhile', async () => {
    let ends = 0;
    const storage = leased((write, peers) => {
      if (!('feedback' in write) || ends++ > 0) return;
      peers.onLease('lost');
      peers.onLease('regained');
      throw new CommitInDoubt('The connection broke.');
    });
    @Injectable()
    class Work {
      @Job('work') work(): string {
        return 'done';
      }
    }
    const web = await system.application();
    await system.node({ to: web, storage, providers: [Work] });
    const job = await web.client.enqueue('work', {});
    expect(await within(job.result(), 'the result')).toBe('done');
    expect(ends).toBeGreaterThan(0);
  });

  it('breaks off what was to begin when its lease had run out already, and begins it anew', async () => {
    const [begun, refused] = [new Facts<string>(), new Facts<string>()];
    let lease: Peers | undefined;
    const storage = leased((write, peers) => {
      if (write.kind !== 'insert' || lease) return;
      lease = peers;
      peers.lapsed = true;
    }, refused);
    const web = await system.application();
    await system.node({ to: web, storage, providers: [works(begun)] });
    const job = await web.client.enqueue('work', {});
    // What is written first is that it did not begin.
    expect(await refused.next()).toBe('save');
    expect(begun.all).toEqual([]);
    lease!.onLease('lost');
    lease!.lapsed = false;
    lease!.onLease('regained');
    expect(await within(job.result(), 'the result')).toBe('attempt 1');
    expect(begun.all).toEqual([job.id]);
  });

  it('does not begin what it was just reading', async () => {
    const begun = new Facts<string>();
    const [lost, hasLooked] = [new Facts<Peers>(), signal()];
    const storage = leased(
      () => undefined,
      undefined,
      (memory, peers) => ({
        // Its args are not in memory while it waits, as where there is a database.
        durable: true,
        async get(ids) {
          if (lost.all.length > 0) hasLooked.resolve();
          const rows = await memory.get(ids);
          if (lost.all.length === 0) {
            peers.onLease('lost');
            lost.tell(peers);
          }
          return rows;
        },
      }),
    );
    const web = await system.application();
    await system.node({ to: web, storage, providers: [works(begun)] });
    const job = await web.client.enqueue('work', {}, { after: 1_200 });
    const lease = await lost.next();
    // It is looked at again, as it did not begin.
    await within(hasLooked.promise, 'another look');
    expect(begun.all).toEqual([]);
    lease.onLease('regained');
    expect(await within(job.result(), 'the result')).toBe('attempt 1');
    expect(begun.all).toEqual([job.id]);
  });
});

it('a job that is taken over from a dead node while it is on its way to the same node runs', async () => {
  const memory = new MemoryStorage(systemClock);
  const asked = signal();
  let dead: StoredJob | undefined;
  const web = await system.application();
  const other = await system.application();
  const storage = wrapped(memory, {
    peers: {
      database: randomUUID(),
      onLease: () => undefined,
      list: async () => (dead ? [{ id: 'dead', name: 'two', instance: 'gone', left: 0, expiresAt: 0 }] : []),
      async *adopt() {
        if (dead) yield { jobs: [dead], feedbacks: 0 };
      },
    },
    async commit(writes) {
      const [write] = writes;
      if (write?.kind !== 'insert' || dead) return memory.commit(writes);
      // Its row was the dead node's: this one takes it over just before it tries to insert it.
      dead = { ...write.job, status: 'queued', attempt: 0, startedAt: null, fence: 7 };
      await memory.commit([{ kind: 'insert', job: dead }]);
      void other.close().then(() => asked.resolve());
      await asked.promise;
      for (let ticks = 10; ticks > 0; ticks--) await setImmediate();
      return memory.commit(writes);
    },
  });
  @Injectable()
  class Work {
    @Job('work') work(@Ctx() ctx: JobContext): string {
      return `attempt ${ctx.job.attempt}`;
    }
  }
  await system.node({ to: [web, other], storage, providers: [Work] });
  const job = await web.client.enqueue('work', {});
  expect(await within(job.result(), 'the result')).toBe('attempt 1');
});
