import { describe, expect, it } from 'vitest';
import { ChurningMap } from '../../lib/churning-map.js';
import { ChurningSet } from '../../lib/churning-set.js';
import { seededRandom } from '../support/seeded-random.js';

/** Enough for several renewals of the tables. */
const MANY = 40_000;

describe('ChurningMap', () => {
  it('answers as a Map does, whatever is done to both', () => {
    const random = seededRandom(7);
    const [map, churning] = [new Map<string, number>(), new ChurningMap<string, number>()];
    for (let i = 0; i < MANY; i++) {
      const key = `key ${Math.floor(random() * 300)}`;
      const what = random();
      if (what < 0.5) expect(churning.set(key, i) === churning).toBe(map.set(key, i) === map);
      else if (what < 0.9995) expect(churning.delete(key)).toBe(map.delete(key));
      else for (const either of [churning, map]) either.clear();
      const other = `key ${Math.floor(random() * 300)}`;
      expect([churning.get(other), churning.has(other), churning.size]).toEqual([
        map.get(other),
        map.has(other),
        map.size,
      ]);
      if (i % 997 === 0) expect([...churning]).toEqual([...map]);
    }
    expect([...churning.keys()]).toEqual([...map.keys()]);
    expect([...churning.values()]).toEqual([...map.values()]);
    const each: [string, number][] = [];
    churning.forEach((value, key) => each.push([key, value]));
    expect(each).toEqual([...map]);
  });

  it('keeps a value that is undefined', () => {
    const churning = new ChurningMap<string, undefined>().set('a', undefined);
    expect([churning.has('a'), churning.size, [...churning]]).toEqual([true, 1, [['a', undefined]]]);
  });

  it('gives nothing that was removed while one iterates, also where its tables were renewed', () => {
    const churning = new ChurningMap<number, string>();
    for (let i = 0; i < 10_000; i++) churning.set(i, `value ${i}`);
    const seen: number[] = [];
    for (const [key, value] of churning) {
      expect(value).toBe(`value ${key}`);
      seen.push(key);
      // All but the last are gone before their turn; their places are taken by others meanwhile.
      if (key === 0) for (let i = 1; i < 9_999; i++) churning.delete(i);
      if (key === 0) for (let i = 20_000; i < 21_000; i++) churning.set(i, `value ${i}`);
    }
    expect(seen.filter((key) => key < 10_000)).toEqual([0, 9_999]);
    expect(churning.size).toBe(1_002);
  });

  it('takes one that was removed and came again once, in its new place', () => {
    const churning = new ChurningMap<string, number>().set('a', 1).set('b', 2);
    churning.delete('a');
    churning.set('a', 3);
    expect([...churning]).toEqual([
      ['b', 2],
      ['a', 3],
    ]);
  });
});

describe('ChurningSet', () => {
  it('has what was added and not removed, in that order', () => {
    const churning = new ChurningSet<string>().add('a').add('b').add('a').add('c');
    expect(churning.delete('b')).toBe(true);
    expect(churning.delete('b')).toBe(false);
    expect([[...churning], churning.size, churning.has('a'), churning.has('b')]).toEqual([['a', 'c'], 2, true, false]);
    churning.clear();
    expect([churning.size, [...churning]]).toEqual([0, []]);
  });
});
