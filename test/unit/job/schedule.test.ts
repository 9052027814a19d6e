import { describe, expect, it } from 'vitest';
import { CronTimes } from '../../../lib/job/cron-times.js';
import { scheduleId, slotJobId } from '../../../lib/job/schedule-ids.js';
import {
  afterSlots,
  changedSchedule,
  dueSlots,
  MOST_MISSED,
  nextSlot,
  pausedSchedule,
  ScheduleTimes,
  type MissedSlots,
  type ScheduleRule,
  type StoredSchedule,
} from '../../../lib/job/schedule.js';
import { TimeZone } from '../../../lib/job/time-zone.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const at = (text: string): number => Date.parse(text);
const text = (time: number | null): string | null =>
  time === null ? null : new Date(time).toISOString().replace(/:00\.000Z$/, 'Z');

/** The times after `from`, so many. */
function times(cron: string, zone: string, from: string, count: number): (string | null)[] {
  const cronTimes = new CronTimes(cron, zone);
  const found: (number | null)[] = [];
  for (let time: number | null = at(from); time !== null && found.length < count;)
    found.push((time = cronTimes.next(time)));
  return found.map(text);
}

describe('cron where clocks are changed', () => {
  // Each row: what is shown, the expression, the zone, from when, and all times that follow, in UTC.
  it.each([
    // Berlin: 2026-03-29 02:00 CET becomes 03:00 CEST, which is 01:00 UTC; 2026-10-25 03:00 CEST becomes 02:00 CET, 01:00 UTC.
    [
      'a time that is skipped: once, the moment the clocks are set forward',
      ['30 2 * * *', 'Europe/Berlin', '2026-03-28T00:00Z'],
      ['2026-03-28T01:30Z', '2026-03-29T01:00Z', '2026-03-30T00:30Z'],
    ],
    [
      'several times that are skipped: once together',
      ['*/10 2 * * *', 'Europe/Berlin', '2026-03-28T12:00Z'],
      ['2026-03-29T01:00Z', '2026-03-30T00:00Z'],
    ],
    [
      'a skipped time and one at the moment the clocks are set to: once together',
      ['0,30 2,3 * * *', 'Europe/Berlin', '2026-03-28T12:00Z'],
      ['2026-03-29T01:00Z', '2026-03-29T01:30Z', '2026-03-30T00:00Z'],
    ],
    [
      'a time that repeats: once, the first time',
      ['30 2 * * *', 'Europe/Berlin', '2026-10-24T00:00Z'],
      ['2026-10-24T00:30Z', '2026-10-25T00:30Z', '2026-10-26T01:30Z'],
    ],
    [
      'several times in an hour that repeats: once each',
      ['*/20 2 * * *', 'Europe/Berlin', '2026-10-24T12:00Z'],
      ['2026-10-25T00:00Z', '2026-10-25T00:20Z', '2026-10-25T00:40Z', '2026-10-26T01:00Z'],
    ],
    [
      'asked in the midst of the repetition: it is over',
      ['30 2 * * *', 'Europe/Berlin', '2026-10-25T01:15Z'],
      ['2026-10-26T01:30Z'],
    ],
    [
      'every hour goes by elapsed time where an hour is skipped',
      ['30 * * * *', 'Europe/Berlin', '2026-03-29T00:00Z'],
      ['2026-03-29T00:30Z', '2026-03-29T01:30Z', '2026-03-29T02:30Z'],
    ],
    [
      'every hour goes by elapsed time where an hour repeats',
      ['0 * * * *', 'Europe/Berlin', '2026-10-24T23:30Z'],
      ['2026-10-25T00:00Z', '2026-10-25T01:00Z', '2026-10-25T02:00Z'],
    ],
    // New York: 2026-03-08 02:00 EST becomes 03:00 EDT, 07:00 UTC; 2026-11-01 02:00 EDT becomes 01:00 EST, 06:00 UTC.
    [
      'New York, skipped',
      ['15 2 * * *', 'America/New_York', '2026-03-07T00:00Z'],
      ['2026-03-07T07:15Z', '2026-03-08T07:00Z', '2026-03-09T06:15Z'],
    ],
    [
      'New York, repeated',
      ['15 1 * * *', 'America/New_York', '2026-10-31T00:00Z'],
      ['2026-10-31T05:15Z', '2026-11-01T05:15Z', '2026-11-02T06:15Z'],
    ],
    [
      'New York, every two hours: one of them is skipped, and made up for',
      ['0 */2 * * *', 'America/New_York', '2026-03-08T04:30Z'],
      ['2026-03-08T05:00Z', '2026-03-08T07:00Z', '2026-03-08T08:00Z', '2026-03-08T10:00Z'],
    ],
    // Lord Howe changes by half an hour: 2026-10-04 02:00 becomes 02:30, 15:30 UTC the day before; 2026-04-05 02:00 becomes 01:30, 15:00 UTC.
    [
      'Lord Howe, the skipped half of an hour',
      ['15 2 * * *', 'Australia/Lord_Howe', '2026-10-02T00:00Z'],
      ['2026-10-02T15:45Z', '2026-10-03T15:30Z', '2026-10-04T15:15Z'],
    ],
    [
      'Lord Howe, after the skipped half of the hour',
      ['45 2 * * *', 'Australia/Lord_Howe', '2026-10-03T00:00Z'],
      ['2026-10-03T15:45Z', '2026-10-04T15:45Z'],
    ],
    [
      'Lord Howe, the repeated half of an hour',
      ['45 1 * * *', 'Australia/Lord_Howe', '2026-04-03T00:00Z'],
      ['2026-04-03T14:45Z', '2026-04-04T14:45Z', '2026-04-05T15:15Z'],
    ],
    // Cairo changes at midnight: 2026-04-24 00:00 becomes 01:00, 22:00 UTC the day before.
    [
      'Cairo, midnight is skipped',
      ['0 0 * * *', 'Africa/Cairo', '2026-04-22T12:00Z'],
      ['2026-04-22T22:00Z', '2026-04-23T22:00Z', '2026-04-24T21:00Z'],
    ],
    [
      'Apia, a day is skipped',
      ['0 12 30 * *', 'Pacific/Apia', '2011-12-01T00:00Z'],
      ['2011-12-30T10:00Z', '2012-01-29T22:00Z'],
    ],
  ] as const)('%s', (_, [cron, zone, from], expected) => {
    expect(times(cron, zone, from, expected.length)).toEqual(expected);
  });

  it('a time of day comes once on every day, in every zone whose clocks are changed', () => {
    const start = at('2026-01-01T12:00Z');
    let changing = 0;
    for (const zone of Intl.supportedValuesOf('timeZone')) {
      const clocks = new TimeZone(zone);
      if (clocks.change(start, start + 366 * DAY) === null) continue;
      changing++;
      for (const cron of ['30 0 * * *', '30 1 * * *', '30 2 * * *'].map((daily) => new CronTimes(daily, zone))) {
        const days: string[] = [];
        for (let time = cron.next(start)!; time < start + 366 * DAY; time = cron.next(time)!)
          days.push(new Date(clocks.wall(time)).toISOString().slice(0, 10));
        const first = Date.parse(days[0]!);
        const expected = days.map((_, i) => new Date(first + i * DAY).toISOString().slice(0, 10));
        expect([zone, days]).toEqual([zone, expected]);
        expect(days.length).toBeGreaterThanOrEqual(365);
      }
    }
    expect(changing).toBeGreaterThan(50);
  }, 60_000);
});

