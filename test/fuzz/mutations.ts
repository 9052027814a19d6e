import { MessageReader } from '../../lib/protocol/message-reader.js';
import { ProtocolError } from '../../lib/protocol/protocol.error.js';
import { RULES } from '../../lib/protocol/rules.js';

/*
 * The target with one guard taken out: the fuzzer has to notice each of them, or it would notice nothing.
 */
export const MUTATIONS = ['fields unchecked', 'frames of any length', 'breaches not told'] as const;
export type Mutation = (typeof MUTATIONS)[number];

export function mutate(mutation: Mutation): void {
  switch (mutation) {
    case 'fields unchecked':
      for (const rule of RULES) Object.assign(rule.header, { check: () => null });
      return;
    case 'frames of any length': {
      const { push } = MessageReader.prototype;
      MessageReader.prototype.push = function (this: MessageReader, chunk) {
        this.frames.limit = Infinity;
        push.call(this, chunk);
      };
      return;
    }
    case 'breaches not told':
      Object.defineProperty(ProtocolError, Symbol.hasInstance, { value: () => false });
  }
}
