import ms from 'ms';
import { JobReactorError } from '../job-reactor.error.js';
import { describeValue, type RefusalCode } from './read-option.js';

/** Milliseconds as a number, or a string such as `'20s'`, `'5m'`, `'1.5h'`, `'2 days'`. */
export type Duration = number | string;

/** 100 years: whatever is longer is a slip of the unit, not a wish. */
export const LONGEST_DURATION = 100 * 365.25 * 24 * 60 * 60 * 1000;

/**
 * Whole milliseconds of a duration, rounded up so that nothing is early. `what` names the option in the message.
 * @throws {JobReactorError} INVALID_OPTIONS, or the code given
 */
export function parseDuration(value: Duration, what: string, code: RefusalCode = 'INVALID_OPTIONS'): number {
  const parsed = typeof value === 'string' ? fromText(value) : value;
  if (typeof parsed !== 'number' || Number.isNaN(parsed)) throw refusal(value, what, code, 'is no duration');
  if (parsed < 0) throw refusal(value, what, code, 'is negative');
  if (parsed > LONGEST_DURATION) throw refusal(value, what, code, 'is longer than 100 years');
  return Math.max(0, Math.ceil(parsed)); // -0 becomes 0
}

/** As `parseDuration`, where a duration of 0 makes no sense either: a timeout, a period. */
export function parsePositiveDuration(
  value: Duration,
  what: string,
  code: RefusalCode = 'INVALID_OPTIONS',
  longest = Infinity,
): number {
  const parsed = parseDuration(value, what, code);
  if (parsed === 0) throw refusal(value, what, code, 'is too short');
  if (parsed > longest) throw refusal(value, what, code, `is longer than ${ms(longest, { long: true })}`);
  return parsed;
}

function fromText(text: string): number | undefined {
  const trimmed = text.trim();
  // `ms` throws for the empty string and answers undefined for everything else it can't read.
  return trimmed === '' ? undefined : ms(trimmed as ms.StringValue);
}

function refusal(value: unknown, what: string, code: RefusalCode, why: string): JobReactorError {
  const example = "Give milliseconds (20000) or a text such as '20s', '5m', '1.5h', '2 days'.";
  return new JobReactorError(code, `${what}: ${describeValue(value)} ${why}. ${example}`);
}