describe('cron and the calendar', () => {
  it.each([
    [
      '29 February is in leap years alone',
      '0 0 29 2 *',
      ['2028-02-29T00:00Z', '2032-02-29T00:00Z', '2036-02-29T00:00Z'],
    ],
    ['31 is in seven months', '0 0 31 * *', ['2026-01-31T00:00Z', '2026-03-31T00:00Z', '2026-05-31T00:00Z']],
    ['the last day of a month', '0 0 L * *', ['2026-01-31T00:00Z', '2026-02-28T00:00Z', '2026-03-31T00:00Z']],
    [
      'a day of the month or of the week, whichever comes',
      '0 0 13 * FRI',
      ['2026-01-02T00:00Z', '2026-01-09T00:00Z', '2026-01-13T00:00Z'],
    ],
    ['30 February is never', '0 0 30 2 *', [null]],
  ])('%s', (_, cron, expected) => {
    expect(times(cron, 'UTC', '2026-01-01T00:00Z', expected.length)).toEqual(expected);
  });

  it('seconds come first, where there are six fields', () => {
    const cron = new CronTimes('*/20 * * * * *', 'UTC');
    expect(cron.next(at('2026-01-01T00:00:19.999Z'))).toBe(at('2026-01-01T00:00:20Z'));
    expect(cron.next(at('2026-01-01T00:00:20.000Z'))).toBe(at('2026-01-01T00:00:40Z'));
  });
});

