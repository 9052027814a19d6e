import { feedbackIdField, list, nullable, oneOf } from './field.js';
import type { Entry, MessageOf } from './message-entry.js';
import type { ParkedQueryKind } from './message.js';
import { count, MOST_ENTRIES, name, parkedFeedback, parkedFilter, pickParked } from './objects.js';

type ParkedType = 'parked-query' | 'parked' | 'parked-answered';

const request = count;

/** The part of the table of messages that is about parked feedbacks. */
export const PARKED_MESSAGES: { readonly [T in ParkedType]: Entry<MessageOf<T>> } = {
  'parked-query': {
    number: 28,
    from: 'both',
    state: 'after',
    fields: { request, kind: oneOf<ParkedQueryKind>('list', 'redeliver', 'drop'), filter: parkedFilter },
    parts: [],
  },
  parked: {
    number: 29,
    from: 'both',
    state: 'after',
    fields: { request, feedback: parkedFeedback },
    parts: [],
    pick: (message) => ({ request: message.request, feedback: pickParked(message.feedback) }),
  },
  'parked-answered': {
    number: 30,
    from: 'both',
    state: 'after',
    fields: { request, after: nullable(feedbackIdField), count, missing: list(name, MOST_ENTRIES) },
    parts: [],
  },
};
