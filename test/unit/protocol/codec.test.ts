import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DEFAULT_TEXT_LIMIT } from '../../../lib/job/serialise.js';
import { JobReactorError } from '../../../lib/job-reactor.error.js';
import { jobView, newStoredJob } from '../../../lib/job/job.js';
import { ProtocolError } from '../../../lib/protocol/protocol.error.js';
import type { FeedbackRecord } from '../../../lib/job/feedback-record.js';
import type { ErrorData, JobSpec } from '../../../lib/job/job.js';
import type { Message } from '../../../lib/protocol/message.js';
import { DEFAULT_FRAME } from '../../../lib/protocol/frame.js';
import { MOST_ENTRIES } from '../../../lib/protocol/objects.js';
import { ARBITRARY, MESSAGE_TYPES } from '../../support/arbitrary-message.js';
import { sampleJob } from '../../support/sample-job.js';
import { decode, encode, frame } from './frames.js';

const ID = '0190a5b2-7c1e-7abc-8def-0123456789ab';
const spec: JobSpec = {
  id: ID,
  name: 'resize',
  args: '{"width":640}',
  options: {},
  priority: 0,
  enqueuedAt: 1,
  runAt: 2,
  origin: { distributor: 'web', instance: ID, storage: null, submitter: null },
  listeners: 'none',
  givenId: false,
};

/** The job as a list, as it is on the wire. */
const jobRow = (options: unknown, ...more: unknown[]): unknown[] => {
  const { id, name, priority, enqueuedAt, runAt, listeners, givenId, origin } = spec;
  const { distributor, instance, storage, submitter } = origin;
  const from = [distributor, instance, storage, submitter];
  return [id, name, options, priority, enqueuedAt, runAt, listeners, givenId, from, ...more];
};
const sentJob =
  (job: unknown): (() => Message[]) =>
  () =>
    decode([frame(8, JSON.stringify({ job, assignment: 1 }), [Buffer.from('1')])]);

const roundTrip = (message: Message): Message => decode([encode([message])])[0] as Message;
const credit =
  (header: string): (() => Message[]) =>
  () =>
    decode([frame(5, header)]);

describe('every message', () => {
  it.each(MESSAGE_TYPES)('%s arrives as it was sent', (type) => {
    fc.assert(
      fc.property(ARBITRARY[type] as fc.Arbitrary<Message>, (message) => {
        expect(roundTrip(message)).toEqual(message);
      }),
    );
  });
});

describe('parts', () => {
  it('are carried as the bytes they are', () => {
    const args = '{"text":"\\"ü🙂\\u0000"}';
    const bytes = encode([{ type: 'job', job: spec, assignment: 1, args }]);
    expect(bytes.subarray(-Buffer.byteLength(args)).toString()).toBe(args);
  });

  it('with a lone surrogate arrive as the same JSON value', () => {
    for (const value of ['\ud800', 'a\udc00', '\udc00\ud800', '🙂\ud83d', '\ud83d🙂']) {
      const sent: Message = { type: 'progress', id: ID, value: `"${value}"` };
      expect(JSON.parse((roundTrip(sent) as typeof sent).value)).toBe(value);
    }
  });

  it('may hold the replacement character, and be empty', () => {
    const sent: Message = {
      type: 'answer',
      request: 1,
      job: jobView(sampleJob(), 'one'),
      args: '"\ufffd"',
      result: '',
    };
    expect(roundTrip(sent)).toEqual(sent);
  });

  it('that are no UTF-8 are refused', () => {
    const broken = [
      Buffer.from([0xff]),
      Buffer.from([0xc0, 0x80]),
      Buffer.from([0xed, 0xa0, 0x80]),
      Buffer.from([0xe2, 0x82]),
    ];
    for (const bytes of broken) {
      expect(() => decode([frame(12, JSON.stringify({ id: ID }), [bytes])])).toThrow(ProtocolError);
    }
  });

  it('longer than the frame are refused', () => {
    for (const length of [3, 0x7fffffff, 0xffffffff]) {
      const lying = frame(12, '', [Buffer.from('1')], { partLengths: [length] });
      expect(() => decode([lying])).toThrow('longer than the frame');
    }
  });

  it('whose lengths are cut off are refused', () => {
    expect(() => decode([frame(13, '', [], { partLengths: [0] })])).toThrow('lengths of its parts');
  });
});