const rule = (fields: Partial<ScheduleRule> = {}): ScheduleRule => ({
  cron: null,
  timezone: null,
  every: MINUTE,
  start: null,
  end: null,
  limit: null,
  missed: 'once',
  ...fields,
});
const job = { name: 'report', args: '{}', options: {}, priority: 0, expires: null };
const NOW = at('2026-06-01T12:00:00Z');
const schedule = (fields: Partial<ScheduleRule> = {}, more: Partial<StoredSchedule> = {}): StoredSchedule => ({
  ...changedSchedule({ key: 'report', rule: rule(fields), job }, null, { id: 'x', distributor: 'web', now: NOW })!,
  ...more,
});
const timesOf = ({ rule, since }: StoredSchedule): ScheduleTimes => new ScheduleTimes(rule, since);
const due = (one: StoredSchedule, now: number) => dueSlots(one, timesOf(one), now);
const next = (one: StoredSchedule): number | null => nextSlot(one, timesOf(one));

describe('every', () => {
  it('counts from when the schedule was made, or from its start', () => {
    expect(next(schedule())).toBe(NOW + MINUTE);
    expect(next(schedule({}, { doneUntil: NOW + 90_000 }))).toBe(NOW + 2 * MINUTE);
    const later = schedule({ start: NOW + 10_000 });
    expect(next(later)).toBe(NOW + 10_000);
    expect(next({ ...later, doneUntil: NOW + 10_000 })).toBe(NOW + 70_000);
    // A start that is past says where the counting began.
    expect(next(schedule({ start: NOW - 90_000 }))).toBe(NOW + 30_000);
  });

  it('ends at its end, and after its limit', () => {
    expect(next(schedule({ end: NOW + MINUTE }))).toBe(NOW + MINUTE);
    expect(next(schedule({ end: NOW + MINUTE - 1 }))).toBeNull();
    expect(next(schedule({ limit: 2 }, { runs: 1 }))).toBe(NOW + MINUTE);
    expect(next(schedule({ limit: 2 }, { runs: 2 }))).toBeNull();
    expect(next(schedule({}, { paused: true }))).toBeNull();
  });
});

describe('slots that are due', () => {
  const slots = (missed: MissedSlots, now: number, more: Partial<ScheduleRule> = {}) => {
    const { slots, until, missed: lost } = due(schedule({ missed, ...more }), now);
    return { slots: slots.map((slot) => (slot - NOW) / MINUTE), until: (until - NOW) / MINUTE, lost };
  };

  it('one that is on time runs, whatever is said of those that are missed', () => {
    for (const missed of ['skip', 'once', 'all'] as const) {
      expect(slots(missed, NOW + MINUTE - 1)).toEqual({ slots: [], until: 0, lost: 0 });
      expect(slots(missed, NOW + MINUTE)).toEqual({ slots: [1], until: 1, lost: 0 });
      expect(slots(missed, NOW + MINUTE + 59_999)).toEqual({ slots: [1], until: 1, lost: 0 });
    }
  });

  it('skip: of those that passed the last one, if it is not a minute late', () => {
    expect(slots('skip', NOW + 10.5 * MINUTE)).toEqual({ slots: [10], until: 10, lost: 9 });
    expect(slots('skip', NOW + 13 * HOUR, { every: 3 * HOUR })).toEqual({ slots: [], until: 720, lost: 4 });
  });

  it('once: the last one, however late', () => {
    expect(slots('once', NOW + 10.5 * MINUTE)).toEqual({ slots: [10], until: 10, lost: 9 });
    expect(slots('once', NOW + 13 * HOUR, { every: 3 * HOUR })).toEqual({ slots: [720], until: 720, lost: 3 });
  });

  it('all: each, up to the newest hundred', () => {
    expect(slots('all', NOW + 3.5 * MINUTE)).toEqual({ slots: [1, 2, 3], until: 3, lost: 0 });
    const many = slots('all', NOW + 1_000 * MINUTE);
    expect(many).toMatchObject({ until: 1_000, lost: 0 });
    expect(many.slots).toEqual(Array.from({ length: MOST_MISSED }, (_, i) => 901 + i));
  });

  it('all of a limited one: no more than are left of it', () => {
    const { slots, missed } = due(schedule({ missed: 'all', limit: 5 }, { runs: 3 }), NOW + 10 * MINUTE);
    expect(slots).toEqual([NOW + MINUTE, NOW + 2 * MINUTE]);
    expect(missed).toBe(8);
  });

  it('a clock that was set back: nothing, and no time again that was done with', () => {
    const one = schedule({}, { doneUntil: NOW + 10 * MINUTE });
    expect(due(one, NOW)).toEqual({ slots: [], until: NOW + 10 * MINUTE, missed: 0 });
    expect(next(one)).toBe(NOW + 11 * MINUTE);
  });

  it('however long it was down, the newest are found without going through all', () => {
    // Each second of three years: a hundred million.
    const one = schedule({ cron: '* * * * * *', timezone: 'Europe/Berlin', every: null, missed: 'all' });
    const now = NOW + 3 * 365 * DAY;
    const began = performance.now();
    const { slots } = due(one, now);
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(slots).toEqual(Array.from({ length: MOST_MISSED }, (_, i) => now - (MOST_MISSED - 1 - i) * 1_000));
    // Dense in one hour of the year, and that long ago.
    const dense = schedule({ cron: '* * 3 1 7 *', timezone: 'UTC', every: null, missed: 'all' });
    const found = due(dense, at('2027-05-01T00:00Z')).slots;
    const last = at('2026-07-01T03:59:59Z');
    expect(found).toEqual(Array.from({ length: MOST_MISSED }, (_, i) => last - (MOST_MISSED - 1 - i) * 1_000));
  });
});

