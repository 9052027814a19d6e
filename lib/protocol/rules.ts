import { type Check, record } from './field.js';
import type { Message, MessageType } from './message.js';
import type { Direction, Entry, MessageState, PartName } from './message-entry.js';
import { MESSAGES } from './messages.js';

/** One line of the table, as the codec uses it: the message's own type is forgotten. */
export interface Rule {
  readonly type: MessageType;
  readonly number: number;
  readonly from: Direction;
  readonly state: MessageState;
  readonly once: boolean;
  readonly fields: Readonly<Record<string, Check>>;
  readonly header: Check;
  /** It has no fields, so its header is no bytes at all. */
  readonly empty: boolean;
  readonly parts: readonly PartName[];
  readonly pick: ((message: Message) => object) | null;
  readonly read: ((header: never) => void) | null;
  readonly split: string | null;
}

function rule(type: MessageType): Rule {
  const entry = MESSAGES[type] as Entry<Message>;
  return {
    type,
    number: entry.number,
    from: entry.from,
    state: entry.state,
    once: entry.once === true,
    fields: entry.fields,
    header: record('an object', entry.fields),
    empty: Object.keys(entry.fields).length === 0,
    parts: entry.parts,
    pick: entry.pick ?? null,
    read: entry.read ?? null,
    split: entry.split ?? null,
  };
}

/** All messages in the order of their numbers. */
export const RULES: readonly Rule[] = (Object.keys(MESSAGES) as MessageType[])
  .map(rule)
  .sort((one, other) => one.number - other.number);

const byType: ReadonlyMap<string, Rule> = new Map(RULES.map((one) => [one.type, one]));
const byNumber: ReadonlyMap<number, Rule> = new Map(RULES.map((one) => [one.number, one]));

export function ruleOf(type: MessageType): Rule {
  const found = byType.get(type);
  if (found === undefined) throw new TypeError(`There is no message of type ${type}.`);
  return found;
}

/** undefined: no message has this number. */
export function ruleOfNumber(number: number): Rule | undefined {
  return byNumber.get(number);
}
