import { describe, expect, it } from 'vitest';
import { defineJob } from '../../../lib/job/define-job.js';
import { readEnqueueOptions, type EnqueueOptions } from '../../../lib/job/enqueue-options.js';

const NOW = Date.UTC(2026, 10, 1);
const ID = '0190a5b0-0000-7000-8000-00000000000a';
const read = (options?: EnqueueOptions) => readEnqueueOptions(options, undefined, NOW);

describe('the options of one enqueue', () => {
  it('may be left out: now, once, wherever it fits', () => {
    const request = { runAt: NOW, priority: 0, options: {}, confirm: 'accepted' };
    expect(read()).toEqual(request);
    expect(read({})).toEqual(request);
    expect(read({ after: undefined, node: undefined, id: undefined, onError: undefined })).toEqual(request);
  });

  it('are validated into plain data', () => {
    const onSuccess = () => undefined;
    expect(
      read({
        id: ID.toUpperCase(),
        after: '20s',
        period: '1m',
        node: 'gpu',
        notNode: ['a', 'b', 'a'],
        strictNode: true,
        maxAttempts: 3,
        backoff: { type: 'exponential', delay: '1s' },
        timeout: '30s',
        priority: 7,
        confirm: 'stored',
        distributor: 'web',
        onSuccess,
      }),
    ).toEqual({
      id: ID,
      runAt: NOW + 20_000,
      priority: 7,
      options: {
        period: 60_000,
        node: ['gpu'],
        notNode: ['a', 'b'],
        strictNode: true,
        maxAttempts: 3,
        backoff: { type: 'exponential', delay: 1000 },
        timeout: 30_000,
      },
      confirm: 'stored',
      distributor: 'web',
      onSuccess,
    });
  });

  it.each<[EnqueueOptions['runAt'], number]>([
    [new Date(NOW + 5), NOW + 5],
    [NOW + 7.5, NOW + 8],
    ['2026-11-01T00:00:09Z', NOW + 9000],
    ['2026-11-01T02:00:09.5+02:00', NOW + 9500],
    ['2026-11-02', NOW + 86_400_000],
    ['9999-12-31T23:59:59.999Z', 253_402_300_799_999],
    [0, 0],
  ])('take %s as a time', (runAt, expected) => {
    expect(read({ runAt }).runAt).toBe(expected);
  });

  it('overrule the definition, which overrules the application', () => {
    const job = defineJob('x', { maxAttempts: 5, timeout: '1s', priority: 2 });
    const jobs = { defaults: { maxAttempts: 7, priority: 9, backoff: 50 }, strictNode: true };
    expect(readEnqueueOptions({ maxAttempts: null }, job, NOW, jobs)).toMatchObject({
      priority: 2,
      options: { maxAttempts: null, defaults: { maxAttempts: 5, timeout: 1000, backoff: 50 } },
    });
    expect(readEnqueueOptions(undefined, job, NOW, jobs)).toMatchObject({
      options: { defaults: { maxAttempts: 5 } },
    });
    expect(readEnqueueOptions({ node: 'a' }, job, NOW, jobs).options.strictNode).toBe(true);
    expect(readEnqueueOptions({ node: 'a', strictNode: false }, job, NOW, jobs).options.strictNode).toBe(false);
    expect(readEnqueueOptions({ node: 'a' }, job, NOW).options).not.toHaveProperty('strictNode');
  });

  it('insist on a thread, or on none, and leave what the definition says of it to the node', () => {
    const job = defineJob('x', { thread: true });
    expect(readEnqueueOptions({}, job, NOW).options).toEqual({});
    expect(readEnqueueOptions({ thread: false }, job, NOW).options).toEqual({ thread: false });
    expect(readEnqueueOptions({ thread: true }, undefined, NOW).options).toEqual({ thread: true });
  });

  it('leave a backoff function where it was defined, and do not overrule it with the default of the application', () => {
    const job = defineJob('x', { backoff: () => 1 });
    expect(readEnqueueOptions({}, job, NOW, { defaults: { backoff: 50 }, strictNode: false }).options).toEqual({});
    expect(readEnqueueOptions({ backoff: 7 }, job, NOW).options).toEqual({ backoff: 7 });
  });
});

