import { expect, it } from 'vitest';
import type { JobWrite } from '../../../lib/storage/job-storage.js';
import { InDoubt } from '../../../lib/storage/typeorm/server/in-doubt.js';
import { sampleJob } from '../../support/sample-job.js';

const job = sampleJob();
const { id } = job;
const saves = (kind: 'start' | 'save', status: typeof job.status): JobWrite =>
  ({ kind, id, fence: 0, change: { ...job, fence: 1, status } }) as JobWrite;

/** What is said of a write that was in doubt, asked for again and too late, when the row is like this. */
function said(write: JobWrite, row: object | null): unknown {
  const doubts = new InDoubt();
  doubts.add([write]);
  expect(doubts.doubtful([write], ['stale'])).toEqual([id]);
  return doubts.settle([write], ['stale'], row === null ? [] : [{ id, ...row } as never])[0];
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

it('nor if the row went on, or is gone', () => {
  expect(said(saves('start', 'running'), { fence: 2, status: 'running' })).toBe('stale');
  expect(said(saves('save', 'cancelled'), null)).toBe('stale');
});
