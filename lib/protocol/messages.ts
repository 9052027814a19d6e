import type { Entry } from './message-entry.js';
import type { MessageOf, MessageType } from './message.js';
import { HANDSHAKE_MESSAGES } from './handshake-messages.js';
import { CONNECTION_MESSAGES } from './connection-messages.js';
import { JOB_MESSAGES } from './job-messages.js';
import { RESULT_MESSAGES } from './result-messages.js';
import { QUERY_MESSAGES } from './query-messages.js';
import { KEY_MESSAGES } from './key-messages.js';
import { PAUSE_MESSAGES } from './pause-messages.js';
import { PLACE_MESSAGES } from './place-messages.js';
import { PARKED_MESSAGES } from './parked-messages.js';

/**
 * The table of all messages. The codec, the checks of direction and state, and the specification (README.md, which a
 * test compares with it) all work from it.
 */
export const MESSAGES: { readonly [T in MessageType]: Entry<MessageOf<T>> } = {
  ...HANDSHAKE_MESSAGES,
  ...CONNECTION_MESSAGES,
  ...JOB_MESSAGES,
  ...RESULT_MESSAGES,
  ...QUERY_MESSAGES,
  ...PARKED_MESSAGES,
  ...PAUSE_MESSAGES,
  ...KEY_MESSAGES,
  ...PLACE_MESSAGES,
};
