import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../lib/clock.js';
import { DEFAULT_FRAME } from '../../../lib/protocol/frame.js';
import type { Message } from '../../../lib/protocol/message.js';
import { ProtocolError } from '../../../lib/protocol/protocol.error.js';
import { ByteBudget } from '../../../lib/transport/byte-budget.js';
import { STRANGER, type CloseReason } from '../../../lib/transport/connection.js';
import { TcpConnection } from '../../../lib/transport/tcp-connection.js';
import { tcpLimits } from '../../../lib/transport/tcp-limits.js';
import { signal, within } from '../../support/deadline.js';
import { ManualClock } from '../../support/manual-clock.js';
import { bytesOf, Ear, hello, ID, jobMessage, readAll, welcome, Wires } from './tcp.js';

const wires = new Wires();
afterEach(async () => {
  vi.restoreAllMocks();
  await wires.closeAll();
});
const ping: Message = { type: 'ping' };
const settled: Message = { type: 'settled', ids: [ID] };

/** The beginning of a frame that says it has so many bytes. */
function frameOfLength(length: number): Buffer {
  const head = Buffer.alloc(10);
  head.writeUInt32BE(length);
  head[4] = 1;
  return head;
}

/** How often sockets hand something to the system. */
function countWrites(): () => number {
  const sockets = Socket.prototype as Required<Duplex>;
  const one = vi.spyOn(sockets, '_write');
  const many = vi.spyOn(sockets, '_writev');
  return () => one.mock.calls.length + many.mock.calls.length;
}

describe('messages', () => {
  it('arrive in order, in both directions at once', async () => {
    const { node, distributor } = await wires.pair();
    const [atNode, atDistributor] = [new Ear(node), new Ear(distributor)];
    for (let i = 0; i < 2000; i++) {
      distributor.send(jobMessage(`${i}`));
      node.send({ type: 'credit', instant: i, stored: i });
    }
    const jobs = await atNode.heard(2000);
    const credits = await atDistributor.heard(2000);
    expect(jobs.map((message) => (message.type === 'job' ? message.args : '?'))).toEqual(
      Array.from({ length: 2000 }, (_, i) => `${i}`),
    );
    expect(credits.every((message, i) => message.type === 'credit' && message.instant === i)).toBe(true);
  });

  it('of a burst are handled in shares, and the event loop goes on in between', async () => {
    const readPerTick = 64 * 1024;
    const { node, distributor } = await wires.pair({ readPerTick });
    let turn = 0;
    let counting = setImmediate(function next() {
      turn++;
      counting = setImmediate(next);
    });
    const [count, perTurn, all] = [4_000, new Map<number, number>(), signal()];
    let heard = 0;
    node.onMessage = (message) => {
      perTurn.set(turn, (perTurn.get(turn) ?? 0) + (message.type === 'job' ? message.args.length : 0));
      if (++heard === count) all.resolve();
    };
    for (let i = 0; i < count; i++) distributor.send(jobMessage('x'.repeat(1_000)));
    await within(all.promise, 'all of them');
    clearImmediate(counting);
    // One read of 64 KiB more, in which the share was used up.
    expect(Math.max(...perTurn.values())).toBeLessThanOrEqual(readPerTick + 65_536);
  });

  it('of one tick leave in one write', async () => {
    const { node, distributor } = await wires.pair();
    const ear = new Ear(distributor);
    const writes = countWrites();
    for (let i = 0; i < 5000; i++) node.send({ type: 'credit', instant: i, stored: i });
    await ear.heard(5000);
    expect(writes()).toBe(1);
    node.send(ping);
    await ear.heard(5001);
    expect(writes()).toBe(2);
  });

  it('sent and changed afterwards arrive as they were sent', async () => {
    const { node, distributor } = await wires.pair();
    const ear = new Ear(distributor);
    const credit: Message = { type: 'credit', instant: 1, stored: 1 };
    node.send(credit);
    credit.instant = 2;
    expect(await ear.heard(1)).toEqual([{ type: 'credit', instant: 1, stored: 1 }]);
  });

  it('that come before there is a handler wait for it', async () => {
    const { port, next } = await wires.bareServer();
    const connection = await wires.transport().connect({ host: '127.0.0.1', port });
    (await next).write(bytesOf(welcome, ping));
    // A round trip to the same process: by its end the bytes above have long been here.
    const other = await wires.pair();
    other.node.send(ping);
    await new Ear(other.distributor).heard(1);
    expect(await new Ear(connection).heard(2)).toEqual([welcome, ping]);
  });

  it('too long for a frame are refused where they are sent, and the connection goes on', async () => {
    const { node, distributor } = await wires.pair();
    const ear = new Ear(node);
    expect(() => distributor.send(jobMessage('x'.repeat(DEFAULT_FRAME)))).toThrow(`longer than the ${DEFAULT_FRAME}`);
    distributor.send(settled);
    expect(await ear.heard(1)).toEqual([settled]);
  });
});

