import { describe, expect, it } from 'vitest';
import { Handshakes, type Handshake } from '../../../lib/transport/handshakes.js';
import { ManualClock } from '../../support/manual-clock.js';

function door(handshakes: number, handshakesPerAddress: number, connections = 99, connectionsPerAddress = 99) {
  const clock = new ManualClock();
  const limits = { handshakes, handshakesPerAddress, connections, connectionsPerAddress, handshakeTimeout: 5_000 };
  const all = new Handshakes(clock, limits);
  const cut: string[] = [];
  const told: string[] = [];
  const begin = (who: string, address = who): Handshake | null => {
    const begun = all.begin(address, (code) => void cut.push(`${who} ${code}`));
    if (typeof begun !== 'string') return begun;
    told.push(begun);
    return null;
  };
  return { clock, cut, told, begin };
}

describe('connections in the handshake', () => {
  it('are so many in all and so many from one address, and make room when they are over', () => {
    const { begin } = door(4, 3);
    const begun = ['a', 'a', 'a', 'a', 'b', 'c'].map((address) => begin(address));
    expect(begun.map(Boolean)).toEqual([
      true,
      true,
      true,
      false, // the fourth of a
      true,
      false, // the fifth in all
    ]);
    begun[4]?.over();
    begun[4]?.over();
    expect(begin('a')).toBeNull();
    begun[0]?.over();
    expect([begin('a'), begin('c'), begin('d')].map(Boolean)).toEqual([true, true, false]);
  });

  it('have 5 s in all, and no timer when they are over', () => {
    const { clock, cut, begin } = door(4, 4);
    const early = begin('early');
    clock.advance(1_000);
    begin('late');
    early?.over();
    clock.advance(4_999);
    expect(cut).toEqual([]);
    clock.advance(1);
    expect(cut).toEqual(['late HANDSHAKE_TIMEOUT']);
    expect([clock.pending, clock.pendingKeepAlive]).toEqual([0, 0]);
  });

  it('make room for a newcomer, the oldest first, once they had time enough', () => {
    const { clock, cut, begin } = door(3, 2);
    begin('a1', 'a');
    clock.advance(100);
    begin('b1', 'b');
    begin('b2', 'b');
    expect(begin('c')).toBeNull();
    clock.advance(400);
    expect(begin('c')).not.toBeNull();
    expect(cut).toEqual(['a1 TOO_MANY']);
    // b has its share, and its own are not old enough yet.
    clock.advance(99);
    expect(begin('b3', 'b')).toBeNull();
    clock.advance(1);
    expect(begin('b3', 'b')).not.toBeNull();
    expect(cut).toEqual(['a1 TOO_MANY', 'b1 TOO_MANY']);
  });

  it('of one IPv6 network have one share', () => {
    const { begin } = door(9, 1);
    expect(begin('2001:db8:1:2::1')).not.toBeNull();
    expect(begin('2001:db8:1:2:ffff::1')).toBeNull();
    expect(begin('2001:db8:1:3::1')).not.toBeNull();
    expect(begin('::ffff:192.0.2.1')).not.toBeNull();
    expect(begin('::ffff:192.0.2.2')).not.toBeNull();
    expect(begin('::1')).not.toBeNull();
    expect(begin('::2')).toBeNull();
  });
});

describe('connections past the handshake', () => {
  it('are so many in all and so many from one address, and make room when they end', () => {
    const { begin, told, clock } = door(9, 9, 3, 2);
    const inside = ['a', 'a', 'b'].map((address) => {
      const begun = begin(address);
      begun?.passed();
      begun?.passed();
      return begun;
    });
    expect(begin('c')).toBeNull();
    expect(told).toEqual(['As many nodes are connected as `distributor.maxNodes` allows.']);
    inside[2]?.over();
    inside[2]?.over();
    expect(begin('a')).toBeNull();
    expect(told[1]).toBe('As many nodes of this address are connected as `distributor.maxNodesPerAddress` allows.');
    expect(begin('c')).not.toBeNull();
    inside[0]?.over();
    expect(begin('a')).not.toBeNull();
    expect(clock.pending).toBe(2); // Those two are in the handshake.
  });
});
