import { expect, it } from 'vitest';
import { readFeedback } from '../../../lib/job/feedback.js';
import type { FeedbackRecord } from '../../../lib/job/feedback-record.js';
import { serialise } from '../../../lib/job/serialise.js';

const record = {
  id: 'x:1',
  status: 'succeeded',
  args: serialise({ at: new Date(1) }, 'args'),
  result: serialise(undefined, 'result'),
  error: null,
  job: { id: 'x' },
} as unknown as FeedbackRecord;

it('a feedback has args and result as values, and no error, when the run succeeded', () => {
  const expected = { id: 'x:1', status: 'succeeded', args: { at: new Date(1) }, result: undefined, error: null };
  expect(readFeedback(record)).toStrictEqual({ ...expected, job: { id: 'x' } });
  expect(readFeedback({ ...record, result: '{"x":1}' }).result).toEqual({ x: 1 });
});

it('a feedback has the error as data, and no result, when it did not', () => {
  const error = { name: 'TypeError', message: 'no' };
  const feedback = readFeedback({ ...record, status: 'failed', error });
  expect(feedback).toMatchObject({ status: 'failed', error, result: undefined });
});
