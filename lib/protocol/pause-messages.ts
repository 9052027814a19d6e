import { MOST_PAUSES, type Pause, type PauseKind } from '../job/pause-book.js';
import { flag, list, oneOf, optional, record } from './field.js';
import type { Entry } from './message-entry.js';
import { count, moment, name } from './objects.js';

/** The last words on what is paused. */
export interface Pauses {
  type: 'pauses';
  /** When present it is answered: from a distributor once they are kept, from a node once all other nodes have them. */
  request?: number;
  words: Pause[];
}

const word = record<Pause>('a pause object', {
  kind: oneOf<PauseKind>('job', 'group', 'node'),
  name,
  paused: flag,
  changedAt: moment,
});

/** What is to wait until it is told to go on. */
export const PAUSE_MESSAGES: { pauses: Entry<Pauses> } = {
  pauses: {
    number: 33,
    from: 'both',
    state: 'after',
    fields: { request: optional(count), words: list(word, MOST_PAUSES) },
    parts: [],
  },
};
