import type { ParkedFeedback, ParkedPageQuery } from '../job/parked-feedback.js';
import { parkedFeedback, parkedFilter, pickParked } from './feedback-objects.js';
import { feedbackIdField, list, nullable, oneOf } from './field.js';
import type { Entry } from './message-entry.js';
import { count, MOST_ENTRIES, name } from './objects.js';

/** Asks about parked feedbacks. */
export interface ParkedQueryMessage {
  type: 'parked-query';
  request: number;
  kind: ParkedQueryKind;
  filter: ParkedPageQuery;
}
export type ParkedQueryKind = 'list' | 'redeliver' | 'drop';
/** One of those that a list is answered with; as many as there are come before `parked-answered`. */
export interface Parked {
  type: 'parked';
  request: number;
  feedback: ParkedFeedback;
}
/** The end of what a question about parked feedbacks is answered with. */
export interface ParkedAnswered {
  type: 'parked-answered';
  request: number;
  /** Where the next page begins, null when there is none. */
  after: string | null;
  /** How many are sent again, or were dropped. */
  count: number;
  /** Names of nodes the answer does not speak of. */
  missing: string[];
}

const request = count;

/** Questions about feedbacks that could not be delivered. */
export const PARKED_MESSAGES: {
  'parked-query': Entry<ParkedQueryMessage>;
  parked: Entry<Parked>;
  'parked-answered': Entry<ParkedAnswered>;
} = {
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

/** What is said at the end of a question about parked feedbacks; what is not given is nothing. */
export type ParkedFacts = Omit<ParkedAnswered, 'type' | 'request'>;

export function parkedAnswered(request: number, facts: Partial<ParkedFacts> = {}): ParkedAnswered {
  return { type: 'parked-answered', request, after: null, count: 0, missing: [], ...facts };
}
