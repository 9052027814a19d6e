import {
  bytes16,
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
  pairAndMore,
  record,
  uuid,
} from './field.js';
import { LONGEST_HANDOFF } from './frame.js';
import type { RetryAnswer } from '../job/job-query.js';
import type { Entry, MessageOf } from './message-entry.js';
import type { Hello, MessageType, QueryKind, RefuseCode, Undelivered } from './message.js';
import {
  assignment,
  count,
  cut,
  error,
  errorCode,
  feedback,
  filter,
  LONGEST_NAME,
  LONGEST_REMARK,
  MOST_ENTRIES,
  name,
  origin,
  pickError,
  pickFeedback,
  pickJob,
  pickSubmittedJob,
  pickView,
  remark,
  sentJob,
  submittedJob,
  view,
} from './objects.js';
import { PARKED_MESSAGES } from './parked-messages.js';

type Rejection = { code: string; message: string };
const rejection = record<Rejection>(
  `{ code, message }: text of 1 to ${LONGEST_NAME} characters; text of at most ${LONGEST_REMARK} characters`,
  { code: name, message: remark },
);

function pickRejection({ code, message }: Rejection): Rejection {
  return { code: cut(code, LONGEST_NAME), message: cut(message, LONGEST_REMARK) };
}

/*
 * The table of all messages. The codec, the checks of direction and state, and the specification (README.md, which a
 * test compares with this file) all work from it.
 */

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
  credit: {
    number: 5,
    from: 'node',
    state: 'after',
    fields: { instant: count, stored: count, bytes: optional(count) },
    parts: [],
  },
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
      error: optional(rejection),
    },
    parts: [],
    pick: ({ id, duplicate, error }) => ({
      id,
      ...(duplicate === undefined ? {} : { duplicate }),
      ...(error && { error: pickRejection(error) }),
    }),
  },
  job: {
    number: 8,
    from: 'distributor',
    state: 'after',
    fields: { job: sentJob, assignment, claim: optional(flag) },
    parts: ['args'],
    pick: ({ job, assignment, claim }) => ({ job: pickJob(job), assignment, ...(claim ? { claim } : {}) }),
  },
  stored: {
    number: 9,
    from: 'both',
    state: 'after',
    fields: { jobs: list(pairAndMore(uuid, assignment, bytes16), MOST_ENTRIES) },
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
      assignment,
      code: oneOf<RefuseCode>('DRAINING', 'UNKNOWN_JOB', 'STORAGE', 'FULL', 'SUPERSEDED', 'NOT_THERE'),
    },
    parts: [],
  },
  progress: {
    number: 12,
    from: 'both',
    state: 'after',
    fields: { id: uuid, mac: optional(bytes16) },
    parts: ['value'],
  },
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
      now: optional(flag),
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
      handoffTimeout: integer(0, LONGEST_HANDOFF),
    },
    parts: [],
  },
  undelivered: {
    number: 27,
    from: 'distributor',
    state: 'after',
    fields: {
      id: feedbackIdField,
      code: oneOf<Undelivered['code']>('FAILED', 'UNDECLARED'),
      error: nullable(error),
    },
    parts: [],
    pick: (message) => ({ id: message.id, code: message.code, error: pickError(message.error) }),
  },
  ...PARKED_MESSAGES,
  'result-credit': { number: 31, from: 'distributor', state: 'after', fields: { bytes: count }, parts: [] },
};
