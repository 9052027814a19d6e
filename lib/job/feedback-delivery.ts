import type { FeedbackDelivery } from './feedback-record.js';
import type { ErrorData } from './job.js';

const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 3_600_000;

/**
 * The application's methods threw: the feedback is sent again after 1 s, then 2 s, 4 s and so on up to an hour, and is
 * parked when that was failure number `maxDeliveries`.
 */
export function deliveryFailed(
  { failures }: FeedbackDelivery,
  lastError: ErrorData,
  now: number,
  maxDeliveries: number,
): FeedbackDelivery {
  // The exponent is bounded because a row may say anything.
  const wait = Math.min(FIRST_WAIT * 2 ** Math.min(failures, 30), LONGEST_WAIT);
  const isLast = failures + 1 >= maxDeliveries;
  return { failures: failures + 1, dueAt: isLast ? null : now + wait, lastError };
}

/** Somebody wants it to be sent again: now, and with all its deliveries. */
export const DELIVERED_ANEW: FeedbackDelivery = { failures: 0, dueAt: 0, lastError: null };
