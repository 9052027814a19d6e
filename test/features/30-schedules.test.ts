import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.js';
import {
  CommitInDoubt,
  defineJob,
  Job,
  JobContext,
  JobReactorError,
  JobSchedule,
  type DatabaseOptions,
  type JobStorage,
  type ScheduledRun,
  type ScheduleRows,
} from '../../lib/index.js';
import { scheduleId } from '../../lib/job/schedule-ids.js';
import { createStorage } from '../../lib/storage/create-storage.js';
import { databaseKinds } from '../support/databases.js';
import { keptLog } from '../support/log.js';
import { eventually, Facts, reactors } from '../support/reactor.js';
import { wrapped } from '../support/wrapped-storage.js';

interface Ran {
  id: string;
  args: unknown;
  /** The slot. */
  runAt: number;
  at: number;
  priority: number;
}

function works(ran: Facts<Ran>) {
  @Injectable()
  class Works {
    @Job('work')
    work(@Payload() args: unknown, @Ctx() { job }: JobContext): string {
      ran.tell({ id: job.id, args, runAt: job.runAt, at: Date.now(), priority: job.priority });
      return 'done';
    }
  }
  return Works;
}

const of = (args: unknown) => (ran: Ran) => JSON.stringify(ran.args) === JSON.stringify(args);
const HOUR = 3_600_000;