describe('changes', () => {
  it('a slot that was run moves it on', () => {
    const one = schedule({ missed: 'all' });
    const done = afterSlots(one, due(one, NOW + 2 * MINUTE));
    expect(done).toEqual({ ...one, revision: 2, doneUntil: NOW + 2 * MINUTE, runs: 2, lastSlot: NOW + 2 * MINUTE });
  });

  it('the same again changes nothing, whatever the order of its fields', () => {
    const one = schedule({}, { job: { ...job, options: { node: ['a'], timeout: 5 } } });
    const fresh = { id: 'x', distributor: 'web', now: NOW + DAY };
    const same = { key: 'report', rule: rule(), job: { ...job, options: { timeout: 5, node: ['a'] } } };
    expect(changedSchedule(same, one, fresh)).toBeNull();
  });

  it('other args or another end go on with what there is; another rhythm begins anew', () => {
    const one = schedule({}, { runs: 3, lastSlot: NOW, doneUntil: NOW + 5, paused: true, revision: 9 });
    const fresh = { id: 'x', distributor: 'web', now: NOW + DAY };
    const args = { ...job, args: '{"n":2}' };
    expect(changedSchedule({ key: 'report', rule: rule({ limit: 8 }), job: args }, one, fresh)).toEqual({
      ...one,
      revision: 10,
      rule: rule({ limit: 8 }),
      job: args,
      changedAt: NOW + DAY,
    });
    expect(changedSchedule({ key: 'report', rule: rule({ every: HOUR }), job }, one, fresh)).toMatchObject({
      revision: 10,
      runs: 0,
      lastSlot: null,
      doneUntil: NOW + DAY,
      since: NOW + DAY,
      paused: true,
    });
  });

  it('what passed while it was paused was not missed', () => {
    const paused = pausedSchedule(schedule(), true, NOW)!;
    expect(pausedSchedule(paused, true, NOW)).toBeNull();
    const resumed = pausedSchedule(paused, false, NOW + 10.5 * MINUTE)!;
    expect(due(resumed, NOW + 10.6 * MINUTE).slots).toEqual([]);
    expect(next(resumed)).toBe(NOW + 11 * MINUTE);
  });
});

describe('ids', () => {
  it('are the same for everybody who makes them, and differ by distributor, key and time', () => {
    const id = scheduleId('web', 'report');
    expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-8[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
    expect(scheduleId('web', 'report')).toBe(id);
    expect(new Set([id, scheduleId('we', 'breport'), scheduleId('web2', 'report')]).size).toBe(3);
    expect(slotJobId(id, NOW)).toBe(slotJobId(id, NOW));
    expect(new Set([slotJobId(id, NOW), slotJobId(id, NOW + 1), slotJobId(scheduleId('a', 'b'), NOW)]).size).toBe(3);
  });

  it('of jobs are in the order of their times', () => {
    const ids = [0, 1, 256, 65_536, DAY, 365 * DAY].map((later) => slotJobId(scheduleId('a', 'b'), NOW + later));
    expect([...ids].sort()).toEqual(ids);
  });
});
