import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FrameEncoder } from '../../../lib/protocol/frame-encoder.js';
import type { Message } from '../../../lib/protocol/message.js';
import { MessageReader } from '../../../lib/protocol/message-reader.js';
import { ProtocolError } from '../../../lib/protocol/protocol.error.js';
import { anyMessage } from '../../support/arbitrary-message.js';

const SEED = 20261124;
const FRAMES = 100_000;

/** mulberry32 */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function frameOf(message: Message): Buffer {
  const encoder = new FrameEncoder();
  encoder.add(message);
  return Buffer.concat(encoder.take());
}

it(`${FRAMES} broken frames are read or refused as a breach of the protocol, and nothing else ever happens`, () => {
  const next = random(SEED);
  const below = (n: number): number => Math.floor(next() * n);
  const good = fc.sample(anyMessage, { numRuns: 500, seed: SEED }).map(frameOf);
  const pick = (): Buffer => Buffer.from(good[below(good.length)] as Buffer);

  const broken = (): Buffer => {
    const bytes = pick();
    switch (below(7)) {
      case 0: // some bytes
        for (let n = below(8) + 1; n > 0; n--) bytes[below(bytes.length)] = below(256);
        return bytes;
      case 1: // a bit
        bytes[below(bytes.length)]! ^= 1 << below(8);
        return bytes;
      case 2: // noise behind a good head
        for (let at = 10; at < bytes.length; at++) bytes[at] = below(256);
        return bytes;
      case 3: // the kind of another message
        bytes[4] = below(30);
        return bytes;
      case 4: {
        // cut short, with a length that agrees
        const short = bytes.subarray(0, 10 + below(bytes.length - 9));
        short.writeUInt32BE(short.length - 4);
        return short;
      }
      case 5: // the header of one behind the head of another
        return Buffer.concat([bytes.subarray(0, 10 + below(bytes.length - 9)), pick().subarray(10)]);
      default: // noise
        return Buffer.from(Array.from({ length: below(64) }, () => below(256)));
    }
  };

  let taken = 0;
  let refused = 0;
  for (let i = 0; i < FRAMES; i++) {
    const reader = new MessageReader(next() < 0.5 ? 'node' : 'distributor');
    if (next() < 0.8) reader.established();
    const bytes = broken();
    const cut = below(bytes.length + 1);
    try {
      for (const chunk of [bytes.subarray(0, cut), bytes.subarray(cut)]) {
        reader.push(chunk);
        while (reader.next() !== null) taken++;
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      refused++;
    }
  }
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  // Both kinds must come up, or the fuzzing tests nothing.
  expect(taken).toBeGreaterThan(1000);
  expect(refused).toBeGreaterThan(10_000);
});