describe.each(['memory', ...databaseKinds] as const)('schedules, with an outbox in %s', (kind) => {
  const system = reactors();
  const outboxOf = () => (kind === 'memory' ? kind : system.database(kind));
  const start = async (ran: Facts<Ran>, outbox: 'memory' | DatabaseOptions) => {
    const web = await system.application({ outbox });
    await system.node({ to: web, providers: [works(ran)] });
    return web;
  };

  it('run their job at each of their times and never early, and tell of themselves', async () => {
    const ran = new Facts<Ran>();
    const { client } = await start(ran, await outboxOf());
    const before = Date.now();
    const made = await client.schedule('work', { n: 1n }, { key: 'tick', every: '1s', priority: 7 });
    expect(made).toEqual({
      key: 'tick',
      job: 'work',
      args: { n: 1n },
      declared: false,
      cron: null,
      timezone: null,
      every: 1_000,
      start: null,
      end: null,
      limit: null,
      missed: 'once',
      paused: false,
      runs: 0,
      lastAt: null,
      nextAt: made.changedAt + 1_000,
      changedAt: expect.any(Number),
    });
    expect(made.changedAt).toBeGreaterThanOrEqual(before);
    const cron = await client.schedule('work', { of: 'cron' }, { key: 'cron', cron: '* * * * * *' });
    expect(cron).toMatchObject({ cron: '* * * * * *', timezone: 'UTC', every: null });

    await ran.count(8);
    for (const [n, first] of [
      [{ n: 1n }, made.nextAt!],
      [{ of: 'cron' }, cron.nextAt!],
    ] as const) {
      const own = ran.all.filter(({ args }) => JSON.stringify(args, text) === JSON.stringify(n, text));
      expect(own.length).toBeGreaterThanOrEqual(3);
      expect(own.map(({ runAt }) => runAt)).toEqual(own.map((_, i) => first + i * 1_000));
      for (const { runAt, at } of own) expect(at).toBeGreaterThanOrEqual(runAt);
    }
    expect(ran.all.find(({ priority }) => priority === 7)).toBeDefined();
    expect((await client.schedules.list()).map(({ key }) => key)).toEqual(['cron', 'tick']);
    const known = await client.schedules.get('tick');
    expect(known!.runs).toBeGreaterThanOrEqual(3);
    expect(known!.lastAt).toBe(made.nextAt! + (known!.runs - 1) * 1_000);
    expect(known!.nextAt).toBe(known!.lastAt! + 1_000);
    expect(await client.schedules.get('nobody')).toBeNull();
  });

  it('are changed by their key, paused, resumed, run at once and removed', async () => {
    const ran = new Facts<Ran>();
    const { client } = await start(ran, await outboxOf());
    await client.schedule('work', 'old', { key: 'one', every: '1s' });
    await client.schedule('work', 'clock', { key: 'clock', every: '1s' });
    await ran.next(of('old'));

    const changed = await client.schedule('work', 'new', { key: 'one', every: '1s' });
    expect(changed.runs).toBeGreaterThanOrEqual(1);
    await ran.next(of('new'));
    const lastOld = ran.all.findLastIndex(of('old'));
    const firstNew = ran.all.findIndex(of('new'));
    expect(lastOld).toBeLessThan(firstNew);

    const paused = await client.schedules.pause('one');
    expect(paused).toMatchObject({ paused: true, nextAt: null });
    expect(await client.schedules.pause('one')).toMatchObject({ paused: true });
    const meanwhile = ran.all.filter(of('clock')).length;
    await ran.count(ran.all.length + 3);
    expect(ran.all.filter(of('clock')).length).toBeGreaterThanOrEqual(meanwhile + 2);
    expect((await client.schedules.get('one'))?.runs).toBe(paused!.runs);

    // Whether it is paused or not; it is beside its times.
    const extra = await client.schedules.runNow('one');
    expect(await extra!.result({ timeout: '30s' })).toBe('done');
    expect(await client.schedules.get('one')).toEqual(paused);
    expect(await client.schedules.runNow('nobody')).toBeNull();

    const resumed = await client.schedules.resume('one');
    expect(resumed!.nextAt).toBeGreaterThan(Date.now() - 1_000);
    const again = await ran.next((one) => of('new')(one) && one.runAt >= resumed!.nextAt!);
    expect(again.runAt).toBe(resumed!.nextAt);

    expect(await client.schedules.remove('one')).toBe(true);
    expect(await client.schedules.remove('one')).toBe(false);
    expect([await client.schedules.pause('one'), await client.schedules.resume('one')]).toEqual([null, null]);
    const left = ran.all.filter(of('new')).length;
    await ran.count(ran.all.length + 3);
    // One may have been on its way.
    expect(ran.all.filter(of('new')).length - left).toBeLessThanOrEqual(1);
    expect((await client.schedules.list()).map(({ key }) => key)).toEqual(['clock']);
  });

  it('begin at their start, and end at their end and after their limit', async () => {
    const ran = new Facts<Ran>();
    const { client } = await start(ran, await outboxOf());
    const from = Date.now() + 1_500;
    await client.schedule('work', 'limited', { key: 'limited', every: '1s', start: from, limit: 2 });
    await client.schedule('work', 'ended', { key: 'ended', every: '1s', start: from, end: new Date(from + 2_500) });
    await client.schedule('work', 'clock', { key: 'clock', every: '1s', start: from + 500 });
    await ran.next((one) => of('clock')(one) && one.runAt >= from + 4_500);
    const slots = (args: string) => ran.all.filter(of(args)).map(({ runAt }) => runAt - from);
    expect(slots('limited')).toEqual([0, 1_000]);
    expect(slots('ended')).toEqual([0, 1_000, 2_000]);
    expect(await client.schedules.get('limited')).toMatchObject({ runs: 2, nextAt: null, paused: false });
    expect(await client.schedules.get('ended')).toMatchObject({ runs: 3, nextAt: null });
    // Whoever says the same again, as a process does that starts, does not begin it anew.
    const same = { key: 'limited', every: '1s', start: from, limit: 2 };
    expect(await client.schedule('work', 'limited', same)).toMatchObject({ runs: 2, nextAt: null });
    expect(await client.schedule('work', 'limited', { ...same, limit: 3 })).toMatchObject({ runs: 2 });
    await ran.next((one) => of('limited')(one) && one.runAt > from + 1_000);
  });
});

/** As a process leaves a schedule that was killed so long ago. */
async function wasDownFor(milliseconds: number, outbox: DatabaseOptions, keys: string[]): Promise<void> {
  const storage = createStorage(outbox, systemClock);
  await storage.open({ role: 'node', name: 'time machine', instance: crypto.randomUUID() });
  const rows = storage.schedules!;
  for (const key of keys) {
    const row = (await rows.get(scheduleId('web', key)))!;
    const earlier = { since: row.since - milliseconds, doneUntil: row.doneUntil - milliseconds };
    const schedule = { ...row, ...earlier, revision: row.revision + 1 };
    expect(await rows.commit({ id: row.id, revision: row.revision, schedule, jobs: [] })).toEqual([]);
  }
  await storage.close();
}

