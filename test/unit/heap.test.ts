import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Heap, type HeapEntry } from '../../lib/heap.js';
import { seededRandom } from '../support/seeded-random.js';

interface Entry extends HeapEntry {
  key: number;
  order: number;
}

const before = (a: Entry, b: Entry): boolean => a.key < b.key || (a.key === b.key && a.order < b.order);
const byTurn = (a: Entry, b: Entry): number => (before(a, b) ? -1 : 1);

/** The same as a sorted list. */
class Model {
  readonly heap = new Heap<Entry>(before);
  readonly #sorted: Entry[] = [];
  #order = 0;

  push(key: number): void {
    const entry = { key, order: this.#order++, position: -1 };
    this.heap.push(entry);
    this.#sorted.push(entry);
    this.#sorted.sort(byTurn);
    this.#same();
  }

  /** `at`: of 0 to 1, from the first to the last. */
  remove(at: number): void {
    const [entry] = this.#sorted.splice(Math.floor(at * this.#sorted.length), 1);
    if (!entry) return;
    expect(this.heap.remove(entry)).toBe(true);
    expect(entry.position).toBe(-1);
    expect(this.heap.remove(entry)).toBe(false);
    this.#same();
  }

  pop(): void {
    expect(this.heap.pop()).toBe(this.#sorted.shift());
    this.#same();
  }

  all(): void {
    expect([...this.heap].toSorted(byTurn)).toEqual(this.#sorted);
  }

  get size(): number {
    return this.#sorted.length;
  }

  #same(): void {
    expect(this.heap.peek()).toBe(this.#sorted[0]);
    expect(this.heap.size).toBe(this.#sorted.length);
  }
}

describe('a heap', () => {
  it('gives the first, whatever came and went in between', () => {
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ push: fc.integer({ min: 0, max: 20 }) }) },
      { weight: 2, arbitrary: fc.record({ later: fc.integer({ min: 0, max: 3 }) }) },
      { weight: 2, arbitrary: fc.record({ remove: fc.double({ min: 0, max: 0.999, noNaN: true }) }) },
      { weight: 1, arbitrary: fc.constant({ pop: true }) },
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const model = new Model();
        let time = 0;
        for (const one of steps) {
          if ('push' in one) model.push(one.push);
          else if ('later' in one) model.push((time += one.later));
          else if ('remove' in one) model.remove(one.remove);
          else model.pop();
          model.all();
        }
        while (model.size > 0) model.pop();
        model.pop();
      }),
    );
  });

  it('where very many come in their order, and go as they came', () => {
    const model = new Model();
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 1_500; i++) model.push(round * 10_000 + i);
      for (let i = 0; i < 1_400; i++) model.pop();
      model.all();
    }
    while (model.size > 0) model.pop();
    model.all();
  });

  it('where most of them are taken out from the middle', () => {
    const random = seededRandom(3);
    const model = new Model();
    for (let i = 0; i < 3_000; i++) model.push(i);
    for (let i = 0; i < 2_900; i++) model.remove(0.01 + random() * 0.98);
    model.all();
    for (let i = 0; i < 50; i++) model.push(random() * 4_000);
    model.all();
    while (model.size > 0) model.pop();
  });

  it('tells of some that come next, and takes none of them out', () => {
    const heap = new Heap<{ position: number; at: number }>((a, b) => a.at < b.at);
    const entries = [3, 5, 1, 8, 9].map((at) => ({ position: -1, at }));
    for (const entry of entries) heap.push(entry);
    heap.remove(entries[1]!);
    const next = heap.next(2);
    expect([next.length, heap.size]).toEqual([1, 4]);
    for (const entry of next) expect(entries).toContain(entry);
    while (heap.size > 1) heap.pop();
    expect(heap.next(5).map(({ at }) => at)).toEqual([9]);
    heap.pop();
    expect(heap.next(5)).toEqual([]);
  });

  it('takes none for its own that stands elsewhere', () => {
    const [one, other] = [new Heap<Entry>(before), new Heap<Entry>(before)];
    const entry = { key: 1, order: 1, position: -1 };
    expect(one.remove(entry)).toBe(false);
    one.push({ ...entry });
    other.push(entry);
    expect(one.remove(entry)).toBe(false);
    expect([one.size, other.size]).toEqual([1, 1]);
  });
});
