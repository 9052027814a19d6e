import { Injectable } from '@nestjs/common';
import { Ctx } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { Job, JobContext, Snooze } from '../../lib/index.js';
import { databaseKinds, describeEachDatabase } from '../support/databases.js';
import { signal } from '../support/deadline.js';
import { eventually, Facts, reactors } from '../support/reactor.js';

const system = reactors();

function jobs(ran: Facts<string>, gate = Promise.resolve()) {
  @Injectable()
  class Jobs {
    @Job('later')
    later(@Ctx() { job }: JobContext): number {
      ran.tell(`later ${job.attempt} ${job.run}`);
      return 1;
    }
    @Job('failing', { backoff: '1h', maxAttempts: 2 })
    failing(@Ctx() { job }: JobContext): number {
      ran.tell(`failing ${job.attempt}`);
      if (job.attempt === 1) throw new Error('no');
      return 2;
    }
    @Job('snoozing')
    snoozing(@Ctx() { job }: JobContext): number {
      ran.tell(`snoozing ${job.attempt}`);
      if (job.runAt <= job.enqueuedAt) throw new Snooze('1h');
      return 3;
    }
    @Job('slow')
    async slow(): Promise<void> {
      ran.tell('slow');
      await gate;
    }
  }
  return Jobs;
}

describe.each(['memory', ...databaseKinds] as const)('client.runNow(), with a storage in %s', (kind) => {
  it('runs a job that waits for its time: deferred, retrying, snoozed or periodic', async () => {
    const storage = kind === 'memory' ? kind : await system.database(kind);
    const ran = new Facts<string>();
    const web = await system.application();
    const node = await system.node({ to: web, storage, providers: [jobs(ran)] });
    const waits = (id: string, attempt: number): Promise<void> =>
      eventually('it waits', async () => {
        const found = await web.client.find(id);
        return found !== null && found.node !== null && found.status !== 'running' && found.attempt === attempt;
      });

    const later = await web.client.enqueue('later', {}, { after: '1h', confirm: 'stored' });
    expect(await web.client.runNow(later.id)).toEqual({ answer: 'queued', missing: [] });
    expect(await later.result({ timeout: '60s' })).toBe(1);

    const failing = await web.client.enqueue('failing', {});
    await ran.next((one) => one === 'failing 1');
    await waits(failing.id, 1);
    expect((await web.client.runNow(failing.id)).answer).toBe('queued');
    expect(await failing.result({ timeout: '60s' })).toBe(2);

    const snoozing = await web.client.enqueue('snoozing', {});
    await ran.next((one) => one === 'snoozing 1');
    await waits(snoozing.id, 0);
    // Also by way of the node's own client, which asks its distributor.
    await eventually('it is due', async () => (await node.client.runNow(snoozing.id)).answer === 'queued');
    expect(await snoozing.result({ timeout: '60s' })).toBe(3);

    const periodic = await web.client.enqueue('later', {}, { period: '1h' });
    await ran.next((one) => one === 'later 1 1' && ran.all.filter((each) => each === 'later 1 1').length === 2);
    await eventually('the next run waits', async () => (await web.client.find(periodic.id))?.run === 2);
    await waits(periodic.id, 0);
    expect((await web.client.runNow(periodic.id)).answer).toBe('queued');
    await ran.next((one) => one === 'later 1 2');
    await periodic.cancel();
  });
});

describeEachDatabase('client.runNow(), on a database that nodes share', ({ kind }) => {
  it('has the owner of the job run it, once, whichever application asks; after a kill -9 the one that took it over', async () => {
    const storage = await system.database(kind);
    const ran = new Facts<string>();
    const [web, other] = [await system.application(), await system.application({ name: 'other' })];
    const distributors = [web, other].map(({ port }) => ({ host: '127.0.0.1', port }));
    const first = await system.process({ node: { name: 'first', storage, distributors } }, [web, other]);
    const stays = { after: '1h', confirm: 'stored' } as const;
    const onFirst = await web.client.enqueue('work', { result: 'first' }, stays);
    const left = await web.client.enqueue('work', { result: 'left' }, stays);
    @Injectable()
    class Work {
      @Job('work')
      work(@Ctx() { job }: JobContext): string {
        ran.tell(job.id);
        return 'second';
      }
    }
    await system.node({ name: 'second', to: [web, other], storage, providers: [Work] });
    const asked = await Promise.all([web, other, web].map(({ client }) => client.runNow(onFirst.id)));
    expect(asked.map(({ answer }) => answer)).toContain('queued');
    expect(await onFirst.result({ timeout: '60s' })).toBe('first');
    expect(first.starts.filter(({ id }) => id === onFirst.id)).toHaveLength(1);

    await first.kill('SIGKILL');
    await eventually('it has been taken over', async () => (await web.client.find(left.id))?.node === 'second');
    expect(ran.all).toEqual([]);
    // Its row is the other's a moment before the node has it in mind.
    await eventually('it waits there', async () => (await other.client.runNow(left.id)).answer === 'queued');
    expect(await left.result({ timeout: '60s' })).toBe('second');
    expect(ran.all).toEqual([left.id]);
  });
});

it('leaves alone what runs, has ended, or is not there, and says so', async () => {
  const ran = new Facts<string>();
  const gate = signal();
  const web = await system.application();
  await system.node({ to: web, providers: [jobs(ran, gate.promise)], jobs: { retention: { removeCancelled: false } } });
  const slow = await web.client.enqueue('slow', {});
  await ran.next();
  expect((await web.client.runNow(slow.id)).answer).toBe('not-final');
  gate.resolve();
  await slow.result();
  expect((await web.client.runNow(slow.id)).answer).toBe('unknown');
  const cancelled = await web.client.enqueue('later', {}, { after: '1h', confirm: 'stored' });
  await cancelled.cancel();
  expect((await web.client.runNow(cancelled.id)).answer).toBe('not-final');
  // No node has it: it is sent when one is there, at its time.
  const nobody = await web.client.enqueue('nobody', {}, { after: '1h' });
  expect((await web.client.runNow(nobody.id)).answer).toBe('not-final');
  await expect(web.client.runNow('nonsense')).rejects.toMatchObject({ code: 'INVALID_QUERY' });
});

it('asked for many times at once it runs once, and a cancel at the same time does not lose it', async () => {
  const ran = new Facts<string>();
  const web = await system.application();
  await system.node({ to: web, storage: await system.database('SQLite'), providers: [jobs(ran)] });
  const many = await web.client.enqueueMany(
    Array.from({ length: 40 }, () => ({
      job: 'later',
      args: {},
      options: { after: '1h', confirm: 'stored' as const },
    })),
  );
  const results = many.map((job) => job.result({ timeout: '60s' }).catch((error: { code: string }) => error.code));
  await Promise.all(
    many.flatMap((job, at) => [
      web.client.runNow(job.id),
      web.client.runNow(job.id),
      ...(at % 2 ? [job.cancel('no')] : []),
    ]),
  );
  // Each has ended, in one way or the other.
  const ends = await Promise.all(results);
  expect(ends.filter((_, at) => at % 2 === 0)).toEqual(Array.from({ length: 20 }, () => 1));
  expect(ends.every((end) => end === 1 || end === 'JOB_CANCELLED')).toBe(true);
  expect(ran.all.length).toBeLessThanOrEqual(40);
  expect(ran.all.length).toBeGreaterThanOrEqual(20);
});
