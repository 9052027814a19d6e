import type { Hello, Challenge, Proof, Welcome, Offer } from './handshake-messages.js';
import type { PeerLost, Ping, Pong, Drain, Goodbye, ErrorMessage } from './connection-messages.js';
import type {
  Credit,
  Submit,
  Accepted,
  JobMessage,
  Stored,
  Settled,
  Refuse,
  Progress,
  Cancel,
  Cancelled,
} from './job-messages.js';
import type { Result, ResultAck, Undelivered, ResultCredit } from './result-messages.js';
import type { Query, Edit, Answer, Answered } from './query-messages.js';
import type { KeyFreed } from './key-messages.js';
import type { Places } from './place-messages.js';
import type { Pauses } from './pause-messages.js';
import type { ParkedQueryMessage, Parked, ParkedAnswered } from './parked-messages.js';

/*
 * Every message of the protocol, by subject in the files beside this one, with its line of the table of messages
 * (number, direction, limits) that messages.ts puts together and the codec works from. protocol/README.md is the
 * specification. Serialised args and results travel as parts behind the header.
 */

export type Message =
  | Hello
  | Challenge
  | Proof
  | Welcome
  | Credit
  | ResultCredit
  | Submit
  | Accepted
  | JobMessage
  | Stored
  | Settled
  | Refuse
  | Progress
  | Result
  | ResultAck
  | Undelivered
  | Cancel
  | Cancelled
  | Query
  | Edit
  | Answer
  | Answered
  | Offer
  | ParkedQueryMessage
  | Parked
  | ParkedAnswered
  | Pauses
  | KeyFreed
  | Places
  | PeerLost
  | Ping
  | Pong
  | Drain
  | Goodbye
  | ErrorMessage;

export type MessageType = Message['type'];
export type MessageOf<T extends MessageType> = Extract<Message, { type: T }>;

/** The protocol version this code speaks; `hello` carries the range, `welcome` the one chosen. */
export const PROTOCOL_VERSION = { min: 1, max: 1 } as const;
