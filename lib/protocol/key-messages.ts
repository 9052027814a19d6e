import { bytes16, optional, uuid } from './field.js';
import type { Entry } from './message-entry.js';
import { name } from './objects.js';

/** A job has no more use for its key, as it has begun or ended: another may have it. */
export interface KeyFreed {
  type: 'key-freed';
  id: string;
  /** Of the job's origin. */
  mac?: string | undefined;
  /** Of the job. */
  name: string;
  key: string;
}

/** What is said of keys. */
export const KEY_MESSAGES: { 'key-freed': Entry<KeyFreed> } = {
  'key-freed': {
    number: 34,
    from: 'node',
    state: 'after',
    fields: { id: uuid, mac: optional(bytes16), name, key: name },
    parts: [],
  },
};
