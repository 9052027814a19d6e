import { expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.js';
import { TimerQueue } from '../../lib/timer-queue.js';
import { ManualClock } from '../support/manual-clock.js';

it('the time that is left goes by the wall clock, never more than a millisecond off it', () => {
  const time = systemClock.now() + 1_000;
  for (let i = 0; i < 10_000; i++) {
    const before = systemClock.now();
    const left = systemClock.until(time);
    const after = systemClock.now();
    expect(left).toBeLessThanOrEqual(time - before);
    expect(left).toBeGreaterThan(time - after - 1);
  }
});

it('the time that is left falls between the milliseconds that the wall clock says', () => {
  const lefts = new Set<number>();
  let start = systemClock.now();
  while (systemClock.now() === start);
  for (start = systemClock.now(); systemClock.now() === start;) lefts.add(systemClock.until(start));
  expect(lefts.size).toBeGreaterThan(1);
});

it('a time of day is waited for to the fraction, and never left early', async () => {
  const queue = new TimerQueue(systemClock, 'wall');
  for (let i = 0; i < 20; i++) {
    const time = systemClock.now() + 2;
    await new Promise<void>((resolve) => queue.at(time, resolve));
    expect(systemClock.now()).toBeGreaterThanOrEqual(time);
  }
});

it('a time of day that rounding puts a little ahead is waited for once more, not for ever', () => {
  const clock = new ManualClock({ now: Date.UTC(2026, 0, 1) });
  clock.advance(0.1);
  clock.advance(0.2);
  const queue = new TimerQueue(clock, 'wall');
  let rang = 0;
  for (let i = 1; i <= 100; i++) queue.at(clock.now() + i, () => rang++);
  clock.advance(101);
  expect([rang, clock.pending]).toEqual([100, 0]);
});
