import { bytes32, flag, integer, keyId, label, list, nullable, oneOf, optional, record, uuid } from './field.js';
import { LONGEST_HANDOFF } from './frame.js';
import type { Entry } from './message-entry.js';
import { MOST_ENTRIES, name } from './objects.js';

export interface Hello {
  type: 'hello';
  protocol: { min: number; max: number };
  role: 'node';
  name: string;
  /** UUID per process start. */
  instance: string;
  storage: { id: string; durable: boolean };
}
/** Where a shared secret is configured: what the node is to prove its knowledge of it over. */
export interface Challenge {
  type: 'challenge';
  /** The version chosen; `welcome` repeats it, the name and the instance. */
  protocol: number;
  name: string;
  instance: string;
  nonce: string;
}
export interface Proof {
  type: 'proof';
  /** Which secret, without saying anything of it. */
  key: string;
  nonce: string;
  mac: string;
}
export interface Welcome {
  type: 'welcome';
  protocol: number;
  name: string;
  instance: string;
  /** Storage id of the outbox, null for a memory outbox: two instances with the same one are one application restarted. */
  storage: string | null;
  /** Of an outbox in a database that others may share: its id. */
  database?: string;
  /** It knows of keys of jobs. Absent: it does not. */
  keys?: boolean;
  /** It passes on what is said of limits over all nodes. Absent: it does not. */
  places?: boolean;
  /** The distributor's own proof, where there was a challenge. */
  mac?: string;
}
export interface Offer {
  type: 'offer';
  /** When others may share the database its jobs are in: the id of that database. */
  database?: string;
  /** Job names it has handlers for. */
  jobs: string[];
  /** When present: the only job names it takes. */
  accepts?: string[];
  labels?: string[];
  /** Concurrency. */
  slots: number;
  /** It has worker threads. Absent: it has none. */
  threads?: boolean;
  /** It hears of limits over all nodes. Absent: it does not. */
  places?: boolean;
  /** Milliseconds after which a job it never confirmed may go to another node. */
  handoffTimeout: number;
}

const names = list(name, MOST_ENTRIES);

/** How the two sides come to know each other. */
export const HANDSHAKE_MESSAGES: {
  hello: Entry<Hello>;
  challenge: Entry<Challenge>;
  proof: Entry<Proof>;
  welcome: Entry<Welcome>;
  offer: Entry<Offer>;
} = {
  hello: {
    number: 1,
    from: 'node',
    state: 'before',
    once: true,
    fields: {
      protocol: record<Hello['protocol']>('{ min, max }: whole numbers from 1 to 65535', {
        min: integer(1, 65535),
        max: integer(1, 65535),
      }),
      role: oneOf<'node'>('node'),
      name: label,
      instance: uuid,
      storage: record<Hello['storage']>('{ id, durable }: a UUID; true or false', { id: uuid, durable: flag }),
    },
    parts: [],
  },
  challenge: {
    number: 2,
    from: 'distributor',
    state: 'before',
    once: true,
    fields: { protocol: integer(1, 65535), name: label, instance: uuid, nonce: bytes32 },
    parts: [],
  },
  proof: {
    number: 3,
    from: 'node',
    state: 'before',
    once: true,
    fields: { key: keyId, nonce: bytes32, mac: bytes32 },
    parts: [],
  },
  welcome: {
    number: 4,
    from: 'distributor',
    state: 'before',
    once: true,
    fields: {
      protocol: integer(1, 65535),
      name: label,
      instance: uuid,
      storage: nullable(uuid),
      database: optional(uuid),
      keys: optional(flag),
      places: optional(flag),
      mac: optional(bytes32),
    },
    parts: [],
  },
  offer: {
    number: 26,
    from: 'node',
    state: 'after',
    once: true,
    fields: {
      database: optional(uuid),
      jobs: names,
      accepts: optional(names),
      labels: optional(list(name, 1000)),
      slots: integer(0, 1_000_000),
      threads: optional(flag),
      places: optional(flag),
      handoffTimeout: integer(0, LONGEST_HANDOFF),
    },
    parts: [],
  },
};
