import type { InputOf, JobDefinition, ResultOf } from './define-job.js';
import type { FeedbackRecord } from './feedback-record.js';
import type { ErrorData, JobInfo } from './job.js';
import { deserialise } from './serialise.js';

/** Jobs enqueued by a plain name have args and results of any shape. */
type FeedbackArgs<D> = D extends JobDefinition ? InputOf<D> : unknown;
type FeedbackResult<D> = D extends JobDefinition ? ResultOf<D> : unknown;

interface FeedbackBase<D> {
  /** Stable: the same however often this feedback is delivered. */
  id: string;
  /** As the run left them: with what the job, its callbacks and errbacks added. */
  args: FeedbackArgs<D>;
  job: JobInfo;
}

/**
 * What the application is told of a job's end, or of one run of a periodic job. `status` tells which: `succeeded` has a
 * `result`, the others an `error` as data (for `cancelled` its message is the reason).
 */
export type Feedback<D = unknown> =
  | (FeedbackBase<D> & { status: 'succeeded'; result: FeedbackResult<D>; error: null })
  | (FeedbackBase<D> & { status: 'failed' | 'dead' | 'cancelled'; result: undefined; error: ErrorData });

/** @throws {JobReactorError} SERIALIZATION when args or result are no text that `serialise` made */
export function readFeedback(record: FeedbackRecord): Feedback {
  const base = { id: record.id, args: deserialise(record.args), job: record.job };
  if (record.status === 'succeeded') {
    const result = record.result === null ? undefined : deserialise(record.result);
    return { ...base, status: 'succeeded', result, error: null };
  }
  const error = record.error ?? { name: 'Error', message: 'unknown' };
  return { ...base, status: record.status, result: undefined, error };
}