describe('a header', () => {
  it('may have fields of a later version, which go no further', () => {
    const header = '{"instant":1,"later":{"__proto__":{"x":1}},"stored":2,"type":"job"}';
    expect(credit(header)()).toEqual([{ type: 'credit', instant: 1, stored: 2 }]);
    const [message] = credit('{"instant":1,"stored":2,"args":"x"}')();
    expect(message).not.toHaveProperty('args');
  });

  it.each(['__proto__', 'constructor', 'prototype'])('with a field named %s is refused', (name) => {
    expect(credit(`{"instant":1,"stored":2,"${name}":{}}`)).toThrow(ProtocolError);
    const escaped = [...name].map((c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
    expect(credit(`{"instant":1,"stored":2,"${escaped}":{}}`)).toThrow(ProtocolError);
    const options: unknown = JSON.parse(`{"${name}":1}`);
    expect(sentJob(jobRow(options))).toThrow(`job.job.options must not have a field named ${name}`);
  });

  it.each([
    ['{"instant":1}', 'credit.stored is missing'],
    ['{"instant":"1","stored":2}', 'credit.instant must be a whole number from 0 to 2^53-1'],
    ['{"instant":1.5,"stored":2}', 'credit.instant must be'],
    ['{"instant":-1,"stored":2}', 'credit.instant must be'],
    ['{"instant":1e300,"stored":2}', 'credit.instant must be'],
    ['{"instant":null,"stored":2}', 'credit.instant must be'],
    ['[]', 'credit must be an object'],
    ['null', 'credit must be an object'],
    ['"x"', 'credit must be an object'],
    ['{', 'its header is not JSON'],
    ['', 'is missing'],
    ['{"instant":1,"stored":2} x', 'its header is not JSON'],
  ])('%s is refused', (header, message) => {
    expect(credit(header)).toThrow(message);
    expect(credit(header)).toThrow(ProtocolError);
  });

  it('that is nested very deeply does no harm', () => {
    const deep = '['.repeat(200_000) + ']'.repeat(200_000);
    expect(credit(`{"instant":1,"stored":2,"later":${deep}}`)()).toHaveLength(1);
    expect(credit(`{"instant":${deep},"stored":2}`)).toThrow(ProtocolError);
  });

  it('is never quoted in an error', () => {
    expect(credit('{"instant":"secret","stored":2}')).not.toThrow('secret');
    expect(credit('secret')).not.toThrow('secret');
  });

  it('has bounded texts, lists and ids', () => {
    const settled =
      (ids: unknown): (() => Message[]) =>
      () =>
        decode([frame(10, JSON.stringify({ ids }))]);
    expect(settled(Array.from({ length: MOST_ENTRIES }, () => ID))()).toHaveLength(1);
    expect(settled(Array.from({ length: MOST_ENTRIES + 1 }, () => ID))).toThrow('at most 10000');
    expect(settled([`${ID}0`])).toThrow('settled.ids[0] must be a UUID');
    expect(settled([ID.replaceAll('-', '0')])).toThrow('a UUID');
    const name = 'n'.repeat(256);
    const header = JSON.stringify({ storage: ID, instance: ID, name });
    expect(() => decode([frame(19, header)])).toThrow('peer-lost.name must be text of 1 to 255 characters');
  });
});

describe('a row', () => {
  it('may have values of a later version behind its own, which go no further', () => {
    const { args: _, ...job } = spec;
    const later = [...jobRow({}).slice(0, -1), ['web', ID, null, null, null, { later: true }], { __proto__: [] }, 1];
    expect(sentJob(later)()).toEqual([{ type: 'job', job, assignment: 1, args: '1' }]);
  });

  it('has no value too few, none of another kind, and is no object', () => {
    expect(sentJob(jobRow({}).slice(0, -1))).toThrow('job.job must be a job row, a list of 9 values or more');
    expect(sentJob(spec)).toThrow('job.job must be a job row, a list of 9 values or more');
    expect(sentJob([...jobRow({}).slice(0, -1), ['web', ID, null]])).toThrow('job.job.origin must be an origin row');
    expect(sentJob([...jobRow({}).slice(0, 2), null, ...jobRow({}).slice(3)])).toThrow('job.job.options must be');
    expect(sentJob([...jobRow({}).slice(0, -1), ['web', ID, null, 7]])).toThrow('job.job.origin.submitter must be');
  });
});

describe('what is sent', () => {
  it('of a stored row is the job alone', () => {
    const row = newStoredJob(spec, 3);
    const sent = roundTrip({ type: 'job', job: row, assignment: 3, args: row.args });
    const { args, ...job } = spec;
    expect(sent).toEqual({ type: 'job', job, assignment: 3, args });
    expect(encode([{ type: 'job', job: row, assignment: 3, args }]).toString()).not.toContain('fence');
  });

  it('of remarks is cut, since a refusal would come again after every reconnect', () => {
    const long = 'x'.repeat(10_000);
    const error: ErrorData = { name: long, message: long, code: long, stack: long };
    const feedback: Omit<FeedbackRecord, 'args' | 'result'> = {
      id: `${ID}:1`,
      jobId: ID,
      name: 'resize',
      origin: spec.origin,
      listeners: 'none',
      assignment: 1,
      status: 'failed',
      final: true,
      side: 'error',
      error,
      job: {
        id: ID,
        name: 'resize',
        attempt: 1,
        run: 1,
        node: 'gpu',
        distributor: 'web',
        priority: 0,
        enqueuedAt: 1,
        runAt: 1,
        startedAt: 1,
        failedAt: 1,
        lastError: error,
        period: null,
      },
    };
    const received = roundTrip({ type: 'result', feedback, args: '', result: '' }) as { feedback: typeof feedback };
    expect(received.feedback.error?.message).toHaveLength(8192);
    expect(received.feedback.error?.name).toHaveLength(255);
    expect(received.feedback.job.lastError?.stack).toHaveLength(8192);
    expect(roundTrip({ type: 'cancel', request: 1, id: ID, reason: long })).toMatchObject({
      reason: long.slice(0, 8192),
    });
    expect(roundTrip({ type: 'error', code: 'DEAD', message: long })).toMatchObject({ message: long.slice(0, 8192) });
  });

  it('of the largest args and result fits one frame', () => {
    const largest = 'x'.repeat(DEFAULT_TEXT_LIMIT);
    const sent: Message = {
      type: 'answer',
      request: 1,
      job: jobView(sampleJob(), 'one'),
      args: largest,
      result: largest,
    };
    const headers = 64 * 1024;
    expect(encode([sent]).length + headers).toBeLessThan(DEFAULT_FRAME);
  });

  it('of a long list is several messages', () => {
    const ids = Array.from({ length: 25_001 }, () => ID);
    const received = decode([encode([{ type: 'settled', ids }, { type: 'ping' }])]);
    expect(received.map((message) => (message.type === 'settled' ? message.ids.length : message.type))).toEqual([
      10_000,
      10_000,
      5001,
      'ping',
    ]);
  });

  it('is refused when it is longer than a frame, and nothing of it is left in the batch', () => {
    const limit = 5000;
    const ping: Message = { type: 'ping' };
    for (const length of [4980, 5000, 6000, 2_000_000]) {
      const large: Message = { type: 'progress', id: ID, value: 'x'.repeat(length) };
      const sent = encode([ping], limit);
      expect(decode([sent], limit)).toEqual([ping]);
      expect(() => encode([ping, large], limit)).toThrow(JobReactorError);
      expect(() => encode([large], limit)).toThrow(/progress message of \d+ bytes is longer than the 5000/);
    }
    const largest: Message = { type: 'progress', id: ID, value: 'ü'.repeat(2000) };
    expect(decode([encode([largest], limit)], limit)).toEqual([largest]);
  });
});
