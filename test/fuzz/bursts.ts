import fc from 'fast-check';
import { FrameEncoder } from '../../lib/protocol/frame-encoder.js';
import { DEFAULT_FRAME } from '../../lib/protocol/frame.js';
import type { Message } from '../../lib/protocol/message.js';
import type { Side } from '../../lib/protocol/message-entry.js';
import { RULES } from '../../lib/protocol/rules.js';
import { ARBITRARY } from '../support/arbitrary-message.js';
import { seededRandom } from '../support/seeded-random.js';
import { brokenFrame } from './broken-frame.js';
import { FUZZED_JOB, POOL } from './fuzzed-jobs.js';

/** How far a connection has come when it is fuzzed. */
export const STATES = { distributor: 5, node: 5 } as const;

/** What one connection is sent, after a handshake as it should be, up to its state. */
export interface Burst {
  /** Whom it is for. */
  to: Side;
  state: number;
  chunks: Buffer[];
  frames: number;
  /** How it ends: in good order, or with a reset at any moment. */
  reset: boolean;
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi;

/** Makes the bytes: number `n` of a seed is always the same. */
export class Bursts {
  readonly #seed: number;
  /** By the side they are for. */
  readonly #good: Record<Side, Message[]>;

  constructor(seed: number) {
    this.#seed = seed;
    const samples = (to: Side): Message[] =>
      RULES.filter(({ from }) => from !== to).flatMap(({ type }) =>
        fc.sample(ARBITRARY[type] as fc.Arbitrary<Message>, { numRuns: 40, seed }),
      );
    this.#good = { distributor: samples('distributor'), node: samples('node') };
  }

  burst(n: number, to: Side): Burst {
    const next = seededRandom(
      Math.imul(this.#seed, 0x9e3779b1) ^ Math.imul(n + 1, 0x85ebca6b) ^ (to === 'node' ? 0x1234 : 0),
    );
    for (let i = 0; i < 3; i++) next();
    const below = (max: number): number => Math.floor(next() * max);
    const state = below(STATES[to]);
    const frames = 1 + below(20);
    // Mostly the last one is what breaks it: nothing behind it is read.
    const brokenFrom = next() < 0.2 ? 0 : frames - 1;
    const bytes: Buffer[] = [];
    for (let i = 0; i < frames; i++) {
      const sequence = sequenceOf(to, state) + i;
      const whole = this.#frame(to, sequence, below);
      bytes.push(i < brokenFrom || next() < 0.1 ? whole : brokenFrame(whole, this.#frame(to, sequence, below), below));
    }
    return { to, state, chunks: sliced(Buffer.concat(bytes), below), frames, reset: next() < 0.2 };
  }

  #frame(to: Side, sequence: number, below: (max: number) => number): Buffer {
    const all = this.#good[to];
    let message = all[below(all.length)] as Message;
    // What can be said at any time says little, and a goodbye ends everything.
    if (['error', 'goodbye', 'hello', 'challenge', 'proof', 'welcome'].includes(message.type) && below(10) > 0)
      message = all[below(all.length)] as Message;
    if (below(2) === 0) message = about(message, below);
    const encoder = new FrameEncoder(sequence);
    encoder.limit = DEFAULT_FRAME;
    encoder.add(message);
    return Buffer.concat(encoder.take());
  }
}

/** Frames that were sent on the way to a state, as `fuzzer.ts` sends them. */
export function sequenceOf(to: Side, state: number): number {
  return to === 'distributor' ? ([0, 1, 2, 4, 5][state] as number) : ([0, 0, 1, 2, 3][state] as number);
}

/** The same about jobs of the target. */
function about(message: Message, below: (max: number) => number): Message {
  const text = JSON.stringify(message).replace(UUID, () => POOL[below(POOL.length)] as string);
  const said = JSON.parse(text) as Message;
  if (said.type === 'job' || said.type === 'submit') {
    said.job.name = FUZZED_JOB;
    // Its results would be kept for an application that never comes, as they should be, and count as memory lost.
    said.job.listeners = 'none';
    delete said.job.options.period;
  }
  if (said.type === 'stored') said.jobs = said.jobs.map(([id], i) => [id, i + 1]);
  return said;
}

function sliced(bytes: Buffer, below: (max: number) => number): Buffer[] {
  const cuts = Array.from({ length: below(4) }, () => below(bytes.length + 1)).toSorted((a, b) => a - b);
  return [0, ...cuts]
    .map((from, i) => bytes.subarray(from, cuts[i] ?? bytes.length))
    .filter(({ length }) => length > 0);
}
