import type { FeedbackRecord } from '../job/feedback-record.js';
import type { ParkedFeedback, ParkedPageQuery } from '../job/parked-feedback.js';
import { type Check, feedbackIdField, flag, integer, nullable, oneOf, optional, record, text, uuid } from './field.js';
import { assignment, count, error, info, listeners, name, names, origin, pickError } from './objects.js';

/*
 * The objects about the end of a job: see objects.ts for what a pick does.
 */

const fieldsOfFeedback = {
  id: feedbackIdField,
  jobId: uuid,
  name,
  origin,
  listeners,
  assignment,
  status: oneOf<FeedbackRecord['status']>('succeeded', 'failed', 'cancelled', 'dead'),
  final: flag,
  side: oneOf<FeedbackRecord['side']>('success', 'error'),
  error: nullable(error),
  job: info,
};
type SentFeedback = Omit<FeedbackRecord, 'args' | 'result'>;
export const feedback = record<SentFeedback>('a feedback object', fieldsOfFeedback);

const fieldsOfParked = {
  id: feedbackIdField,
  status: oneOf<FeedbackRecord['status']>('succeeded', 'failed', 'cancelled', 'dead'),
  job: info,
  error: nullable(error),
  failures: count,
  lastError: nullable(error),
  node: nullable(name),
};
export const parkedFeedback = record<ParkedFeedback>('a parked feedback object', fieldsOfParked);

const fieldsOfParkedFilter = {
  node: optional(nullable(names)),
  name: optional(name),
  id: optional(text(53, 36)),
  after: nullable(text(53, 36)),
  limit: integer(1, 1000),
};
export const parkedFilter = record<ParkedPageQuery>('a parked filter object', fieldsOfParkedFilter);

/** For the specification: these objects by the name their section has there. */
export const FEEDBACK_OBJECTS: ReadonlyMap<string, Readonly<Record<string, Check>>> = new Map<
  string,
  Record<string, Check>
>([
  ['feedback', fieldsOfFeedback],
  ['parked feedback', fieldsOfParked],
  ['parked filter', fieldsOfParkedFilter],
]);

export function pickFeedback(from: SentFeedback): SentFeedback {
  return {
    id: from.id,
    jobId: from.jobId,
    name: from.name,
    origin: from.origin,
    listeners: from.listeners,
    assignment: from.assignment,
    status: from.status,
    final: from.final,
    side: from.side,
    error: pickError(from.error),
    job: from.job.lastError === null ? from.job : { ...from.job, lastError: pickError(from.job.lastError) },
  };
}

export function pickParked(from: ParkedFeedback): ParkedFeedback {
  const job = from.job.lastError === null ? from.job : { ...from.job, lastError: pickError(from.job.lastError) };
  return { ...from, job, error: pickError(from.error), lastError: pickError(from.lastError) };
}
