import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FrameEncoder } from '../../../lib/protocol/frame-encoder.js';
import type { Message } from '../../../lib/protocol/message.js';
import { MessageReader } from '../../../lib/protocol/message-reader.js';
import { ProtocolError } from '../../../lib/protocol/protocol.error.js';
import { brokenFrame } from '../../fuzz/broken-frame.js';
import { anyMessage } from '../../support/arbitrary-message.js';
import { seededRandom } from '../../support/seeded-random.js';

const SEED = 20261124;
const FRAMES = 100_000;

function frameOf(message: Message): Buffer {
  const encoder = new FrameEncoder();
  encoder.add(message);
  return Buffer.concat(encoder.take());
}

it(`${FRAMES} broken frames are read or refused as a breach of the protocol, and nothing else ever happens`, () => {
  const next = seededRandom(SEED);
  const below = (n: number): number => Math.floor(next() * n);
  const good = fc.sample(anyMessage, { numRuns: 500, seed: SEED }).map(frameOf);
  const pick = (): Buffer => Buffer.from(good[below(good.length)] as Buffer);

  const broken = (): Buffer => brokenFrame(pick(), pick(), below);

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
