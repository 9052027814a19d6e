import { describe, expect, it } from 'vitest';
import type { Clock } from '../../../lib/clock.js';
import type { Message } from '../../../lib/protocol/message.js';
import type { CloseReason, Connection } from '../../../lib/transport/connection.js';
import { STRANGER } from '../../../lib/transport/connection.js';
import { DistributorLink } from '../../../lib/worker-node/distributor-link.js';
import { ManualClock } from '../../support/manual-clock.js';
import { seededRandom } from '../../support/seeded-random.js';
import { hello, welcome } from '../transport/tcp.js';

type Answer = 'unreachable' | 'welcomed' | 'version';

const WELCOME_WITHIN = 10_000;

/** A link whose attempts end as `answers` say, the last one again and again, and the waits between them. */
async function waits(count: number, random: () => number, ...answers: Answer[]): Promise<number[]> {
  const manual = new ManualClock();
  const waited: number[] = [];
  const clock: Clock = Object.create(manual, {
    after: {
      value: (wait: number, run: () => void, keepAlive?: boolean) => {
        // Neither that of a heartbeat nor that for a welcome.
        if (keepAlive !== false && wait !== WELCOME_WITHIN) waited.push(wait);
        return manual.after(wait, run, keepAlive);
      },
    },
  });
  let attempt = 0;
  const connect = (): Promise<Connection> => {
    // Waits of no length at all would never let the clock rest.
    if (waited.length === count) return new Promise(() => {});
    const answer = answers[Math.min(attempt++, answers.length - 1)];
    if (answer === 'unreachable') return Promise.reject(new Error('nobody there'));
    const said: Message =
      answer === 'welcomed' ? welcome : { type: 'error', code: 'VERSION', message: 'no common version' };
    return Promise.resolve(
      aConnection((connection) => {
        if (said.type !== 'error') connection.onMessage(said);
        connection.onClose(said.type === 'error' ? { local: false, error: said } : { local: false });
      }),
    );
  };
  const link = new DistributorLink(
    {
      node: 'one',
      addresses: () => Promise.resolve([{ host: '127.0.0.1', port: 1 }]),
      transport: { connect, listen: () => Promise.reject(new Error('a node does not listen')) },
      clock,
      random,
      emit: () => {},
      auth: null,
      hello: () => hello,
      offer: () => ({ type: 'offer', jobs: [], slots: 1, handoffTimeout: 1 }),
    },
    { isNew: () => true, opened: () => {}, message: () => {}, closed: () => {}, drained: () => {} },
  );
  link.start();
  await manual.advanceAsync(0);
  while (waited.length < count) await manual.advanceAsync(waited.at(-1) ?? 0);
  link.stop();
  return waited.slice(0, count);
}

/** `greeted` is called once the link listens to it. */
function aConnection(greeted: (connection: Connection) => void): Connection {
  const nothing = (): void => {};
  const onClose: (reason: CloseReason) => void = nothing;
  const handlers = { onMessage: nothing, onClose, onDrain: nothing };
  const calls = { close: nothing, destroy: nothing, established: nothing };
  const more = { remote: '127.0.0.1:1', peer: STRANGER, closed: false, congested: false };
  const send = ({ type }: Message): void => {
    if (type === 'hello') queueMicrotask(() => greeted(connection));
  };
  const connection: Connection = { ...handlers, ...calls, ...more, send };
  return connection;
}

/** The longest wait before each attempt, in milliseconds. */
const LONGEST = [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000];

describe('the wait of a node before it dials again', () => {
  it('is at most twice as long each time, and never above 30 s', async () => {
    expect(await waits(8, () => 1, 'unreachable')).toEqual(LONGEST);
  });

  it('is anything from nothing to that: full jitter', async () => {
    expect(await waits(8, () => 0, 'unreachable')).toEqual(LONGEST.map(() => 0));
    expect(await waits(8, () => 0.25, 'unreachable')).toEqual(LONGEST.map((longest) => longest / 4));
  });

  it('is spread evenly over 500 nodes', async () => {
    const tenths = Array.from({ length: 10 }, () => 0);
    for (let seed = 0; seed < 500; seed++) {
      const last = (await waits(7, seededRandom(seed), 'unreachable'))[6]!;
      expect(last).toBeLessThan(30_000);
      tenths[Math.floor(last / 3000)]!++;
    }
    // 50 each on average; 20 to 80 are four standard deviations and more.
    for (const each of tenths) {
      expect(each).toBeGreaterThan(20);
      expect(each).toBeLessThan(80);
    }
  });

  it('comes from the random numbers it was given, and from nothing else', async () => {
    const of = (seed: number): Promise<number[]> => waits(8, seededRandom(seed), 'unreachable');
    expect(await of(1)).toEqual(await of(1));
    expect(await of(1)).not.toEqual(await of(2));
  });

  it('begins anew when it was welcomed', async () => {
    const longest = await waits(6, () => 1, 'unreachable', 'unreachable', 'unreachable', 'welcomed', 'unreachable');
    expect(longest).toEqual([500, 1000, 2000, 250, 500, 1000]);
  });

  it('is a minute where the versions differ, and a little at random', async () => {
    expect(await waits(3, () => 0, 'version')).toEqual([60_000, 60_000, 60_000]);
    expect(await waits(3, () => 1, 'version')).toEqual([60_250, 60_250, 60_250]);
  });
});
