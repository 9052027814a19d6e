import fc from 'fast-check';
import { feedbackId } from '../../lib/job/feedback-record.js';
import { JOB_STATUSES } from '../../lib/job/job-status.js';
import type { Message, MessageType } from '../../lib/protocol/message.js';

/** A generator for each message, over all that the protocol allows: any Unicode, lone surrogates in headers included. */

type MessageOf<T extends MessageType> = Extract<Message, { type: T }>;

const uuid = fc.uuid();
const anyText = (maxLength: number, minLength = 0): fc.Arbitrary<string> =>
  fc.oneof(
    fc.string({ maxLength: Math.min(maxLength, 40), minLength }),
    fc.string({ unit: 'binary', maxLength: Math.min(maxLength, 20), minLength: Math.min(minLength, 20) }),
    fc.constantFrom('\ud800', 'a\udc00b', '__proto__', '"\\\n\u2028', '日本', '🙂'),
  );
const name = anyText(255, 1).map((text) => text.slice(0, 255) || 'x');
const moment = fc.oneof(fc.constant(0), fc.constant(8.64e15), fc.integer({ min: 0, max: 2 ** 45 }));
const count = fc.oneof(fc.nat(), fc.constant(Number.MAX_SAFE_INTEGER));
const assignment = fc.oneof(fc.integer({ min: 0, max: 10 }), fc.constantFrom(2 ** 18, 2 ** 31 - 1));
const duration = fc.oneof(fc.nat(), fc.double({ min: 0, max: 1e9, noNaN: true }).map(Math.abs));
const nullable = <T>(inner: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(inner, { nil: null });
const names = fc.array(name, { maxLength: 5 });
const priority = fc.integer();
const listeners = fc.constantFrom('closures' as const, 'declared' as const, 'none' as const);

/** Serialised args or results: a JSON text, or none. */
export const serialised = fc.oneof(
  fc.constant(''),
  fc.json(),
  fc.json({ stringUnit: 'binary' }),
  fc.string({ unit: 'grapheme', maxLength: 3000 }).map((text) => JSON.stringify(text)),
);

const backoff = fc.oneof(
  duration,
  fc.record(
    {
      type: fc.constantFrom('linear' as const, 'exponential' as const),
      delay: duration,
      max: duration,
      jitter: fc.boolean(),
    },
    { requiredKeys: ['type', 'delay'] },
  ),
);
const attemptOptions = { maxAttempts: nullable(fc.integer({ min: 1 })), backoff, timeout: duration };
const trace = fc.array(fc.tuple(name, anyText(8192)), { maxLength: 16 });
const options = fc.record(
  {
    ...attemptOptions,
    defaults: fc.record(attemptOptions, { requiredKeys: [] }),
    period: duration,
    expires: moment,
    thread: fc.boolean(),
    node: names,
    notNode: names,
    strictNode: fc.boolean(),
    group: name,
    key: fc.record({ value: name, until: fc.oneof(duration, fc.constantFrom('started' as const, 'ended' as const)) }),
    trace,
  },
  { requiredKeys: [] },
);
const mac = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes).toString('base64url'));
const origin = fc.record(
  { distributor: name, instance: uuid, storage: nullable(uuid), submitter: nullable(uuid), mac },
  { requiredKeys: ['distributor', 'instance', 'storage', 'submitter'] },
);
const error = fc.record(
  { name: anyText(255), message: anyText(8192), code: anyText(255), stack: anyText(8192) },
  { requiredKeys: ['name', 'message'] },
);
const submitted = {
  id: uuid,
  name,
  options,
  priority,
  enqueuedAt: moment,
  runAt: moment,
  listeners,
  givenId: fc.boolean(),
};
const info = fc.record({
  id: uuid,
  name,
  attempt: count,
  run: count,
  node: name,
  distributor: name,
  priority,
  enqueuedAt: moment,
  runAt: moment,
  startedAt: nullable(moment),
  failedAt: nullable(moment),
  lastError: nullable(error),
  period: nullable(duration),
});
const extras = fc.record({ group: name, key: name, trace }, { requiredKeys: [] });
const feedbackIds = fc.tuple(uuid, fc.integer({ min: 1 })).map(([id, run]) => feedbackId(id, run));
/** What its job information repeats is the same. */
const feedback = fc
  .record({
    jobId: uuid,
    name,
    origin,
    listeners,
    assignment,
    status: fc.constantFrom('succeeded' as const, 'failed' as const, 'cancelled' as const, 'dead' as const),
    final: fc.boolean(),
    side: fc.constantFrom('success' as const, 'error' as const),
    error: nullable(error),
    run: fc.integer({ min: 1 }),
    job: info,
    extras,
  })
  .map(({ run, job, extras: more, ...said }) => {
    const repeated = { id: said.jobId, name: said.name, run, distributor: said.origin.distributor };
    return { ...said, id: feedbackId(said.jobId, run), job: { ...job, ...repeated, ...more } };
  });
