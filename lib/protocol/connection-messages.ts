import { flag, oneOf, optional, uuid } from './field.js';
import type { Entry } from './message-entry.js';
import { cut, LONGEST_REMARK, name, remark } from './objects.js';

/** A node or distributor that keeps its jobs in this database was lost, or is back; said to those who share it. */
export interface PeerLost {
  type: 'peer-lost';
  back?: boolean;
  database: string;
  instance: string;
  name: string;
}
export interface Ping {
  type: 'ping';
}
export interface Pong {
  type: 'pong';
}
/** The node takes no more jobs; what it holds it still finishes. */
export interface Drain {
  type: 'drain';
}
/** The sender closes on purpose: nothing is wrong, and what it never confirmed may go elsewhere at once. */
export interface Goodbye {
  type: 'goodbye';
}
export interface ErrorMessage {
  type: 'error';
  code: WireErrorCode;
  message: string;
}
export type WireErrorCode =
  | 'PROTOCOL'
  | 'VERSION'
  | 'TOO_LARGE'
  | 'HANDSHAKE_TIMEOUT'
  | 'TOO_MANY'
  | 'STORAGE_IN_USE'
  | 'REPLACED'
  | 'DEAD'
  | 'SLOW'
  | 'AUTHENTICATION'
  | 'STOPPING';

const nothing = { number: 0, from: 'both', state: 'any', fields: {}, parts: [] } as const;

const errorCode = oneOf<WireErrorCode>(
  'PROTOCOL',
  'VERSION',
  'TOO_LARGE',
  'HANDSHAKE_TIMEOUT',
  'TOO_MANY',
  'STORAGE_IN_USE',
  'REPLACED',
  'DEAD',
  'SLOW',
  'AUTHENTICATION',
  'STOPPING',
);

/** What is said of the connection itself, and of the processes at its ends. */
export const CONNECTION_MESSAGES: {
  'peer-lost': Entry<PeerLost>;
  ping: Entry<Ping>;
  pong: Entry<Pong>;
  drain: Entry<Drain>;
  goodbye: Entry<Goodbye>;
  error: Entry<ErrorMessage>;
} = {
  'peer-lost': {
    number: 19,
    from: 'both',
    state: 'after',
    fields: { database: uuid, instance: uuid, name, back: optional(flag) },
    parts: [],
  },
  ping: { ...nothing, number: 20 },
  pong: { ...nothing, number: 21 },
  drain: { ...nothing, number: 22, from: 'node', state: 'after' },
  goodbye: { ...nothing, number: 23 },
  error: {
    number: 24,
    from: 'both',
    state: 'any',
    fields: {
      code: errorCode,
      message: remark,
    },
    parts: [],
    pick: ({ code, message }) => ({ code, message: cut(message, LONGEST_REMARK) }),
  },
};
