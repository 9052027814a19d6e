import { Injectable } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.js';
import { Job } from '../../lib/index.js';
import { createStorage } from '../../lib/storage/create-storage.js';
import type { JobStorage } from '../../lib/storage/job-storage.js';
import { describeEachDatabase } from '../support/databases.js';
import { eventually, Facts, reactors } from '../support/reactor.js';
import { wrapped } from '../support/wrapped-storage.js';

/*
 * Where outbox and node share a database a job that was sent before there is a slot for it has its row taken over by the
 * commit that its attempt begins with.
 */
const system = reactors();

describeEachDatabase('jobs that are sent while no slot is free', ({ kind }) => {
  async function parts() {
    const outbox = await system.database(kind);
    const told: string[] = [];
    const server = createStorage(outbox, systemClock);
    const storage: JobStorage = wrapped(server, {
      commit: (writes) => {
        for (const write of writes) {
          if (write.kind === 'claim') told.push(`claim ${write.job.status}`);
          else if (write.kind === 'delete') told.push(write.feedback ? 'delete, with a feedback' : 'delete');
          else if (write.kind === 'start') told.push(write.kind);
        }
        return server.commit(writes);
      },
    });
    const ran = new Facts<number>();
    let free: () => void = () => undefined;
    const until = new Promise<void>((resolve) => (free = resolve));
    @Injectable()
    class Work {
      @Job('work')
      async work(@Payload() n: number): Promise<number> {
        ran.tell(n);
        if (n === 0) await until;
        return n;
      }
    }
    const node = { storage, concurrency: 1, prefetch: 100, providers: [Work] };
    return { outbox, told, ran, node, free };
  }

  it('begin with the commit that takes their row over, while they follow each other', async () => {
    const { outbox, told, ran, node, free } = await parts();
    free();
    const web = await system.application({ outbox });
    await system.node({ to: web, ...node });
    await web.client.enqueueMany(Array.from({ length: 100 }, (_, n) => ({ job: 'work', args: n })));
    await ran.count(100);
    expect(new Set(ran.all).size).toBe(100);
    expect(ran.all).toHaveLength(100);
    await eventually('all have ended', () => told.filter((one) => one === 'delete').length === 100);
    // On a machine that is busy with something else some may have waited for too long.
    expect(told.filter((one) => one === 'claim running').length).toBeGreaterThan(10);
    expect(told).toHaveLength(200 + told.filter((one) => one === 'start').length);
  });

  it('are taken over without a slot when they wait, and begin by a commit of their own', async () => {
    const { outbox, told, ran, node, free } = await parts();
    const web = await system.application({ outbox });
    await system.node({ to: web, ...node });
    await web.client.enqueue('work', 0);
    await ran.count(1);
    await web.client.enqueue('work', 1, { confirm: 'stored' });
    expect(told).toEqual(['claim running', 'claim queued']);
    free();
    await ran.count(2);
    await eventually('it has ended', () => told.length === 5);
    expect(told).toContain('start');
  });

  it('are cancelled and found like any other', async () => {
    const { outbox, ran, node, free } = await parts();
    const web = await system.application({ outbox });
    await system.node({ to: web, ...node });
    await web.client.enqueue('work', 0);
    await ran.count(1);
    const [one, two] = [await web.client.enqueue('work', 1), await web.client.enqueue('work', 2)];
    expect(await one.cancel('not needed')).toBe('cancelled');
    expect((await web.client.jobs({ name: 'work' })).jobs).toHaveLength(2);
    expect(await web.client.find(two.id)).toMatchObject({ status: 'queued' });
    free();
    await ran.count(2);
    expect(ran.all).toEqual([0, 2]);
  });

  it('go to another node when theirs stops', async () => {
    const { outbox, ran, node, free } = await parts();
    const web = await system.application({ outbox });
    const one = await system.node({ to: web, ...node });
    await web.client.enqueue('work', 0);
    await ran.count(1);
    await web.client.enqueueMany([1, 2, 3].map((args) => ({ job: 'work', args })));
    const stopping = one.close();
    await system.node({ name: 'two', to: web, ...node, storage: outbox });
    free();
    await stopping;
    await ran.count(4);
    expect([...ran.all].sort()).toEqual([0, 1, 2, 3]);
  });

  it('run although their application died', async () => {
    const { outbox, ran, node, free } = await parts();
    const app = await system.process({ distributor: { name: 'web', port: 0, outbox } });
    await system.node({ to: app, ...node });
    await app.enqueue('work', 0);
    await ran.count(1);
    for (const n of [1, 2, 3]) await app.enqueue('work', n);
    // It is taken over at once, as it does not wait for a slot; those before it have been sent by then.
    await app.enqueue('work', 4, { after: 600_000, confirm: 'stored' });
    await app.kill('SIGKILL');
    free();
    await ran.count(4);
    expect([...ran.all].sort()).toEqual([0, 1, 2, 3]);
  });

  it('are known as its own to a node that starts again, and leave nothing that has to be acknowledged', async () => {
    const { outbox, told, ran, node } = await parts();
    const web = await system.application({ outbox });
    const first = await system.node({ to: web, ...node, storage: outbox });
    await web.client.enqueue('work', 1, { after: 1_000, confirm: 'stored' });
    await first.close();
    await system.node({ to: web, ...node });
    await ran.count(1);
    await eventually('it has ended', () => told.length === 2);
    expect(told).toEqual(['start', 'delete']);
  });
});
