import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Message } from '../../../lib/protocol/message.js';
import { MessageReader } from '../../../lib/protocol/message-reader.js';
import type { Side } from '../../../lib/protocol/message-entry.js';
import { ProtocolError } from '../../../lib/protocol/protocol.error.js';
import { RULES } from '../../../lib/protocol/rules.js';
import { commonVersion } from '../../../lib/protocol/version.js';
import { ARBITRARY } from '../../support/arbitrary-message.js';
import { encode } from './frames.js';

function read(sender: Side, established: boolean, ...messages: Message[]): Message[] {
  const reader = new MessageReader(sender);
  if (established) reader.established();
  reader.push(encode(messages));
  const received: Message[] = [];
  for (let message = reader.next(); message !== null; message = reader.next()) received.push(message);
  return received;
}

describe('a message', () => {
  const cases = RULES.flatMap((rule) =>
    (['node', 'distributor'] as const).flatMap((sender) =>
      [false, true].map((established) => ({
        rule,
        type: rule.type,
        sender,
        when: established ? 'after' : 'before',
        established,
      })),
    ),
  );

  it.each(cases)('$type from a $sender $when the welcome is taken or refused as the table says', (one) => {
    const { rule, sender, established } = one;
    const valid = (rule.from === 'both' || rule.from === sender) && (rule.state === 'any' || rule.state === one.when);
    const [message] = fc.sample(ARBITRARY[rule.type] as fc.Arbitrary<Message>, { numRuns: 1, seed: 1 }) as [Message];
    if (valid) expect(read(sender, established, message)).toEqual([message]);
    else expect(() => read(sender, established, message)).toThrow(ProtocolError);
  });

  it.each(['hello', 'challenge', 'proof', 'welcome'] as const)('%s is valid once', (type) => {
    const [message] = fc.sample(ARBITRARY[type] as fc.Arbitrary<Message>, { numRuns: 1, seed: 1 }) as [Message];
    const sender = type === 'hello' || type === 'proof' ? 'node' : 'distributor';
    expect(() => read(sender, false, message, message)).toThrow(`${type} was sent twice`);
  });
});

describe('the limit', () => {
  it('rises with the welcome, for the very next frame of the same chunk', () => {
    const [welcome] = fc.sample(ARBITRARY.welcome, { numRuns: 1, seed: 1 }) as [Message];
    const id = '0190a5b2-7c1e-7abc-8def-0123456789ab';
    const large: Message = { type: 'progress', id, value: 'x'.repeat(100_000) };
    const reader = new MessageReader('distributor');
    reader.push(encode([welcome, large]));
    expect(reader.next()).toEqual(welcome);
    reader.established();
    expect(reader.next()).toEqual(large);
    expect(() => read('distributor', false, welcome, large)).toThrow('longer than the 4096 allowed');
  });
});

describe('the version', () => {
  it('is the highest that both speak, or none', () => {
    expect(commonVersion({ min: 1, max: 1 })).toBe(1);
    expect(commonVersion({ min: 1, max: 9 }, { min: 2, max: 4 })).toBe(4);
    expect(commonVersion({ min: 3, max: 3 }, { min: 2, max: 4 })).toBe(3);
    expect(commonVersion({ min: 5, max: 9 }, { min: 2, max: 4 })).toBeNull();
    expect(commonVersion({ min: 1, max: 1 }, { min: 2, max: 4 })).toBeNull();
    expect(commonVersion({ min: 9, max: 1 }, { min: 1, max: 9 })).toBeNull();
  });
});