describe.each(databaseKinds)('schedules that outlive their process, with an outbox in %s', (kind) => {
  const system = reactors();

  it('make up for what was missed as they say: not at all, once, or all of it', async () => {
    const outbox = await system.database(kind);
    const first = await system.application({ outbox });
    for (const missed of ['skip', 'once', 'all'] as const)
      await first.client.schedule('work', missed, { key: missed, every: '10m', missed });
    await first.client.schedule('work', 'paused', { key: 'paused', every: '10m', missed: 'all' });
    await first.client.schedules.pause('paused');
    await first.close();
    await wasDownFor(HOUR + 60_000, outbox, ['skip', 'once', 'all', 'paused']);

    const ran = new Facts<Ran>();
    const log = keptLog();
    const second = await system.application({ outbox, logger: log.logger });
    await system.node({ to: second, providers: [works(ran)], logger: log.logger });
    await ran.count(7);
    await eventually('all are done with', async () =>
      (await second.client.schedules.list()).every(({ key, runs }) => runs === { all: 6, once: 1 }[key] || runs === 0),
    );
    const all = (await second.client.schedules.get('all'))!;
    const expected = Array.from({ length: 6 }, (_, i) => all.lastAt! - (5 - i) * 600_000);
    expect(
      ran.all
        .filter(of('all'))
        .map(({ runAt }) => runAt)
        .sort(),
    ).toEqual(expected);
    expect(ran.all.filter(of('once')).map(({ runAt }) => runAt)).toEqual([
      (await second.client.schedules.get('once'))!.lastAt,
    ]);
    expect(await second.client.schedules.get('skip')).toMatchObject({ runs: 0, lastAt: null });
    for (const one of await second.client.schedules.list()) {
      if (one.key === 'paused') expect(one.nextAt).toBeNull();
      else expect(one.nextAt).toBeGreaterThan(Date.now());
    }
    expect(ran.all.length).toBe(7);
    await log.next(({ text }) => text.includes("The schedule 'skip' of 'web' missed 6 runs (0 in their stead)"));
    await log.next(({ text }) => text.includes("The schedule 'once' of 'web' missed 5 runs (1 in their stead)"));
  });

  it('ask the database for nothing until they are due', async () => {
    const statements: string[] = [];
    const renewal = /^UPDATE \S+leases\S+ SET expires_at/;
    const hooks = { onStatement: (sql: string): void => void (renewal.test(sql) || statements.push(sql)) };
    const outbox = createStorage(await system.database(kind), systemClock, hooks);
    const { client } = await system.application({ outbox });
    await client.schedule('work', {}, { key: 'later', cron: '0 0 1 1 *' });
    await client.schedule('work', {}, { key: 'often', every: '1h' });
    const before = statements.length;
    await new Promise((resolve) => setTimeout(resolve, 1_500)); // nothing is to happen: there is no event to wait for
    expect(statements.slice(before)).toEqual([]);
  });
});

const Report = defineJob<{ day: string; after: string | null }>('report');
const Sweep = defineJob<{ n: number }>('sweep');

