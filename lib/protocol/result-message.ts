import type { FeedbackRecord } from '../job/job.js';
import type { Result } from './message.js';

/** A feedback as it travels: args and result behind the header, so that a side which passes it on need not parse them. */
export function resultMessage(feedback: FeedbackRecord): Result {
  return { type: 'result', feedback, args: feedback.args, result: feedback.result ?? '' };
}

export function feedbackFrom({ feedback, args, result }: Result): FeedbackRecord {
  return { ...feedback, args, result: result === '' ? null : result };
}
