import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Recent } from '../../lib/recent.js';

describe('the latest entries', () => {
  it('the last `limit` keys are always there, with the value set last', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 40 }), fc.integer()), { maxLength: 300 }),
        (limit, sets) => {
          const recent = new Recent<number>(limit);
          const known = new Map<string, number>();
          for (const [key, value] of sets) {
            recent.set(`${key}`, value);
            known.delete(`${key}`);
            known.set(`${key}`, value);
          }
          for (const [key, value] of [...known].slice(-limit)) {
            expect(recent.get(key)).toBe(value);
            expect(recent.has(key)).toBe(true);
          }
        },
      ),
    );
  });

  it('no more than twice as many are kept', () => {
    const recent = new Recent<number>(100);
    for (let i = 0; i < 10_000; i++) recent.set(`${i}`, i);
    const kept = Array.from({ length: 10_000 }, (_, i) => recent.has(`${i}`)).filter(Boolean).length;
    expect(kept).toBeGreaterThanOrEqual(100);
    expect(kept).toBeLessThanOrEqual(200);
  });
});