describe('back-pressure', () => {
  it('shows as congestion above the high water, and ends with onDrain', async () => {
    const { node, distributor } = await wires.pair();
    const args = 'x'.repeat(100_000);
    const drained = signal();
    let drains = 0;
    distributor.onDrain = () => {
      drains++;
      drained.resolve();
    };
    let sent = 0;
    while (!distributor.congested) {
      distributor.send(jobMessage(args));
      sent++;
    }
    expect(sent).toBeLessThanOrEqual(11);
    const ear = new Ear(node);
    await within(drained.promise, 'draining');
    expect(distributor.congested).toBe(false);
    await ear.heard(sent);
    expect(drains).toBe(1);
  });

  it('ends with SLOW when far too much waits', async () => {
    const { distributor } = await wires.pair({ queue: 4 * 1024 * 1024 });
    const ear = new Ear(distributor);
    const args = 'x'.repeat(500_000);
    // The other end has no handler yet, so it reads nothing.
    for (let i = 0; i < 100 && !distributor.closed; i++) distributor.send(jobMessage(args));
    expect(distributor.closed).toBe(true);
    const reason = await ear.closed;
    expect(reason.local).toBe(true);
    expect(reason.cause?.message).toMatch(/^SLOW: \d+ bytes/);
    distributor.send(ping);
  });
});

describe('a side that takes nothing of what waits for it', () => {
  it('is let go after a while, however lively it talks', async () => {
    const { listening, next } = await wires.listen(wires.transport({ takeTimeout: 400 }));
    const socket = await wires.dial(listening.port); // Never reads.
    const connection = await next();
    connection.established();
    const ear = new Ear(connection);
    for (let i = 0; i < 100; i++) connection.send(jobMessage('x'.repeat(200_000)));
    const began = performance.now();
    const pings = bytesOf(...Array<Message>(100).fill(ping));
    let at = 0;
    const talk = setInterval(() => socket.write(pings.subarray(at, (at += 10))), 20);
    const { cause } = await ear.closed;
    clearInterval(talk);
    expect(cause?.message).toBe('SLOW: Nothing was taken for 400 ms.');
    expect(performance.now() - began).toBeGreaterThan(390);
    expect(ear.messages.length).toBeGreaterThan(3);
  });

  it('is left alone as long as it takes something, and costs no timer at rest', async () => {
    const clock = new ManualClock();
    const { listening, next } = await wires.listen(wires.transport({}, clock));
    const socket = await wires.dial(listening.port);
    const connection = await next();
    connection.established();
    const ear = new Ear(connection);
    for (let i = 0; i < 100; i++) connection.send(jobMessage('x'.repeat(200_000)));
    await clock.advanceAsync(59_999);
    expect(connection.closed).toBe(false);
    const drained = signal();
    connection.onDrain = () => drained.resolve();
    socket.resume();
    await within(drained.promise, 'draining');
    await clock.advanceAsync(120_000);
    expect(connection.closed).toBe(false);
    expect(clock.pending).toBe(0);
    connection.destroy();
    await ear.closed;
  });
});

describe('closing', () => {
  it('sends what is queued, then the error, and tells both sides once', async () => {
    const { node, distributor } = await wires.pair();
    const [atNode, atDistributor] = [new Ear(node), new Ear(distributor)];
    for (let i = 0; i < 300; i++) distributor.send(settled);
    const error: Message = { type: 'error', code: 'STOPPING', message: 'going down' };
    distributor.close(error);
    distributor.close();
    distributor.send(settled);
    expect(distributor.closed).toBe(true);
    expect(await atNode.closed).toEqual({ local: false, error });
    expect(atNode.messages).toHaveLength(300);
    expect(await atDistributor.closed).toMatchObject({ local: true, cause: { message: 'STOPPING: going down' } });
  });

  it('drops what still comes in', async () => {
    const { node, distributor } = await wires.pair();
    const ear = new Ear(distributor);
    distributor.close();
    node.send(ping);
    await ear.closed;
    expect(ear.messages).toEqual([]);
  });

  it('does not wait for a side that never closes', async () => {
    const clock = new ManualClock();
    const { node } = await wires.pair({}, clock);
    const ear = new Ear(node);
    // The other end reads nothing, so it never sees this side end.
    node.close();
    let over = false;
    void ear.closed.then(() => (over = true));
    await clock.advanceAsync(1999);
    expect(over).toBe(false);
    await clock.advanceAsync(1);
    expect(await ear.closed).toEqual({ local: true });
  });

  it('by destroy is at once, and what is queued is lost', async () => {
    const { node, distributor } = await wires.pair();
    const [atNode, atDistributor] = [new Ear(node), new Ear(distributor)];
    node.send(ping);
    const cause = new Error('enough');
    node.destroy(cause);
    node.destroy();
    expect(await atNode.closed).toEqual({ local: true, cause });
    expect(await atDistributor.closed).toMatchObject({ local: false });
    expect(atDistributor.messages).toEqual([]);
  });

  it('is told to a handler that was set too late', async () => {
    const { node } = await wires.pair();
    const first = new Ear(node);
    node.destroy();
    await first.closed;
    const late = signal<CloseReason>();
    node.onClose = late.resolve;
    expect(await within(late.promise, 'closing')).toEqual({ local: true });
  });

  it('by a handler that throws has its error as the cause, and no further message is delivered', async () => {
    const { node, distributor } = await wires.pair();
    const ear = new Ear(distributor);
    const cause = new Error('a bug');
    let calls = 0;
    distributor.onMessage = () => {
      calls++;
      throw cause;
    };
    node.send(ping);
    node.send(ping);
    expect(await ear.closed).toEqual({ local: true, cause });
    expect(calls).toBe(1);
  });
});

