import {
  type FieldsOf,
  bytes32,
  feedbackIdField,
  flag,
  integer,
  keyId,
  label,
  list,
  nullable,
  oneOf,
  optional,
  pair,
  record,
  uuid,
} from './field.js';
import type { RetryAnswer } from '../job/job-query.js';
import type { Hello, Message, MessageType, QueryKind, RefuseCode } from './message.js';
import {
  count,
  cut,
  errorCode,
  feedback,
  filter,
  LONGEST_NAME,
  LONGEST_REMARK,
  name,
  origin,
  pickFeedback,
  pickJob,
  pickSubmittedJob,
  pickView,
  remark,
  sentJob,
  submittedJob,
  view,
} from './objects.js';

/*
 * The table of all messages. The codec, the checks of direction and state, and the specification (README.md, which a
 * test compares with this file) all work from it.
 */

/** The two sides of a connection. The node dials, the distributor listens. */
export type Side = 'node' | 'distributor';
export type Direction = Side | 'both';
/** When a message is valid: before the welcome, after it, or at any time. */
export type MessageState = 'before' | 'after' | 'any';

/** Most entries of one list of ids; a sender's longer list becomes several messages. */
export const MOST_ENTRIES = 10_000;

/** Text fields that travel raw behind the header, in the order of the message's `parts`. */
export type PartName = 'args' | 'result' | 'value';
type PartsOf<M> = Extract<keyof M, PartName>;
type HeaderOf<M> = Omit<M, 'type' | PartName>;
type MessageOf<T extends MessageType> = Extract<Message, { type: T }>;

export interface Entry<M> {
  /** On the wire. Never given to another message, not even when this one is gone. */
  number: number;
  from: Direction;
  state: MessageState;
  /** A second one on the same connection breaks the protocol. */
  once?: true;
  fields: FieldsOf<HeaderOf<M>>;
  parts: readonly PartsOf<M>[];
  /** What of the message makes up the header; without it, everything but type and parts. */
  pick?(message: M): HeaderOf<M>;
  /** A list that may be split over several messages. */
  split?: keyof HeaderOf<M> & string;
}

const ids = list(uuid, MOST_ENTRIES);
const names = list(name, MOST_ENTRIES);
const request = count;
const nothing = { number: 0, from: 'both', state: 'any', fields: {}, parts: [] } as const;

export const MESSAGES: { readonly [T in MessageType]: Entry<MessageOf<T>> } = {
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
      mac: optional(bytes32),
    },
    parts: [],
  },
  credit: { number: 5, from: 'node', state: 'after', fields: { instant: count, stored: count }, parts: [] },
  submit: {
    number: 6,
    from: 'node',
    state: 'after',
    fields: { job: submittedJob },
    parts: ['args'],
    pick: ({ job }) => ({ job: pickSubmittedJob(job) }),
  },
  accepted: {
    number: 7,
    from: 'distributor',
    state: 'after',
    fields: {
      id: uuid,
      duplicate: optional(flag),
      error: optional(
        record<{ code: string; message: string }>(
          `{ code, message }: text of 1 to ${LONGEST_NAME} characters; text of at most ${LONGEST_REMARK} characters`,
          { code: name, message: remark },
        ),
      ),
    },
    parts: [],
    pick: ({ id, duplicate, error }) => ({
      id,
      ...(duplicate === undefined ? {} : { duplicate }),
      ...(error && { error: { code: cut(error.code, LONGEST_NAME), message: cut(error.message, LONGEST_REMARK) } }),
    }),
  },
  job: {
    number: 8,
    from: 'distributor',
    state: 'after',
    fields: { job: sentJob, assignment: count },
    parts: ['args'],
    pick: ({ job, assignment }) => ({ job: pickJob(job), assignment }),
  },
  stored: {
    number: 9,
    from: 'both',
    state: 'after',
    fields: { jobs: list(pair(uuid, count), MOST_ENTRIES) },
    parts: [],
    split: 'jobs',
  },
  settled: { number: 10, from: 'distributor', state: 'after', fields: { ids }, parts: [], split: 'ids' },
  refuse: {
    number: 11,
    from: 'both',
    state: 'after',
    fields: {
      id: uuid,
      assignment: count,
      code: oneOf<RefuseCode>('DRAINING', 'UNKNOWN_JOB', 'STORAGE', 'FULL', 'SUPERSEDED'),
    },
    parts: [],
  },
  progress: { number: 12, from: 'both', state: 'after', fields: { id: uuid }, parts: ['value'] },
  result: {
    number: 13,
    from: 'both',
    state: 'after',
    fields: { feedback },
    parts: ['args', 'result'],
    pick: (message) => ({ feedback: pickFeedback(message.feedback) }),
  },
  'result-ack': {
    number: 14,
    from: 'both',
    state: 'after',
    fields: { ids: list(feedbackIdField, MOST_ENTRIES) },
    parts: [],
    split: 'ids',
  },
  cancel: {
    number: 15,
    from: 'both',
    state: 'after',
    fields: { request, id: uuid, reason: remark },
    parts: [],
    pick: (message) => ({ request: message.request, id: message.id, reason: cut(message.reason, LONGEST_REMARK) }),
  },
  cancelled: {
    number: 16,
    from: 'both',
    state: 'after',
    fields: { request, id: uuid, answer: oneOf('cancelled', 'already-final', 'unknown', 'pending') },
    parts: [],
  },
  query: {
    number: 17,
    from: 'both',
    state: 'after',
    fields: {
      request,
      kind: oneOf<QueryKind>('find', 'jobs', 'remove', 'retry'),
      id: optional(uuid),
      filter: optional(filter),
    },
    parts: [],
  },
  answer: {
    number: 18,
    from: 'both',
    state: 'after',
    fields: { request, job: view },
    parts: ['args', 'result'],
    pick: (message) => ({ request: message.request, job: pickView(message.job) }),
  },
  'peer-lost': {
    number: 19,
    from: 'both',
    state: 'after',
    fields: { database: uuid, instance: uuid, name },
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
  answered: {
    number: 25,
    from: 'both',
    state: 'after',
    fields: {
      request,
      after: nullable(uuid),
      removed: count,
      skipped: count,
      retried: nullable(oneOf<RetryAnswer>('queued', 'not-final', 'succeeded', 'unknown')),
      origin: nullable(origin),
      missing: list(name, MOST_ENTRIES),
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
      handoffTimeout: integer(0),
    },
    parts: [],
  },
};
