import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { IdHeap, type IdEntry } from '../../../lib/distributor/id-heap.js';

const entry = fc.record({
  key: fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double({ noNaN: true })),
  value: fc.integer(),
  size: fc.nat(2 ** 32 - 1),
  pops: fc.nat(2),
});

it('gives ids back as they were, by key and then by order, whatever comes and goes in between', () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 200 }), (given) => {
      const heap = new IdHeap();
      const model: IdEntry[] = [];
      const pop = (): void => {
        model.sort((a, b) => (a.key === b.key ? a.order - b.order : a.key < b.key ? -1 : 1));
        expect(heap.firstKey).toEqual(model[0]?.key);
        expect(heap.first).toEqual(model[0]?.id);
        expect(heap.pop()).toEqual(model.shift());
        expect(heap.size).toBe(model.length);
      };
      for (const [order, { key, value, size, pops }] of given.entries()) {
        const one = { id: randomUUID(), key, order, value, size };
        expect(heap.push(one)).toBe(true);
        model.push(one);
        expect([...heap].toSorted()).toEqual(model.map(({ id }) => id).toSorted());
        for (let n = 0; n < pops; n++) pop();
      }
      while (model.length > 0) pop();
      pop();
    }),
    { numRuns: 200, examples: [[[Infinity, 0, Infinity].map((key) => ({ key, value: 0, size: 0, pops: 0 }))]] },
  );
});

it('takes no id that is not a UUID in lower case with all its digits', () => {
  const heap = new IdHeap();
  for (const id of ['', 'one', 'x'.repeat(36), randomUUID().replace(/.$/, 'g')])
    expect(heap.push({ id, key: 0, order: 0, value: 0, size: 0 })).toBe(false);
  expect([heap.size, heap.pop()]).toEqual([0, undefined]);
});

it('knows the least value of those that fit', () => {
  const heap = new IdHeap();
  const ids = [30, 10, 20].map((value, order) => {
    const id = randomUUID();
    heap.push({ id, key: 0, order, value, size: 0 });
    return id;
  });
  expect(heap.least(() => true)).toBe(10);
  expect(heap.least((id) => id !== ids[1])).toBe(20);
  expect(heap.least(() => false)).toBeUndefined();
});

it('very many ids take 44 bytes each, and less again when they are gone', () => {
  const before = process.memoryUsage().arrayBuffers;
  const heap = new IdHeap();
  const id = randomUUID();
  for (let order = 0; order < 2 ** 18; order++) heap.push({ id, key: 0, order, value: 0, size: 0 });
  const held = process.memoryUsage().arrayBuffers - before;
  // What it outgrew may not have been collected yet.
  expect(held).toBeLessThanOrEqual(2 * 44 * 2 ** 18);
  while (heap.size > 0) heap.pop();
  expect([...heap]).toEqual([]);
});
