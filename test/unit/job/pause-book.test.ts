import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MOST_PAUSES, PauseBook, type Pause } from '../../../lib/job/pause-book.js';

const NOW = 1_800_000_000_000;
const DAY = 24 * 3_600_000;

const word = fc.record<Pause>({
  kind: fc.constantFrom('job' as const, 'node' as const),
  name: fc.constantFrom('a', 'b'),
  paused: fc.boolean(),
  changedAt: fc.integer({ min: NOW, max: NOW + 5 }),
});

const state = (book: PauseBook): unknown =>
  book.all().sort((a, b) => (`${a.kind} ${a.name}` < `${b.kind} ${b.name}` ? -1 : 1));

describe('words on what is paused', () => {
  it('come to the same in any order, and said twice', () => {
    fc.assert(
      fc.property(fc.array(word), fc.infiniteStream(fc.nat()), (words, random) => {
        const [one, other] = [new PauseBook(), new PauseBook()];
        one.merge(words, NOW);
        const shuffled = words.map((each) => ({ each, at: random.next().value as number })).sort((a, b) => a.at - b.at);
        for (const { each } of shuffled) other.merge([each, each], NOW);
        expect(state(other)).toEqual(state(one));
      }),
    );
  });

  it('said now come after all that are known, also where those are from a clock that is ahead', () => {
    const book = new PauseBook();
    book.merge([{ kind: 'job', name: 'a', paused: true, changedAt: NOW + 1_000 }], NOW);
    const resumed = book.word('job', 'a', false, NOW);
    expect(book.merge([resumed], NOW)).toEqual([resumed]);
    expect(book.isPaused('job', 'a')).toBe(false);
    expect(book.isPaused('node', 'a')).toBe(false);
  });

  it('from a clock more than a day ahead are not heard', () => {
    const book = new PauseBook();
    expect(book.merge([{ kind: 'job', name: 'a', paused: true, changedAt: NOW + DAY + 1 }], NOW)).toEqual([]);
    expect(book.paused()).toEqual([]);
  });

  it('of names that go on are forgotten, those that are paused are not, and no more than so many are heard', () => {
    const book = new PauseBook();
    const named = (from: number, paused: boolean): Pause[] =>
      Array.from({ length: MOST_PAUSES }, (_, i) => ({
        kind: 'job',
        name: `${from + i}`,
        paused,
        changedAt: NOW + from + i,
      }));
    book.merge([{ kind: 'node', name: 'first', paused: true, changedAt: NOW - 1 }], NOW);
    book.merge(named(0, false), NOW);
    expect(book.isPaused('node', 'first')).toBe(true);
    expect(book.all()).toHaveLength(MOST_PAUSES);
    book.merge(named(MOST_PAUSES, true), NOW);
    expect(book.paused()).toHaveLength(MOST_PAUSES);
    expect(book.all()).toHaveLength(MOST_PAUSES);
    expect(book.admits('job', 'one more')).toBe(false);
    expect(book.admits('node', 'first')).toBe(true);
  });
});
