import { describe, expect, it } from 'vitest';
import { parseDuration, parsePositiveDuration } from '../../../lib/job/duration.js';

describe('a duration', () => {
  it.each([
    [0, 0],
    [-0, 0],
    [1500, 1500],
    ['20s', 20_000],
    ['1.5h', 5_400_000],
    ['2 days', 172_800_000],
    [' 5m ', 300_000],
    ['250', 250],
    ['100y', 3_155_760_000_000],
  ])('%j is %d ms', (value, expected) => {
    expect(parseDuration(value, 'after')).toBe(expected);
  });

  it('is rounded up to whole milliseconds, so that nothing is early', () => {
    expect(parseDuration(1.2, 'after')).toBe(2);
    expect(parseDuration('0.1ms', 'after')).toBe(1);
  });

  it.each([
    [NaN, 'NaN is no duration'],
    ['', "'' is no duration"],
    ['soon', "'soon' is no duration"],
    ['20 s ago', "'20 s ago' is no duration"],
    [null, 'null is no duration'],
    [{}, '{} is no duration'],
    [10n, '10n is no duration'],
    [-1, '-1 is negative'],
    ['-5s', "'-5s' is negative"],
    [Infinity, 'Infinity is longer than 100 years'],
    ['101 years', "'101 years' is longer than 100 years"],
  ])('%s is refused, naming the option and the value, with an example', (value, why) => {
    const parse = () => parseDuration(value as string, 'jobs.timeout');
    expect(parse).toThrow(`jobs.timeout: ${why}. Give milliseconds (20000) or a text such as '20s'`);
  });

  it('is refused with the code that the caller gives', () => {
    const code = (run: () => unknown): unknown => {
      try {
        return run();
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect(code(() => parseDuration(NaN, 'x'))).toBe('INVALID_OPTIONS');
    expect(code(() => parseDuration(NaN, 'x', 'INVALID_JOB'))).toBe('INVALID_JOB');
  });

  it('of zero is refused where it makes no sense', () => {
    expect(() => parsePositiveDuration(0, 'period')).toThrow('period: 0 is too short');
    expect(parsePositiveDuration(1, 'period')).toBe(1);
  });
});
