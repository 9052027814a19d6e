import { parsePositiveDuration, type Duration } from './duration.js';
import { refuse } from './read-option.js';
import { readTime } from './read-time.js';

/** Meant as a time, whether it is one or not: no duration begins with a year. */
const LIKE_ISO = /^\d{4}-/;

/**
 * The time a job expires at: a duration counts from `now`, a Date or an ISO text is that time. `due`, where the caller
 * gave it, is when the job may start at the earliest.
 * @throws {JobReactorError} INVALID_JOB
 */
export function readExpires(given: Duration | Date, now: number, due: number | undefined): number {
  const isTime = given instanceof Date || (typeof given === 'string' && LIKE_ISO.test(given));
  const time = isTime ? readTime(given, 'expires') : now + parsePositiveDuration(given, 'expires', 'INVALID_JOB');
  if (due !== undefined && time <= due) {
    const [at, from] = [time, due].map((one) => new Date(one).toISOString());
    refuse('INVALID_JOB', `expires: the job would have expired (${at}) before it may start (${from}).`);
  }
  return time;
}
