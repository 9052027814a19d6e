import { list, uuid } from './field.js';
import type { Entry } from './message-entry.js';

/** Instances named in one message. */
export const MOST_CONCERNED = 1_000;

/** Places of a limit over all nodes were given up, or are asked for: these processes, which share the database, look. */
export interface Places {
  type: 'places';
  database: string;
  /** Whom it concerns; to a node, itself. */
  instances: string[];
}

/** What is said of limits over all nodes. */
export const PLACE_MESSAGES: { places: Entry<Places> } = {
  places: {
    number: 35,
    from: 'both',
    state: 'after',
    fields: { database: uuid, instances: list(uuid, MOST_CONCERNED) },
    parts: [],
  },
};
