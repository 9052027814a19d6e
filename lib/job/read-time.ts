import { describeValue, refuse } from './read-option.js';

/** The end of the year 9999: what ISO texts and the databases' own dates reach. */
const LATEST = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** A date alone is midnight UTC; with a time the offset must be said, or the same text means another moment elsewhere. */
const ISO = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d))?$/i;

/**
 * Whole milliseconds since the epoch of a Date, a number of them, or an ISO text.
 * @throws {JobReactorError} INVALID_JOB
 */
export function readTime(value: Date | number | string, what: string): number {
  let time = NaN;
  if (value instanceof Date) time = value.getTime();
  else if (typeof value === 'number') time = value;
  else if (typeof value === 'string' && ISO.test(value)) time = Date.parse(value);

  const example =
    "Give a Date, milliseconds since the epoch, or an ISO text with its offset such as '2027-01-31T08:00:00Z'.";
  if (Number.isNaN(time)) refuse('INVALID_JOB', `${what}: ${describeValue(value)} is no time. ${example}`);
  if (time < 0 || time > LATEST) {
    refuse('INVALID_JOB', `${what}: ${describeValue(value)} is not between the years 1970 and 9999. ${example}`);
  }
  return Math.ceil(time);
}