const view = fc.record({
  id: uuid,
  name,
  status: fc.constantFrom(...JOB_STATUSES),
  node: nullable(name),
  distributor: name,
  priority,
  options,
  run: count,
  attempt: count,
  enqueuedAt: moment,
  dueAt: moment,
  startedAt: nullable(moment),
  failedAt: nullable(moment),
  finishedAt: nullable(moment),
  lastError: nullable(error),
});

const filter = fc.record(
  {
    node: nullable(names),
    name,
    status: fc.uniqueArray(fc.constantFrom(...JOB_STATUSES)),
    group: name,
    after: nullable(uuid),
    limit: fc.integer({ min: 1, max: 1000 }),
  },
  { requiredKeys: ['after', 'limit'] },
);

const version = fc.integer({ min: 1, max: 65535 });
/** What is printed before anything is proven. */
const label = fc
  .string({ minLength: 1, maxLength: 60, unit: 'grapheme' })
  .map((text) => text.replaceAll(/[\p{Cc}\p{Cs}]/gu, '?'));
const bytes32 = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) => Buffer.from(bytes).toString('base64url'));
const keyId = fc.uint8Array({ minLength: 8, maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString('hex'));

export const ARBITRARY: { [T in MessageType]: fc.Arbitrary<MessageOf<T>> } = {
  hello: fc.record({
    type: fc.constant('hello'),
    protocol: fc.record({ min: version, max: version }),
    role: fc.constant('node'),
    name: label,
    instance: uuid,
    storage: fc.record({ id: uuid, durable: fc.boolean() }),
  }),
  offer: fc.record(
    {
      type: fc.constant('offer'),
      database: uuid,
      jobs: names,
      accepts: names,
      labels: names,
      slots: fc.integer({ min: 0, max: 1_000_000 }),
      threads: fc.boolean(),
      places: fc.boolean(),
      handoffTimeout: fc.integer({ min: 0, max: 604_800_000 }),
    },
    { requiredKeys: ['type', 'jobs', 'slots', 'handoffTimeout'] },
  ),
  challenge: fc.record({
    type: fc.constant('challenge'),
    protocol: version,
    name: label,
    instance: uuid,
    nonce: bytes32,
  }),
  proof: fc.record({ type: fc.constant('proof'), key: keyId, nonce: bytes32, mac: bytes32 }),
  welcome: fc.record(
    {
      type: fc.constant('welcome'),
      protocol: version,
      name: label,
      instance: uuid,
      storage: nullable(uuid),
      database: uuid,
      keys: fc.boolean(),
      places: fc.boolean(),
      mac: bytes32,
    },
    { requiredKeys: ['type', 'protocol', 'name', 'instance', 'storage'] },
  ),
  credit: fc.record(
    { type: fc.constant('credit'), instant: count, stored: count, bytes: count },
    { requiredKeys: ['type', 'instant', 'stored'] },
  ),
  submit: fc.record(
    {
      type: fc.constant('submit'),
      job: fc.record(submitted),
      onConflict: fc.constantFrom('replace' as const, 'reschedule' as const),
      args: serialised,
    },
    { requiredKeys: ['type', 'job', 'args'] },
  ),
  accepted: fc.record(
    {
      type: fc.constant('accepted'),
      id: uuid,
      duplicate: fc.boolean(),
      winner: uuid,
      error: fc.record({ code: name, message: anyText(8192) }),
    },
    { requiredKeys: ['type', 'id'] },
  ),
  job: fc.record({
    type: fc.constant('job'),
    job: fc.record({ ...submitted, origin }),
    assignment,
    args: serialised,
  }),
  'result-credit': fc.record({ type: fc.constant('result-credit'), bytes: count }),
  stored: fc.record({
    type: fc.constant('stored'),
    jobs: fc.array(fc.oneof(fc.tuple(uuid, assignment), fc.tuple(uuid, assignment, mac))),
  }),
  settled: fc.record({ type: fc.constant('settled'), ids: fc.array(uuid) }),
  refuse: fc.record({
    type: fc.constant('refuse'),
    id: uuid,
    assignment,
    code: fc.constantFrom('DRAINING', 'UNKNOWN_JOB', 'STORAGE', 'FULL', 'SUPERSEDED', 'NOT_THERE'),
  }),
  progress: fc.record(
    { type: fc.constant('progress'), id: uuid, mac, value: serialised },
    { requiredKeys: ['type', 'id', 'value'] },
  ),
  result: fc.record({ type: fc.constant('result'), feedback, args: serialised, result: serialised }),
  undelivered: fc.record({
    type: fc.constant('undelivered'),
    id: feedbackIds,
    code: fc.constantFrom('FAILED', 'UNDECLARED'),
    error: nullable(error),
  }),
  'result-ack': fc.record({ type: fc.constant('result-ack'), ids: fc.array(feedbackIds) }),
  cancel: fc.record({ type: fc.constant('cancel'), request: count, id: uuid, reason: anyText(8192) }),
  cancelled: fc.record({
    type: fc.constant('cancelled'),
    request: count,
    id: uuid,
    answer: fc.constantFrom('cancelled', 'already-final', 'unknown', 'pending'),
  }),
  query: fc.record(
    {
      type: fc.constant('query'),
      request: count,
      kind: fc.constantFrom('find', 'jobs', 'remove', 'retry'),
      id: uuid,
      filter,
    },
    { requiredKeys: ['type', 'request', 'kind'] },
  ),
  edit: fc.record(
    {
      type: fc.constant('edit'),
      request: count,
      id: uuid,
      name: names.map(([first]) => first ?? 'x'),
      dueAt: moment,
      args: serialised,
    },
    { requiredKeys: ['type', 'request', 'id', 'name', 'args'] },
  ),
  answer: fc.record({
    type: fc.constant('answer'),
    request: count,
    job: view,
    args: serialised,
    result: serialised,
  }),
  answered: fc.record(
    {
      type: fc.constant('answered'),
      request: count,
      after: nullable(uuid),
      removed: count,
      skipped: count,
      retried: nullable(fc.constantFrom('queued', 'not-final', 'succeeded', 'unknown')),
      origin: nullable(origin),
      missing: names,
      edited: fc.constantFrom('edited', 'not-waiting', 'unknown', 'other-job'),
    },
    { requiredKeys: ['type', 'request', 'after', 'removed', 'skipped', 'retried', 'origin', 'missing'] },
  ),
  'parked-query': fc.record({
    type: fc.constant('parked-query'),
    request: count,
    kind: fc.constantFrom('list', 'redeliver', 'drop'),
    filter: fc.record(
      {
        node: nullable(names),
        name,
        id: fc.oneof(uuid, feedbackIds),
        after: nullable(feedbackIds),
        limit: fc.integer({ min: 1, max: 1000 }),
      },
      { requiredKeys: ['after', 'limit'] },
    ),
  }),
  parked: fc.record({
    type: fc.constant('parked'),
    request: count,
    feedback: fc.record({
      id: feedbackIds,
      status: fc.constantFrom('succeeded' as const, 'failed' as const, 'cancelled' as const, 'dead' as const),
      job: info,
      error: nullable(error),
      failures: count,
      lastError: nullable(error),
      node: nullable(name),
    }),
  }),
  'parked-answered': fc.record({
    type: fc.constant('parked-answered'),
    request: count,
    after: nullable(feedbackIds),
    count,
    missing: names,
  }),
  pauses: fc.record(
    {
      type: fc.constant('pauses'),
      request: count,
      words: fc.array(
        fc.record({
          kind: fc.constantFrom('job' as const, 'node' as const),
          name,
          paused: fc.boolean(),
          changedAt: moment,
        }),
        { maxLength: 5 },
      ),
    },
    { requiredKeys: ['type', 'words'] },
  ),
  'key-freed': fc.record(
    { type: fc.constant('key-freed'), id: uuid, mac, name, key: name },
    { requiredKeys: ['type', 'id', 'name', 'key'] },
  ),
  places: fc.record({
    type: fc.constant('places'),
    database: uuid,
    instances: fc.array(uuid, { maxLength: 5 }),
  }),
  'peer-lost': fc.record(
    { type: fc.constant('peer-lost'), database: uuid, instance: uuid, name, back: fc.boolean() },
    { requiredKeys: ['type', 'database', 'instance', 'name'] },
  ),
  ping: fc.constant({ type: 'ping' }),
  pong: fc.constant({ type: 'pong' }),
  drain: fc.constant({ type: 'drain' }),
  goodbye: fc.constant({ type: 'goodbye' }),
  error: fc.record({
    type: fc.constant('error'),
    code: fc.constantFrom('PROTOCOL', 'VERSION', 'TOO_LARGE', 'STORAGE_IN_USE', 'REPLACED', 'DEAD', 'STOPPING'),
    message: anyText(8192),
  }),
};

export const MESSAGE_TYPES = Object.keys(ARBITRARY) as MessageType[];
export const anyMessage: fc.Arbitrary<Message> = fc.oneof(...MESSAGE_TYPES.map((type) => ARBITRARY[type]));
