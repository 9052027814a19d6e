import { sequenceOf, type Burst } from './bursts.js';
import { MESSAGES } from '../../lib/protocol/messages.js';
import type { MessageType } from '../../lib/protocol/message.js';

/** A case that something was found with once, in this project or in others: sent as it is, in this state. */
export interface Case {
  what: string;
  state: number;
  /** The next sequence number; its frames count from there. */
  frames: (sequence: number) => Buffer[];
}

/** A frame with this header, whose length agrees unless it is given. */
function frame(
  type: MessageType | number,
  header: string | Buffer,
  sequence: number,
  more: Partial<Head> = {},
): Buffer {
  const payload = Buffer.isBuffer(header) ? header : Buffer.from(header);
  const head = Buffer.alloc(10);
  head.writeUInt32BE(more.length ?? payload.length + 6, 0);
  head[4] = typeof type === 'number' ? type : MESSAGES[type].number;
  head[5] = more.flags ?? 0;
  head.writeUInt32BE(sequence, 6);
  return Buffer.concat([head, payload]);
}

interface Head {
  length: number;
  flags: number;
}

const u32 = (...values: number[]): Buffer => {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeUInt32BE(value, 4 * i));
  return bytes;
};
const one = (
  what: string,
  state: number,
  type: MessageType | number,
  header: string | Buffer,
  more?: Partial<Head>,
): Case => ({
  what,
  state,
  frames: (sequence) => [frame(type, header, sequence, more)],
});
const uuid = '0190a5b2-7c1e-7abc-8def-0123456789ab';

