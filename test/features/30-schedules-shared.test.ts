import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { beforeEach, expect, it } from 'vitest';
import { Job, JobContext, type DatabaseOptions } from '../../lib/index.js';
import { describeEachDatabase } from '../support/databases.js';
import { eventually, Facts, reactors, type Joinable, type ReactorProcess } from '../support/reactor.js';

interface Ran {
  key: string;
  slot: number;
  /** Name and process of the distributor it came by. */
  by: string;
}

function works(ran: Facts<Ran>) {
  @Injectable()
  class Works {
    @Job('work')
    work(@Payload() key: string, @Ctx() { job }: JobContext): void {
      ran.tell({ key, slot: job.runAt, by: job.distributor });
    }
  }
  return Works;
}

describeEachDatabase('schedules of applications that share a database', ({ kind }) => {
  const system = reactors();
  let outbox: DatabaseOptions;
  let ran: Facts<Ran>;
  beforeEach(async () => {
    outbox = await system.database(kind);
    ran = new Facts();
  });

  const inProcess = (): Promise<ReactorProcess> =>
    system.process({ distributor: { name: 'web', port: 0, outbox: outbox as never } });
  const node = (to: Joinable[]) => system.node({ to, providers: [works(ran)], storage: outbox });
  const slotsOf = (key: string): number[] => ran.all.filter((one) => one.key === key).map(({ slot }) => slot);
  const isComplete = (key: string): boolean => {
    const slots = slotsOf(key);
    return new Set(slots).size === (Math.max(...slots) - Math.min(...slots)) / 1_000 + 1;
  };
  /** Each slot once and none left out, from the first to the last. */
  const assertOnceEach = (key: string): void => {
    const slots = slotsOf(key).sort();
    expect(slots).toEqual(slots.map((_, i) => slots[0]! + i * 1_000));
  };

  it('run once each, however many processes fire them, also when one is killed in the midst of it', async () => {
    const keys = ['a', 'b', 'c', 'd'];
    const first = await inProcess();
    for (const key of keys)
      await first.ask('schedule', { name: 'work', args: key, options: { key, every: '1s', missed: 'all' } });
    const [second, third] = [await inProcess(), await inProcess()];
    await node([first, second, third]);
    await ran.count(24);
    await first.kill('SIGKILL');
    const killedAt = Date.now();
    await ran.count(ran.all.length + 16);
    await third.kill('SIGKILL');
    for (const key of keys) await ran.next((one) => one.key === key && one.slot > killedAt + 5_000);
    // What the dead had accepted and not handed over comes from the one that is left.
    await eventually('no slot is missing', () => keys.every(isComplete));
    for (const key of keys) {
      assertOnceEach(key);
      expect(slotsOf(key).length).toBeGreaterThanOrEqual(8);
    }
    expect(ran.all.length).toBeGreaterThanOrEqual(40);
  });

  it('are paused, changed and removed for all by one of them, who notice at their next time', async () => {
    const first = await system.application({ outbox });
    await first.client.schedule('work', 'clock', { key: 'clock', every: '1s' });
    for (const key of ['paused', 'removed', 'changed'])
      await first.client.schedule('work', key, { key, every: '1s', missed: 'all' });
    const second = await system.application({ outbox });
    await node([first, second]);
    for (const key of ['paused', 'removed', 'changed']) await ran.next((one) => one.key === key);
    await second.client.schedules.pause('paused');
    await second.client.schedules.remove('removed');
    await second.client.schedule('work', 'other args', { key: 'changed', every: '1s', missed: 'all' });
    const runs = (await first.client.schedules.get('paused'))!.runs;
    const from = Date.now();
    await ran.next((one) => one.key === 'clock' && one.slot > from + 3_000);
    expect((await first.client.schedules.get('paused'))!.runs).toBe(runs);
    expect(slotsOf('paused')).toHaveLength(runs);
    expect(slotsOf('removed').filter((slot) => slot > from)).toEqual([]);
    expect(slotsOf('changed').filter((slot) => slot > from)).toEqual([]);
    expect(slotsOf('other args').length).toBeGreaterThanOrEqual(3);
    assertOnceEach('other args');
    await first.client.schedules.resume('paused');
    await ran.next((one) => one.key === 'paused' && one.slot > from + 3_000);
    assertOnceEach('clock');
  });

  it('that others made are taken up when those are gone', async () => {
    const first = await system.application({ outbox });
    const second = await system.application({ outbox });
    await node([first, second]);
    await first.client.schedule('work', 'later', { key: 'later', every: '1s', missed: 'all' });
    await ran.next();
    await first.close();
    const closedAt = Date.now();
    await ran.next(({ slot }) => slot > closedAt + 2_000, 'a run by the one that is left', 90_000);
    // The last of the first may have been accepted by it and be sent by the second.
    await eventually('no slot is missing', () => isComplete('later'));
    assertOnceEach('later');
    expect((await second.client.schedules.get('later'))!.runs).toBeGreaterThanOrEqual(3);
  });

  it('belong to the applications of one name', async () => {
    const web = await system.application({ outbox });
    const admin = await system.application({ outbox, name: 'admin' });
    await web.client.schedule('work', 'of web', { key: 'same', every: '1s' });
    await admin.client.schedule('work', 'of admin', { key: 'same', every: '1s' });
    await node([web, admin]);
    for (const [key, by] of [
      ['of web', 'web'],
      ['of admin', 'admin'],
    ])
      expect((await ran.next((one) => one.key === key)).by).toBe(by);
    expect(await admin.client.schedules.remove('same')).toBe(true);
    expect(await web.client.schedules.list()).toHaveLength(1);
    expect(await admin.client.schedules.list()).toEqual([]);
  });
});
