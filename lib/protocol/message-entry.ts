import type { FieldsOf } from './field.js';

/** The two sides of a connection. The node dials, the distributor listens. */
export type Side = 'node' | 'distributor';
export type Direction = Side | 'both';
/** When a message is valid: before the welcome, after it, or at any time. */
export type MessageState = 'before' | 'after' | 'any';

/** Text fields that travel raw behind the header, in the order of the message's `parts`. */
export type PartName = 'args' | 'result' | 'value';
type PartsOf<M> = Extract<keyof M, PartName>;
type HeaderOf<M> = Omit<M, 'type' | PartName>;

/** One line of the table of messages. */
export interface Entry<M> {
  /** On the wire. Never given to another message, not even when this one is gone. */
  number: number;
  from: Direction;
  state: MessageState;
  /** A second one on the same connection breaks the protocol. */
  once?: true;
  fields: FieldsOf<HeaderOf<M>>;
  parts: readonly PartsOf<M>[];
  /** What of the message makes up the header, rows as lists; without it, everything but type and parts. */
  pick?(message: M): { [K in keyof HeaderOf<M>]: unknown };
  /** Makes objects of the rows in a header that was checked. */
  read?(header: { [K in keyof HeaderOf<M>]: unknown }): void;
  /** A list that may be split over several messages. */
  split?: keyof HeaderOf<M> & string;
}
