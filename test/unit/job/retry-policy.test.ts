import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { BackoffData } from '../../../lib/job/job.js';
import { attemptsLeft, retryDelay } from '../../../lib/job/retry-policy.js';
import type { BackoffFunction } from '../../../lib/job/define-job.js';

const error = { name: 'Error', message: 'no' };
const delays = (backoff: BackoffData | BackoffFunction | undefined, random = () => 0.5): number[] =>
  [1, 2, 3, 4].map((attempt) => retryDelay(backoff, attempt, error, random));
const DAY = 86_400_000;

describe('the wait before the next attempt', () => {
  it('is attempt * 5 s by default, a day at most', () => {
    expect(delays(undefined)).toEqual([5000, 10_000, 15_000, 20_000]);
    expect(retryDelay(undefined, 1_000_000, error, Math.random)).toBe(DAY);
  });

  it('is always the same when it is a duration', () => {
    expect(delays(700)).toEqual([700, 700, 700, 700]);
    expect(delays(0)).toEqual([0, 0, 0, 0]);
  });

  it('grows linearly, without jitter unless asked for', () => {
    expect(delays({ type: 'linear', delay: 100 })).toEqual([100, 200, 300, 400]);
    expect(delays({ type: 'linear', delay: 100, jitter: true })).toEqual([50, 100, 150, 200]);
    expect(delays({ type: 'linear', delay: 100, max: 250 })).toEqual([100, 200, 250, 250]);
  });

  it('doubles, with full jitter unless refused', () => {
    expect(delays({ type: 'exponential', delay: 100, jitter: false })).toEqual([100, 200, 400, 800]);
    expect(delays({ type: 'exponential', delay: 100 })).toEqual([50, 100, 200, 400]);
    expect(delays({ type: 'exponential', delay: 100 }, () => 0)).toEqual([0, 0, 0, 0]);
  });

  it('never passes its bound and is always whole milliseconds, after however many attempts', () => {
    const backoff = fc.record({
      type: fc.constantFrom('linear' as const, 'exponential' as const),
      delay: fc.nat({ max: DAY }),
      max: fc.nat({ max: 10 * DAY }),
      jitter: fc.boolean(),
    });
    fc.assert(
      fc.property(
        backoff,
        fc.integer({ min: 1, max: 2 ** 31 }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (data, attempt, random) => {
          const delay = retryDelay(data, attempt, error, () => random);
          expect(Number.isSafeInteger(delay) && delay >= 0 && delay <= data.max).toBe(true);
        },
      ),
    );
  });

  it('is what an own function says, told the attempt and the error', () => {
    expect(delays((attempt, { message }) => attempt * message.length + 0.5)).toEqual([3, 5, 7, 9]);
  });

  it('is the default where an own function throws or gives no usable number', () => {
    const bad: unknown[] = [NaN, -1, Infinity, 1e300, '5s', undefined, null, 10n];
    for (const value of bad) expect(delays(() => value as number)).toEqual([5000, 10_000, 15_000, 20_000]);
    const throwing = (): number => {
      throw new Error('own bug');
    };
    expect(delays(throwing)).toEqual([5000, 10_000, 15_000, 20_000]);
  });
});

describe('attempts left', () => {
  it('count down from 10 by default, and never end for a periodic job', () => {
    expect(attemptsLeft(undefined, 1, false)).toBe(9);
    expect(attemptsLeft(undefined, 10, false)).toBe(0);
    expect(attemptsLeft(undefined, 1000, true)).toBe(Infinity);
  });

  it('count down from what is given, also for a periodic job; null never ends', () => {
    expect(attemptsLeft(3, 1, true)).toBe(2);
    expect(attemptsLeft(1, 1, false)).toBe(0);
    expect(attemptsLeft(3, 5, false)).toBe(0);
    expect(attemptsLeft(null, 1000, false)).toBe(Infinity);
  });
});
