import { expect, it } from 'vitest';
import { HandshakeCounter } from '../../../lib/transport/handshake-counter.js';

it('counts in all and for each address, and forgets who left', () => {
  const counter = new HandshakeCounter(4, 3);
  expect(['a', 'a', 'a', 'a', 'b', 'c'].map((address) => counter.enter(address))).toEqual([
    true,
    true,
    true,
    false, // the fourth of a
    true,
    false, // the fifth in all
  ]);
  counter.leave('b');
  expect(counter.enter('a')).toBe(false);
  counter.leave('a');
  expect(counter.enter('a')).toBe(true);
  expect(counter.enter('c')).toBe(true);
});
