import type { FeedbackRecord } from '../job/feedback-record.js';
import type { ErrorData } from '../job/job.js';
import { feedback, pickFeedback, readFeedback } from './feedback-objects.js';
import { feedbackIdField, list, nullable, oneOf } from './field.js';
import type { Entry } from './message-entry.js';
import { count, error, MOST_ENTRIES, pickError } from './objects.js';

export interface Result {
  type: 'result';
  feedback: Omit<FeedbackRecord, 'args' | 'result'>;
  args: string;
  result: string; // '' when there is none
}
/** Feedback ids that were taken care of; the node forgets them. */
export interface ResultAck {
  type: 'result-ack';
  ids: string[];
}
/** A feedback that was sent and could not be delivered; the node keeps it. */
export interface Undelivered {
  type: 'undelivered';
  id: string;
  /** FAILED: a method threw. UNDECLARED: this instance has no method for it, another of its name may. */
  code: 'FAILED' | 'UNDECLARED';
  /** What the method threw. */
  error: ErrorData | null;
}
/** How many bytes of results a node may have sent on this connection in all, counted from its start; absolute too. */
export interface ResultCredit {
  type: 'result-credit';
  /** Of args and results, as UTF-8. */
  bytes: number;
}

/** The way of a feedback back to the application. */
export const RESULT_MESSAGES: {
  result: Entry<Result>;
  'result-ack': Entry<ResultAck>;
  undelivered: Entry<Undelivered>;
  'result-credit': Entry<ResultCredit>;
} = {
  result: {
    number: 13,
    from: 'both',
    state: 'after',
    fields: { feedback },
    parts: ['args', 'result'],
    pick: (message) => ({ feedback: pickFeedback(message.feedback) }),
    read: (header) => void (header.feedback = readFeedback(header.feedback as never)),
  },
  'result-ack': {
    number: 14,
    from: 'both',
    state: 'after',
    fields: { ids: list(feedbackIdField, MOST_ENTRIES) },
    parts: [],
    split: 'ids',
  },
  undelivered: {
    number: 27,
    from: 'distributor',
    state: 'after',
    fields: {
      id: feedbackIdField,
      code: oneOf<Undelivered['code']>('FAILED', 'UNDECLARED'),
      error: nullable(error),
    },
    parts: [],
    pick: (message) => ({ id: message.id, code: message.code, error: pickError(message.error) }),
  },
  'result-credit': { number: 31, from: 'distributor', state: 'after', fields: { bytes: count }, parts: [] },
};

/** A feedback as it travels: args and result behind the header, so that a side which passes it on need not parse them. */
export function resultMessage(feedback: FeedbackRecord): Result {
  return { type: 'result', feedback, args: feedback.args, result: feedback.result ?? '' };
}

export function feedbackFrom({ feedback, args, result }: Result): FeedbackRecord {
  return { ...feedback, args, result: result === '' ? null : result };
}

/** Bytes of results that a node may send on a connection before it was granted any. */
export const FIRST_RESULTS = 1024 * 1024;

/** What a result counts. */
export function resultBytes({ args, result }: { args: string; result: string | null }): number {
  return Buffer.byteLength(args) + (result === null ? 0 : Buffer.byteLength(result));
}