describe('@JobSchedule', () => {
  const system = reactors();

  function declares(calls: Facts<ScheduledRun>, fail: () => boolean = () => false) {
    @Injectable()
    class Declared {
      readonly #day = 'today';
      @JobSchedule({ every: '1s' }, Report, { key: 'daily', maxAttempts: 2 })
      async daily(run: ScheduledRun): Promise<{ day: string; after: string | null }> {
        calls.tell(run);
        if (fail()) throw new Error('no args today');
        return { day: this.#day, after: run.previous && run.previous.toISOString() };
      }
      @JobSchedule('0 3 * * *', Sweep, { timezone: 'Europe/Berlin' })
      sweep(): { n: number } {
        return { n: 5 };
      }
    }
    return Declared;
  }
  function reports(ran: Facts<Ran>) {
    @Injectable()
    class Reports {
      @Job(Report)
      report(@Payload() args: { day: string }, @Ctx() { job }: JobContext): void {
        ran.tell({ id: job.id, args, runAt: job.runAt, at: Date.now(), priority: 0 });
      }
      @Job(Sweep)
      sweep(@Payload() args: { n: number }): void {
        ran.tell({ id: '', args, runAt: 0, at: Date.now(), priority: 0 });
      }
    }
    return Reports;
  }

  it('has a method of the application make the args of each run', async () => {
    const [calls, ran] = [new Facts<ScheduledRun>(), new Facts<Ran>()];
    const web = await system.application({ providers: [declares(calls)] });
    await system.node({ to: web, providers: [reports(ran)] });
    const [first, second] = await ran.count(2);
    expect(first!.args).toEqual({ day: 'today', after: null });
    expect(second!.args).toEqual({ day: 'today', after: new Date(first!.runAt).toISOString() });
    expect(calls.all.slice(0, 2)).toEqual([
      { key: 'daily', slot: new Date(first!.runAt), previous: null },
      { key: 'daily', slot: new Date(second!.runAt), previous: new Date(first!.runAt) },
    ]);
    expect(await web.client.schedules.list()).toMatchObject([
      { key: 'daily', job: 'report', args: undefined, declared: true, every: 1_000 },
      { key: 'sweep', job: 'sweep', declared: true, cron: '0 3 * * *', timezone: 'Europe/Berlin' },
    ]);
    await (await web.client.schedules.runNow('sweep'))!.result({ timeout: '30s' });
    expect(ran.all.some(of({ n: 5 }))).toBe(true);
  });

  it('one that throws is told of, and its time is not lost', async () => {
    const [calls, ran, log] = [new Facts<ScheduledRun>(), new Facts<Ran>(), keptLog()];
    const fail = (): boolean => calls.all.length <= 2;
    const web = await system.application({ providers: [declares(calls, fail)], logger: log.logger });
    await system.node({ to: web, providers: [reports(ran)], logger: log.logger });
    const { text } = await log.next(({ level, text }) => level === 'error' && text.includes('daily'));
    expect(text).toContain(
      "The schedule 'daily' of 'web' could not enqueue its job and tries again: Error: no args today",
    );
    await ran.next();
    expect(log.all.filter(({ level }) => level === 'error')).toHaveLength(1);
  });

  it('stays paused over restarts, and is fired by those alone who have its method', async () => {
    const outbox = await system.database('SQLite');
    const [calls, ran] = [new Facts<ScheduledRun>(), new Facts<Ran>()];
    const first = await system.application({ outbox, providers: [declares(calls)] });
    await eventually('it has run', async () => ((await first.client.schedules.get('daily'))?.runs ?? 0) > 0);
    await first.close();
    const without = await system.application({ outbox });
    const before = (await without.client.schedules.get('daily'))!;
    expect(before.runs).toBeGreaterThan(0);
    await without.client.schedule('tick', {}, { every: '1s', limit: 3, missed: 'all' });
    await eventually('time goes by', async () => (await without.client.schedules.get('tick'))?.runs === 3);
    expect(await without.client.schedules.get('daily')).toEqual({ ...before, nextAt: before.nextAt });
    await expect(without.client.schedules.runNow('daily')).rejects.toMatchObject({ code: 'NO_SCHEDULES' });
    await without.client.schedules.pause('daily');
    await without.close();
    const made = calls.all.length;
    const third = await system.application({ outbox, providers: [declares(calls)] });
    await system.node({ to: third, providers: [reports(ran)] });
    expect(await third.client.schedules.get('daily')).toMatchObject({ paused: true });
    expect(calls.all.length).toBe(made);
    await third.client.schedules.resume('daily');
    await ran.next();
  });
});

describe('where nobody keeps them', () => {
  const system = reactors();
  const none: Partial<JobStorage> = {};

  it('a storage of the application without that part is refused with a clear error', async () => {
    const outbox = new Proxy(createStorage(await system.database('SQLite'), systemClock), {
      get: (target, name) => {
        if (name === 'schedules') return none.schedules;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
    const { client } = await system.application({ outbox });
    await expect(client.schedule('work', {}, { every: '1s' })).rejects.toMatchObject({
      code: 'NO_SCHEDULES',
      message:
        'The storage given as `distributor.outbox` keeps no schedules: it has no `schedules`. Give it that part, or use a database or memory.',
    });
    await expect(client.schedules.list()).rejects.toMatchObject({ code: 'NO_SCHEDULES' });
    await client.enqueue('work', {});
  });

  it('a process that is only a node says where to ask', async () => {
    const web = await system.application();
    const node = await system.node({ to: web });
    await expect(node.client.schedule('work', {}, { every: '1s' })).rejects.toMatchObject({
      code: 'NO_SCHEDULES',
      message:
        'Schedules are kept by a distributor, and this process has none. Ask in the application that has `distributor`.',
    });
  });
});

describe('when the outbox fails', () => {
  const system = reactors();
  type Commit = ScheduleRows['commit'];

  /** Its commits of slots do this instead. */
  async function failing(commit: (write: Parameters<Commit>[0], real: Commit) => ReturnType<Commit>) {
    const storage = createStorage(await system.database('SQLite'), systemClock);
    return wrapped(storage, {
      get schedules(): ScheduleRows {
        const rows = storage.schedules!;
        return {
          list: (...given) => rows.list(...given),
          get: (id) => rows.get(id),
          commit: (write) =>
            write.jobs.length > 0 ? commit(write, (given) => rows.commit(given)) : rows.commit(write),
        };
      },
    });
  }
  async function runs(outbox: JobStorage) {
    const [ran, log] = [new Facts<Ran>(), keptLog()];
    const { client } = await system.application({ outbox, logger: log.logger });
    // A node comes later, so that what lies in the outbox is all there is.
    await client.schedule('work', {}, { key: 'all', every: '1s', limit: 6, missed: 'all' });
    return { ran, log, client };
  }

  it('a slot whose commit failed is tried again, and no other is lost', async () => {
    let failures = 0;
    const outbox = await failing((write, real) =>
      ++failures <= 2 ? Promise.reject(new JobReactorError('STORAGE', 'away')) : real(write),
    );
    const { client, log } = await runs(outbox);
    await eventually('all have run', async () => (await client.schedules.get('all'))?.runs === 6);
    await log.next(({ text }) => text.includes("The schedule 'all' of 'web' could not enqueue its job"));
    const { jobs } = await client.jobs();
    const slots = jobs.map(({ dueAt }) => dueAt).sort();
    expect(slots).toEqual(slots.map((_, i) => slots[0]! + i * 1_000));
    expect(slots).toHaveLength(6);
  });

  it('a slot whose commit was not answered is there once, whether it was committed or not', async () => {
    let calls = 0;
    const outbox = await failing(async (write, real) => {
      const call = ++calls;
      if (call === 2) await real(write);
      if (call === 2 || call === 4) throw new CommitInDoubt('no answer');
      return real(write);
    });
    const { client } = await runs(outbox);
    await eventually('all have run', async () => (await client.schedules.get('all'))?.runs === 6);
    await eventually('all are there', async () => (await client.jobs()).jobs.length === 6);
    const slots = (await client.jobs()).jobs.map(({ dueAt }) => dueAt).sort();
    expect(slots).toEqual(slots.map((_, i) => slots[0]! + i * 1_000));
    expect(calls).toBeGreaterThanOrEqual(5);
  });

  it('a backlog that is full holds them up, and they go on when there is room', async () => {
    const web = await system.application({ maxPending: 2 });
    const { client } = web;
    await client.enqueueMany([
      { job: 'work', args: 1 },
      { job: 'work', args: 2 },
    ]);
    await client.schedule('work', 'scheduled', { every: '1s', missed: 'all', limit: 3 });
    await expect(client.enqueue('work', 3)).rejects.toMatchObject({ code: 'BACKLOG_FULL' });
    await eventually(
      'two times have passed',
      async () => Date.now() > (await client.schedules.get('work'))!.changedAt + 2_000,
    );
    expect((await client.schedules.get('work'))!.runs).toBe(0);
    const ran = new Facts<Ran>();
    await system.node({ to: web, providers: [works(ran)] });
    const slots = (await ran.count(5)).filter(of('scheduled')).map(({ runAt }) => runAt);
    expect(slots.sort()).toEqual([0, 1, 2].map((i) => slots[0]! + i * 1_000));
  });
});

const many = reactors();
it('many that are due at one moment leave turns of the event loop to everything else', async () => {
  const { client, distributor } = await many.application();
  const start = Date.now() + 3_000;
  for (let i = 0; i < 300; i++) await client.schedule('nobody', i, { key: `${i}`, every: '1h', start });
  let most = 0;
  for (let before = 0; before < 300;) {
    await new Promise<void>((resolve) => void setImmediate(resolve));
    const { pending } = distributor.backlog();
    most = Math.max(most, pending - before);
    before = pending;
    if (Date.now() > start + 30_000) throw new Error(`${before} of 300 within 30 s`);
  }
  expect(most).toBeLessThanOrEqual(2);
});

const text = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? `${value}n` : value);
