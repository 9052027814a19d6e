import { expect, it } from 'vitest';
import type { JobWrite } from '../../../lib/storage/job-storage.js';
import { InDoubt } from '../../../lib/storage/typeorm/server/in-doubt.js';
import { sampleFeedback, sampleJob } from '../../support/sample-job.js';

const job = sampleJob();
const { id } = job;
const node = { id: 'me', role: 'node' } as const;
const outbox = { id: 'me', role: 'outbox' } as const;
const saves = (kind: 'start' | 'save', status: typeof job.status): JobWrite =>
  ({ kind, id, fence: 0, change: { ...job, fence: 1, status } }) as JobWrite;

/** What is said of a write that was in doubt, asked for again and too late, when the row is like this. */
function said(write: JobWrite, row: object | null, owner: typeof node | typeof outbox = node): unknown {
  const doubts = new InDoubt();
  doubts.add([write]);
  expect(doubts.doubtful([write], ['stale'])).toEqual([id]);
  return doubts.settle([write], ['stale'], row === null ? [] : [{ id, owner: 'me', ...row } as never], owner)[0];
}

it('a write in doubt was done if the row is as it wanted it', () => {
  expect(said(saves('start', 'running'), { fence: 1, status: 'running' })).toBe('done');
  expect(said(saves('save', 'cancelled'), { fence: '1', status: 'cancelled' })).toBe('done');
  expect(said({ kind: 'delete', id, fence: 0 }, null)).toBe('done');
});

it('a write in doubt was not done if another one of this process got there first, with the same fence', () => {
  expect(said(saves('save', 'cancelled'), { fence: 1, status: 'running' })).toBe('stale');
  expect(said(saves('start', 'running'), { fence: 1, status: 'cancelled' })).toBe('stale');
  expect(said({ kind: 'delete', id, fence: 0 }, { fence: 1, status: 'running' })).toBe('stale');
});

it('nor if a node has the row that was to leave the outbox, or another has what was to be written', () => {
  const others = { fence: 1, status: 'running', owner: 'another' };
  expect(said({ kind: 'delete', id, fence: 0 }, others)).toBe('stale');
  expect(said(saves('start', 'running'), others)).toBe('stale');
});

it('nor, of an outbox, if the row is gone: a node may have taken it and ended its job; its feedback says who did', () => {
  const end: JobWrite = { kind: 'delete', id, fence: 0, feedback: sampleFeedback(job) };
  expect(said(end, null, outbox)).toBe('stale');
  expect(said(end, null, node)).toBe('done');
  expect(said({ kind: 'delete', id, fence: 0 }, null, outbox)).toBe('done');
});

it('nor if the row went on, or is gone', () => {
  expect(said(saves('start', 'running'), { fence: 2, status: 'running' })).toBe('stale');
  expect(said(saves('save', 'cancelled'), null)).toBe('stale');
});

it.each<[string, JobWrite]>([
  ['is kept as cancelled', saves('save', 'cancelled')],
  ['is removed', { kind: 'delete', id, fence: 0 }],
])(
  'a cancel that comes while the end of its job is in doubt is too late, and the end is told as done: the job %s',
  (_, cancel) => {
    const doubts = new InDoubt();
    const end: JobWrite = { kind: 'delete', id, fence: 0 };
    doubts.add([end]);
    doubts.add([end]);
    for (let times = 0; times < 2; times++) {
      expect(doubts.doubtful([cancel], ['stale'])).toEqual([]);
      expect(doubts.settle([cancel], ['stale'], [], node)).toEqual(['stale']);
    }
    expect(doubts.doubtful([end], ['stale'])).toEqual([id]);
    expect(doubts.settle([end], ['stale'], [], node)).toEqual(['done']);
    expect(doubts.settle([end], ['stale'], [], node)).toEqual(['stale']);
  },
);

it('and if the cancel was done, the end was not', () => {
  const doubts = new InDoubt();
  const end: JobWrite = { kind: 'delete', id, fence: 0 };
  doubts.add([end]);
  expect(doubts.settle([saves('save', 'cancelled')], ['done'], [], node)).toEqual(['done']);
  expect(doubts.settle([end], ['stale'], [], node)).toEqual(['stale']);
});

it('of two in doubt one is told as done', () => {
  const doubts = new InDoubt();
  const [end, cancel]: JobWrite[] = [
    { kind: 'delete', id, fence: 0 },
    { kind: 'delete', id, fence: 0 },
  ];
  doubts.add([end!]);
  doubts.add([cancel!]);
  expect(doubts.settle([end!], ['stale'], [], node)).toEqual(['done']);
  expect(doubts.settle([cancel!], ['stale'], [], node)).toEqual(['stale']);
});

it('a job that arrives again is there by its id, whatever write it comes with', () => {
  const doubts = new InDoubt();
  doubts.add([{ kind: 'claim', job }]);
  const again: JobWrite = { kind: 'claim', job: { ...job } };
  expect(doubts.doubtful([again], ['stale'])).toEqual([id]);
  expect(doubts.settle([again], ['stale'], [{ id, fence: job.fence, status: job.status, owner: 'me' }], node)).toEqual([
    'done',
  ]);
});
