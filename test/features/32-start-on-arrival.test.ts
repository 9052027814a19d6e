import { Injectable } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.js';
import { Job } from '../../lib/index.js';
import type { JobStorage, JobWrite, WriteResult } from '../../lib/storage/job-storage.js';
import { MemoryStorage } from '../../lib/storage/memory-storage.js';
import { eventually, Facts, reactors, type Application } from '../support/reactor.js';
import { wrapped } from '../support/wrapped-storage.js';

/*
 * A job that need not wait is stored as running: the commit that makes it the node's is the one that its attempt begins
 * with.
 */
const system = reactors();

function work(ran: Facts<number>, until: Promise<unknown> = Promise.resolve()) {
  @Injectable()
  class Work {
    @Job('work')
    async work(@Payload() n: number): Promise<number> {
      ran.tell(n);
      await until;
      return n;
    }
  }
  return Work;
}

/** What a node writes, in words; `commit` may do something else than commit. */
function writing(
  commit: (writes: readonly JobWrite[], really: () => Promise<WriteResult[]>) => Promise<WriteResult[]>,
) {
  const told: string[] = [];
  const memory = new MemoryStorage(systemClock);
  const storage: JobStorage = wrapped(memory, {
    commit: (writes) => {
      for (const write of writes) {
        if (write.kind === 'insert') told.push(`insert ${write.job.status}, attempt ${write.job.attempt}`);
        else if (write.kind === 'start' || write.kind === 'delete' || write.kind === 'save') told.push(write.kind);
      }
      return commit(writes, () => memory.commit(writes));
    },
  });
  return { told, storage };
}

const plainly = (_: readonly JobWrite[], really: () => Promise<WriteResult[]>): Promise<WriteResult[]> => really();

describe('a job that is due', () => {
  it('is stored and begins with one commit, where a slot is free', async () => {
    const ran = new Facts<number>();
    const { told, storage } = writing(plainly);
    const web = await system.application();
    await system.node({ to: web, storage, providers: [work(ran)] });
    expect(await web.client.run('work', 1)).toBe(1);
    expect(told).toEqual(['insert running, attempt 1', 'delete']);
  });

  it('waits, and begins with a commit of its own, where none is', async () => {
    const ran = new Facts<number>();
    const { told, storage } = writing(plainly);
    const [free, freed] = held();
    const web = await system.application();
    await system.node({ to: web, storage, concurrency: 1, prefetch: 1, providers: [work(ran, free)] });
    const first = web.client.run('work', 1);
    await ran.count(1);
    const second = web.client.run('work', 2);
    await eventually('it is stored', () => told.includes('insert queued, attempt 0'));
    freed();
    expect(await Promise.all([first, second])).toEqual([1, 2]);
    expect(told.slice(0, 2)).toEqual(['insert running, attempt 1', 'insert queued, attempt 0']);
    // The end of the first and the start of the second may be one commit.
    expect(told.slice(2).sort()).toEqual(['delete', 'delete', 'start']);
  });

  it('waits for its time, whatever is free', async () => {
    const ran = new Facts<number>();
    const { told, storage } = writing(plainly);
    const web = await system.application();
    await system.node({ to: web, storage, providers: [work(ran)] });
    const job = await web.client.enqueue('work', 1, { after: 200, onSuccess: () => undefined });
    expect(await job.result({ timeout: '10s' })).toBe(1);
    expect(told).toEqual(['insert queued, attempt 0', 'start', 'delete']);
  });

  it('is refused when it was not stored, and its slot is free again', async () => {
    const ran = new Facts<number>();
    let trouble = 1;
    const { told, storage } = writing((_, really) =>
      trouble-- > 0 ? Promise.resolve(_.map((): WriteResult => ({ error: new Error('no room') }))) : really(),
    );
    const web = await system.application();
    await system.node({ to: web, storage, concurrency: 1, prefetch: 0, providers: [work(ran)] });
    expect(await web.client.run('work', 1)).toBe(1);
    expect(ran.all).toEqual([1]);
    expect(told).toEqual(['insert running, attempt 1', 'insert running, attempt 1', 'delete']);
    await allFree(web);
  });

  it('that is cancelled while it is being stored ends as cancelled, and its slot is free again', async () => {
    const ran = new Facts<number>();
    const [open, opened] = held();
    const { storage, told } = writing(async (_, really) => {
      if (told.length === 1) await open;
      return really();
    });
    const web = await system.application();
    await system.node({ to: web, storage, concurrency: 1, prefetch: 0, providers: [work(ran, new Promise(() => {}))] });
    const job = await web.client.enqueue('work', 1, { onSuccess: () => undefined });
    await eventually('it is on its way', () => told.length === 1);
    const cancelled = job.cancel('not needed');
    opened();
    expect(await cancelled).toBe('cancelled');
    await expect(job.result({ timeout: '10s' })).rejects.toMatchObject({ code: 'JOB_CANCELLED' });
    await allFree(web);
  });
});

function held(): [until: Promise<void>, open: () => void] {
  let open: () => void = () => undefined;
  return [new Promise<void>((resolve) => (open = resolve)), open];
}

async function allFree(web: Application): Promise<void> {
  await eventually('its slot is free', () => web.distributor.nodes()[0]?.freeSlots === 1);
}