describe('it is refused', () => {
  it.each<[unknown, string]>([
    [{ aftr: 1 }, 'There is no option `aftr`: did you mean `after`?'],
    [{ colour: 1 }, 'There is no option `colour`. The options are id, after,'],
    ['20s', "The options of enqueue() must be an object with options, not '20s'."],
    [null, 'not null'],
    [{ after: 1, runAt: NOW }, '`after` and `runAt` both say when the job runs'],
    [{ after: NaN }, 'after: NaN is no duration'],
    [{ after: -1 }, 'after: -1 is negative'],
    [{ after: '200 years' }, 'longer than 100 years'],
    [{ period: 0 }, 'period: 0 is too short'],
    [{ timeout: 0 }, 'timeout: 0 is too short'],
    [{ runAt: new Date(NaN) }, 'runAt: Invalid Date is no time. Give a Date, milliseconds since the epoch, or an ISO'],
    [{ runAt: NaN }, 'runAt: NaN is no time'],
    [{ runAt: '2026-11-01T10:00' }, 'is no time'],
    [{ runAt: 'tomorrow' }, "'tomorrow' is no time"],
    [{ runAt: '2026-13-01' }, 'is no time'],
    [{ runAt: 253_402_300_800_000 }, 'is not between the years 1970 and 9999'],
    [{ runAt: -1 }, 'is not between'],
    [{ id: 'order-7' }, "id must be a UUID, not 'order-7'. Leave it out to get one."],
    [{ id: 7 }, 'id must be a UUID'],
    [{ node: '' }, 'node must be a name'],
    [{ node: ['a', 7] }, 'node[1] must be a name'],
    [{ node: 'a', notNode: ['b', 'a'] }, "The node 'a' is in both `node` and `notNode`."],
    [{ strictNode: 'yes' }, "strictNode must be true or false, not 'yes'."],
    [{ maxAttempts: 0 }, 'maxAttempts must be a whole number of at least 1, not 0.'],
    [{ backoff: () => 1 }, "backoff: A function can't be sent to a node. Put it in defineJob"],
    [{ backoff: { type: 'linear', delay: 'x' } }, "backoff.delay: 'x' is no duration"],
    [{ priority: 'high' }, 'priority must be a whole number'],
    [{ confirm: 'yes' }, "confirm must be 'accepted' or 'stored', not 'yes'."],
    [{ distributor: 7 }, 'distributor must be a name'],
    [{ onSuccess: 'x' }, "onSuccess must be a function, not 'x'."],
    [{ onError: null }, 'onError must be a function, not null.'],
    [{ manager: {} }, 'manager must be the EntityManager of a TypeORM transaction, not {}.'],
    [{ key: null }, 'key must be a text or { value, until, onConflict }, not null.'],
    [{ key: { until: 'ended' } }, 'key.value must be a text of 1 to 255 characters, not undefined.'],
    [{ key: { value: 'a', until: 0 } }, "key.until ('started', 'ended' or a duration): 0 is too short."],
    [{ key: { value: 'a', until: null } }, "key.until must be 'started', 'ended' or a duration, not null."],
    [{ expires: '5 sex' }, "expires: '5 sex' is no duration"],
    [{ expires: '1m', after: '2m' }, 'expires: the job would have expired'],
    [{ thread: 'yes' }, "thread must be true or false, not 'yes'."],
  ])('%j', (options, message) => {
    expect(() => read(options as EnqueueOptions)).toThrow(expect.objectContaining({ code: 'INVALID_JOB' }) as Error);
    expect(() => read(options as EnqueueOptions)).toThrow(message);
  });
});
