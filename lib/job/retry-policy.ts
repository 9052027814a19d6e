import type { BackoffFunction } from './define-job.js';
import { LONGEST_DURATION } from './duration.js';
import type { BackoffData, ErrorData } from './job.js';

const DEFAULT_DELAY = 5_000;
const DEFAULT_MAX = 24 * 60 * 60 * 1000;
const DEFAULT_MAX_ATTEMPTS = 10;

/**
 * Milliseconds to wait after `attempt` (1 for the first) failed with `error`. `random` gives numbers in [0, 1).
 * An own function that throws or answers with no usable number must not cost the job: the default stands in for it.
 */
export function retryDelay(
  backoff: BackoffData | BackoffFunction | undefined,
  attempt: number,
  error: ErrorData,
  random: () => number,
): number {
  if (typeof backoff === 'number') return backoff;
  if (typeof backoff === 'function') return ownDelay(backoff, attempt, error) ?? defaultDelay(attempt);
  if (backoff === undefined) return defaultDelay(attempt);

  // The exponent is bounded because 0 * 2 ** 5000 is no number.
  const factor = backoff.type === 'linear' ? attempt : 2 ** Math.min(attempt - 1, 100);
  const delay = Math.min(backoff.delay * factor, backoff.max ?? DEFAULT_MAX);
  const jitter = backoff.jitter ?? backoff.type === 'exponential';
  return Math.ceil(jitter ? delay * random() : delay);
}

function defaultDelay(attempt: number): number {
  return Math.min(attempt * DEFAULT_DELAY, DEFAULT_MAX);
}

function ownDelay(backoff: BackoffFunction, attempt: number, error: ErrorData): number | undefined {
  try {
    const delay: unknown = backoff(attempt, error);
    if (typeof delay !== 'number' || !(delay >= 0) || delay > LONGEST_DURATION) return undefined;
    return Math.ceil(delay);
  } catch {
    return undefined;
  }
}

/**
 * How many attempts may still follow `attempt`, the one that just ended. `maxAttempts` undefined means the default: 10,
 * and unlimited for periodic jobs; null means unlimited.
 */
export function attemptsLeft(maxAttempts: number | null | undefined, attempt: number, periodic: boolean): number {
  const limit = maxAttempts === undefined ? (periodic ? null : DEFAULT_MAX_ATTEMPTS) : maxAttempts;
  return limit === null ? Infinity : Math.max(0, limit - attempt);
}
