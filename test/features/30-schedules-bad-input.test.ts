import { Injectable } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { defineJob, JobReactorError, JobSchedule, type ScheduleOptions } from '../../lib/index.js';
import { reactors } from '../support/reactor.js';

/*
 * Whole messages are compared on purpose: each has to say what is wrong, where, and what to do about it.
 */
const system = reactors();
const Counted = defineJob('counted', { schema: z.object({ count: z.number() }) });

const FIELDS =
  "Give five fields (minute, hour, day of the month, month, day of the week) such as '0 3 * * *', or six with seconds first.";
const NIGHTLY = { cron: '0 3 * * *' };

describe('one clear error for', () => {
  const bad: Record<string, [options: unknown, message: string | RegExp]> = {
    'no options': [undefined, 'The options of a schedule must be an object with options, not undefined.'],
    'no rhythm': [{}, 'A schedule needs either `cron` or `every`: when is it to run?'],
    'two rhythms': [{ ...NIGHTLY, every: '1h' }, 'A schedule needs either `cron` or `every`: when is it to run?'],
    'a cron that is none': [
      { cron: 'at noon' },
      new RegExp(`^cron: 'at noon' is no cron expression: .+ ${escaped(FIELDS)}$`),
    ],
    'a cron with a value out of range': [
      { cron: '61 * * * *' },
      `cron: '61 * * * *' is no cron expression: Invalid value for minute: 61 ${FIELDS}`,
    ],
    'a cron with seven fields': [
      { cron: '* * * * * * 2030' },
      /^cron: '\* \* \* \* \* \* 2030' is no cron expression: /,
    ],
    'a cron that is a number': [{ cron: 5 }, `cron: 5 is no cron expression. ${FIELDS}`],
    'a date': [{ cron: '2026-01-01T00:00:00' }, /^cron: '2026-01-01T00:00:00' is no cron expression: /],
    'a day that never comes': [{ cron: '0 0 30 2 *' }, "cron: '0 0 30 2 *' has no time at all: there is no such day."],
    'a zone that is none': [
      { ...NIGHTLY, timezone: 'Europe/Bern' },
      "timezone: 'Europe/Bern' is no time zone that is known here. Give a name such as 'Europe/Berlin' or 'UTC'.",
    ],
    'a zone where none counts': [
      { every: '1h', timezone: 'UTC' },
      '`timezone` is where `cron` is meant; `every` counts the time that passes, the same everywhere.',
    ],
    'an interval that is too short': [
      { every: 999 },
      'every: 999 is too short; a schedule runs once a second at most.',
    ],
    'an interval that is none': [{ every: 'often' }, /^every: 'often' is no duration\. /],
    'a start that is no time': [{ ...NIGHTLY, start: 'tomorrow' }, /^start: 'tomorrow' is no time\. /],
    'an end before the start': [
      { ...NIGHTLY, start: '2027-01-02', end: '2027-01-01' },
      'end: the schedule would be over before it starts (2027-01-02T00:00:00.000Z).',
    ],
    'no runs': [{ ...NIGHTLY, limit: 0 }, 'limit must be a whole number of at least 1, not 0.'],
    'a word for missed runs that is none': [
      { ...NIGHTLY, missed: 'twice' },
      "missed must be 'skip', 'once' or 'all', not 'twice'.",
    ],
    'a key that is empty': [{ ...NIGHTLY, key: '' }, "key must be a name, a text of 1 to 200 characters, not ''."],
    'a key that is too long': [{ ...NIGHTLY, key: 'x'.repeat(201) }, 'key is 201 characters long; 200 are allowed.'],
    'a key with control characters': [
      { ...NIGHTLY, key: 'a\nb' },
      "key holds control characters or half of a surrogate pair: 'a\\nb'.",
    ],
    'an option that does not exist': [
      { ...NIGHTLY, timzone: 'UTC' },
      'There is no option `timzone`: did you mean `timezone`?',
    ],
    'a time to expire at': [{ ...NIGHTLY, expires: new Date() }, /^expires: .+ is no duration\. /],
    closures: [
      { ...NIGHTLY, onSuccess: () => undefined },
      '`onSuccess` is of enqueue() and not of a schedule: closures end with the process. Declare `@OnSuccessFeedback`.',
    ],
    'a transaction': [
      { ...NIGHTLY, manager: {} },
      '`manager` is of enqueue() and not of a schedule: it is kept at once, and not in your transaction.',
    ],
    'an option of its runs that can not be right': [
      { ...NIGHTLY, maxAttempts: 0 },
      'maxAttempts must be a whole number of at least 1, not 0.',
    ],
    'a function': [{ ...NIGHTLY, backoff: () => 5 }, /^backoff: A function can't be sent to a node\. /],
  };

  it.each(Object.entries(bad))('%s', async (_, [options, message]) => {
    const { client } = await system.application();
    const error: JobReactorError = await client.schedule('work', {}, options as ScheduleOptions).then(
      () => Promise.reject(new Error('It was taken.')),
      (thrown: JobReactorError) => thrown,
    );
    expect(error).toBeInstanceOf(JobReactorError);
    expect(error.code).toBe('INVALID_JOB');
    if (typeof message === 'string') expect(error.message).toBe(message);
    else expect(error.message).toMatch(message);
    expect(await client.schedules.list()).toEqual([]);
  });

  it('args that can not be, and a question about no key', async () => {
    const { client } = await system.application();
    await expect(client.schedule('work', () => 1, NIGHTLY)).rejects.toMatchObject({ code: 'SERIALIZATION' });
    await expect(client.schedule(Counted, { count: 'x' } as never, NIGHTLY)).rejects.toMatchObject({
      code: 'ARGS_INVALID',
    });
    await expect(client.schedule('', {}, NIGHTLY)).rejects.toMatchObject({ code: 'INVALID_JOB' });
    await expect(client.schedules.pause('')).rejects.toMatchObject({
      code: 'INVALID_QUERY',
      message: "The key of a schedule must be a name, a text of 1 to 200 characters, not ''.",
    });
    expect(await client.schedules.list()).toEqual([]);
  });

  it('@JobSchedule with a cron that is none, as the class is declared', () => {
    expect(() => JobSchedule('0 25 * * *', 'report')).toThrow(
      expect.objectContaining({
        code: 'INVALID_OPTIONS',
        message: `@JobSchedule(): cron: '0 25 * * *' is no cron expression: Invalid value for hour: 25 ${FIELDS}`,
      }),
    );
    expect(() => {
      class Wrong {
        @JobSchedule('0 3 * * *', 'report')
        static report(): void {}
      }
      return Wrong;
    }).toThrow(expect.objectContaining({ code: 'INVALID_OPTIONS' }));
  });

  it('two methods with one key, at start', async () => {
    @Injectable()
    class Twice {
      @JobSchedule('0 3 * * *', 'report') first(): object {
        return {};
      }
      @JobSchedule('0 4 * * *', 'report') second(): object {
        return {};
      }
    }
    await expect(system.application({ providers: [Twice] })).rejects.toMatchObject({
      code: 'DUPLICATE_HANDLER',
      message:
        "Twice.first and Twice.second declare schedules with the same key 'report'. Give each a `key` of its own.",
    });
  });
});

function escaped(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