describe('a side that breaks the protocol', () => {
  it.each([
    ['noise', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), 'TOO_LARGE'],
    ['a length of 0', Buffer.alloc(10), 'PROTOCOL'],
    ['a frame too long for the handshake', frameOfLength(4097), 'TOO_LARGE'],
    ['a message of the other side', bytesOf(welcome), 'PROTOCOL'],
    ['a message that is not due yet', bytesOf({ type: 'drain' }), 'PROTOCOL'],
    ['a second hello', bytesOf(hello, hello), 'PROTOCOL'],
    ['the same frame twice', Buffer.concat([bytesOf(hello), bytesOf(ping)]), 'PROTOCOL'],
  ] as const)('with %s is told so and cut off', async (_what, bytes, code) => {
    const { listening, next } = await wires.listen(wires.transport());
    const socket = await wires.dial(listening.port);
    const received = readAll(socket, 'distributor');
    const ear = new Ear(await next());
    socket.write(bytes);
    const reason = await ear.closed;
    expect(reason.local).toBe(true);
    expect(reason.cause).toBeInstanceOf(ProtocolError);
    expect(await received).toMatchObject([{ type: 'error', code }]);
  });

  it('by a reset in the middle of a frame just ends the connection', async () => {
    const { listening, next } = await wires.listen(wires.transport());
    const socket = await wires.dial(listening.port);
    const ear = new Ear(await next());
    socket.write(Buffer.concat([bytesOf(hello), bytesOf(hello).subarray(0, 20)]), () => socket.resetAndDestroy());
    const reason = await ear.closed;
    expect(reason.local).toBe(false);
    expect(reason.error).toBeUndefined();
  });

  it('by ending in the middle of a frame just ends the connection', async () => {
    const { listening, next } = await wires.listen(wires.transport());
    const socket = await wires.dial(listening.port);
    const ear = new Ear(await next());
    socket.end(Buffer.concat([bytesOf(hello), bytesOf(hello).subarray(0, 20)]));
    expect(await ear.closed).toEqual({ local: false });
    expect(ear.messages).toEqual([hello]);
  });
});

describe('a frame that does not end', () => {
  async function begun(
    clock: ManualClock,
  ): Promise<{ ear: Ear; write: (bytes: Buffer) => void; seen: (n: number) => Promise<unknown> }> {
    const { port, next } = await wires.bareServer();
    const connection = await wires.transport({}, clock).connect({ host: '127.0.0.1', port });
    connection.established();
    const ear = new Ear(connection);
    const socket = await next;
    return { ear, write: (bytes) => socket.write(bytes), seen: (n) => ear.heard(n) };
  }

  it('closes the connection after 30 s', async () => {
    const clock = new ManualClock();
    const { ear, write, seen } = await begun(clock);
    const bytes = bytesOf(ping, settled);
    write(bytes.subarray(0, bytes.length - 1));
    await seen(1);
    await clock.advanceAsync(29_999);
    expect(ear.connection.closed).toBe(false);
    await clock.advanceAsync(1);
    expect(ear.connection.closed).toBe(true);
    await clock.advanceAsync(2000);
    expect((await ear.closed).cause?.message).toContain('within 30000 ms');
  });

  it('is measured from its own beginning, and ends in time if it ends', async () => {
    const clock = new ManualClock();
    const { ear, write, seen } = await begun(clock);
    const bytes = bytesOf(ping, ping, ping);
    write(bytes.subarray(0, 15));
    await seen(1);
    await clock.advanceAsync(20_000);
    write(bytes.subarray(15, 25));
    await seen(2);
    await clock.advanceAsync(29_000);
    expect(ear.connection.closed).toBe(false);
    write(bytes.subarray(25));
    await seen(3);
    await clock.advanceAsync(100_000);
    expect(ear.connection.closed).toBe(false);
  });

  it('is not blamed for a standstill of this process', async () => {
    const clock = new ManualClock();
    const { ear, write, seen } = await begun(clock);
    const bytes = bytesOf(ping, ping);
    write(bytes.subarray(0, 15));
    await seen(1);
    clock.stall(60_000);
    expect(ear.connection.closed).toBe(false);
    write(bytes.subarray(15));
    await seen(2);
  });
});

describe('the address', () => {
  it('is written with its port, in brackets where it has colons', () => {
    const remote = (address: string): string => {
      const socket = new Socket();
      Object.defineProperties(socket, { remoteAddress: { value: address }, remotePort: { value: 5000 } });
      return new TcpConnection(socket, 'node', STRANGER, systemClock, tcpLimits(), new ByteBudget(1)).remote;
    };
    expect(remote('127.0.0.1')).toBe('127.0.0.1:5000');
    expect(remote('::1')).toBe('[::1]:5000');
  });
});