/** What a distributor is sent. States as in `bursts.ts`: 0 nothing said, 1 challenged, 2 welcomed, 3 joined, 4 draining. */
export const CORPUS: Case[] = [
  one('a length of 0', 0, 'hello', '', { length: 0 }),
  one('a length of -1', 0, 'hello', '', { length: 0xff_ff_ff_ff }),
  one('a length of -2^31', 0, 'hello', '', { length: 0x80_00_00_00 }),
  one('a length of 16 MiB before the welcome', 0, 'hello', '', { length: 2 ** 24 }),
  one('a length of 16 MiB after it', 3, 'credit', '', { length: 2 ** 24 }),
  one('a frame shorter than its head', 0, 'hello', '', { length: 5 }),
  one('flags', 3, 'ping', '', { flags: 1 }),
  { what: 'a sequence that goes back', state: 3, frames: (n) => [frame('ping', '', n), frame('ping', '', n)] },
  { what: 'a sequence with a gap', state: 3, frames: (n) => [frame('ping', '', n + 1)] },
  one('a message that does not exist', 3, 255, '{}'),
  one('a message of the other side', 3, 'job', '{}'),
  one('a welcome from a node', 1, 'welcome', '{}'),
  one('a second hello', 3, 'hello', '{}'),
  {
    what: 'an offer before the proof',
    state: 1,
    frames: (n) => [frame('offer', '{"jobs":[],"slots":1,"handoffTimeout":1}', n)],
  },
  one('a result before the offer', 2, 'result', Buffer.concat([u32(0, 0), Buffer.from('{}')])),
  one('parts longer than the frame', 3, 'result', u32(0xff_ff_ff_ff, 0xff_ff_ff_ff)),
  one('parts whose sum is just past the frame', 3, 'result', u32(1, 0)),
  one('lengths of parts that are cut off', 3, 'result', Buffer.from([0, 0, 0])),
  one(
    'a part that is no UTF-8',
    3,
    'progress',
    Buffer.concat([u32(1), Buffer.from(`{"id":"${uuid}"}`), Buffer.from([0xff])]),
  ),
  one('a part that is no JSON', 3, 'progress', Buffer.concat([u32(1), Buffer.from(`{"id":"${uuid}"}x`)])),
  one('a header that is no UTF-8', 3, 'credit', Buffer.from([0x7b, 0xc3, 0x28, 0x7d])),
  one('a header that is no JSON', 3, 'credit', '{'),
  one('a header that is null', 3, 'credit', 'null'),
  one('a header that is a list', 3, 'credit', '[1,2]'),
  one('no header where one is due', 3, 'credit', ''),
  one('a header nested 2,000 deep', 3, 'credit', `{"instant":${'['.repeat(2000)}${']'.repeat(2000)},"stored":1}`),
  one('a prototype', 3, 'credit', '{"instant":1,"stored":1,"__proto__":{"polluted":true}}'),
  one('a prototype in disguise', 3, 'credit', '{"instant":1,"stored":1,"\\u005f_proto__":{"polluted":true}}'),
  one('a constructor', 3, 'credit', '{"instant":1,"stored":1,"constructor":{"prototype":{"polluted":true}}}'),
  one(
    'a prototype below the first level',
    3,
    'query',
    '{"request":1,"kind":"jobs","filter":{"__proto__":{"polluted":true},"after":null,"limit":1}}',
  ),
  one('infinity', 3, 'credit', '{"instant":1e999,"stored":1}'),
  one('less than nothing', 3, 'credit', '{"instant":-1,"stored":1}'),
  one(
    'the largest credit',
    3,
    'credit',
    '{"instant":9007199254740991,"stored":9007199254740991,"bytes":9007199254740991}',
  ),
  one('one more than the largest', 3, 'credit', '{"instant":9007199254740992,"stored":1}'),
  one(
    'half a surrogate in a name',
    0,
    'hello',
    `{"protocol":{"min":1,"max":1},"role":"node","name":"\\ud800","instance":"${uuid}","storage":{"id":"${uuid}","durable":true}}`,
  ),
  one(
    'a line feed in a name',
    0,
    'hello',
    `{"protocol":{"min":1,"max":1},"role":"node","name":"a\\nb","instance":"${uuid}","storage":{"id":"${uuid}","durable":true}}`,
  ),
  one(
    'versions the wrong way round',
    0,
    'hello',
    `{"protocol":{"min":9,"max":1},"role":"node","name":"a","instance":"${uuid}","storage":{"id":"${uuid}","durable":true}}`,
  ),
  one('a query for what is no kind', 3, 'query', '{"request":1,"kind":"toString"}'),
  one('a query without what it is about', 3, 'query', '{"request":1,"kind":"remove"}'),
  one(
    'an answer to no question',
    3,
    'answered',
    '{"request":1,"after":null,"removed":0,"skipped":0,"retried":null,"origin":null,"missing":[]}',
  ),
  one('a result that nobody waits for', 3, 'result-ack', `{"ids":["${uuid}:1"]}`),
  one('a storage for a job that is not there', 3, 'stored', `{"jobs":[["${uuid}",0]]}`),
  one(
    'a job that stops the event loop by its priority',
    3,
    'submit',
    Buffer.concat([u32(2), Buffer.from('{"job":{}}{}')]),
  ),
  {
    what: '2,000 empty frames in one packet',
    state: 4,
    frames: (n) => Array.from({ length: 2000 }, (_, i) => frame('ping', '', n + i)),
  },
  {
    what: 'an error, and more behind it',
    state: 3,
    frames: (n) => [frame('error', '{"code":"DEAD","message":"x"}', n), frame('ping', '', n + 1)],
  },
  {
    what: 'a goodbye, and more behind it',
    state: 3,
    frames: (n) => [frame('goodbye', '', n), frame('credit', '{"instant":1,"stored":1}', n + 1)],
  },
  { what: 'a TLS handshake', state: 0, frames: () => [Buffer.from('1603010200010001fc0303', 'hex')] },
  { what: 'an HTTP request', state: 0, frames: () => [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')] },
  { what: 'half a head', state: 3, frames: () => [Buffer.from([0, 0])] },
];

/** Each case in one piece, and once more a byte at a time. */
export function corpusBursts(): Burst[] {
  return CORPUS.flatMap(({ state, frames: make }) => {
    const frames = make(sequenceOf('distributor', state));
    const whole = Buffer.concat(frames);
    const bytes = [...whole.subarray(0, 300)].map((byte) => Buffer.of(byte));
    return [[whole], [...bytes, whole.subarray(300)].filter(({ length }) => length > 0)].map((chunks): Burst => ({
      to: 'distributor',
      state,
      chunks,
      frames: frames.length,
      reset: false,
    }));
  });
}
