import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../support/manual-clock.js';

describe('the manual clock', () => {
  it('fires timers in the order of their time, then of their making, those made meanwhile included', () => {
    const clock = new ManualClock({ now: 1000 });
    const fired: string[] = [];
    const note = (name: string) => (): void => void fired.push(`${name}@${clock.now()}`);
    clock.after(20, note('c'));
    clock.after(10, note('a'));
    clock.after(10, note('b')).cancel();
    clock.after(10, () => clock.after(5, note('later')));
    clock.after(20, note('d'));
    clock.after(0, note('now'));
    expect(clock.pending).toBe(5);
    clock.advance(19);
    expect(fired).toEqual(['now@1000', 'a@1010', 'later@1015']);
    clock.advance(1);
    expect(fired.slice(3)).toEqual(['c@1020', 'd@1020']);
    expect([clock.now(), clock.monotonic(), clock.nextDue]).toEqual([1020, 20, null]);
  });

  it('orders many timers', () => {
    const clock = new ManualClock();
    const fired: number[] = [];
    for (let i = 0; i < 1000; i++) clock.after((i * 7919) % 1000, () => fired.push(clock.monotonic()));
    clock.advance(1000);
    expect(fired).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  });

  it('fires late when it stalls, and moves the wall clock alone when told so', () => {
    const clock = new ManualClock({ now: 0 });
    let at = -1;
    clock.after(10, () => (at = clock.monotonic()));
    clock.stall(100);
    expect(at).toBe(100);
    clock.shiftWall(-50);
    expect([clock.now(), clock.monotonic()]).toEqual([50, 100]);
  });

  it('ends a tick by itself, after each timer, or only when told', async () => {
    const clock = new ManualClock();
    const done: string[] = [];
    clock.endOfTick(() => {
      done.push('first');
      clock.endOfTick(() => done.push('second'));
    });
    expect(done).toEqual([]);
    await Promise.resolve();
    await Promise.resolve();
    expect(done).toEqual(['first', 'second']);
    clock.after(1, () => clock.endOfTick(() => done.push('timer')));
    clock.advance(1);
    expect(done).toHaveLength(3);

    const manual = new ManualClock({ ticks: 'manual' });
    manual.endOfTick(() => done.push('manual'));
    await manual.advanceAsync(10);
    expect(done).toHaveLength(3);
    manual.endTick();
    expect(done).toHaveLength(4);
  });
});
