import { createConnection, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { systemClock, type Clock } from '../../../lib/clock.js';
import { FrameEncoder } from '../../../lib/protocol/frame-encoder.js';
import { DEFAULT_FRAME } from '../../../lib/protocol/frame.js';
import type { Hello, Welcome } from '../../../lib/protocol/handshake-messages.js';
import type { JobMessage } from '../../../lib/protocol/job-messages.js';
import type { Message } from '../../../lib/protocol/message.js';
import { MessageReader } from '../../../lib/protocol/message-reader.js';
import type { CloseReason, Connection, Listening, Transport } from '../../../lib/transport/connection.js';
import type { TcpLimits } from '../../../lib/transport/tcp-limits.js';
import { tcpTransport } from '../../../lib/transport/tcp-transport.js';
import { signal, within } from '../../support/deadline.js';

export const ID = '0190a5b2-7c1e-7abc-8def-0123456789ab';
export const hello: Hello = {
  type: 'hello',
  protocol: { min: 1, max: 1 },
  role: 'node',
  name: 'gpu',
  instance: ID,
  storage: { id: ID, durable: true },
};
export const welcome: Welcome = { type: 'welcome', protocol: 1, name: 'web', instance: ID, storage: null };
export const jobMessage = (args: string): JobMessage => ({
  type: 'job',
  job: {
    id: ID,
    name: 'resize',
    options: {},
    priority: 0,
    enqueuedAt: 1,
    runAt: 1,
    listeners: 'none',
    givenId: false,
    origin: { distributor: 'web', instance: ID, storage: null, submitter: null },
  },
  assignment: 1,
  args,
});

/** What arrives at one end, to be waited for. */
export class Ear {
  readonly messages: Message[] = [];
  readonly closed: Promise<CloseReason>;
  #waiting: { count: number; resolve: (messages: Message[]) => void }[] = [];

  constructor(readonly connection: Connection) {
    connection.onMessage = (message) => {
      this.messages.push(message);
      this.#waiting = this.#waiting.filter(({ count, resolve }) => {
        if (this.messages.length >= count) resolve(this.messages);
        return this.messages.length < count;
      });
    };
    this.closed = within(new Promise((resolve) => (connection.onClose = resolve)), 'closing', 60_000);
    this.closed.catch(() => {});
  }

  heard(count: number): Promise<Message[]> {
    if (this.messages.length >= count) return Promise.resolve(this.messages);
    return within(new Promise((resolve) => this.#waiting.push({ count, resolve })), `message ${count}`, 60_000);
  }
}

/** Everything a test opens, so that it can be closed at the end. */
export class Wires {
  readonly #close: (() => unknown)[] = [];

  async closeAll(): Promise<void> {
    for (const close of this.#close.splice(0).reverse()) await close();
  }

  transport(limits: Partial<TcpLimits> = {}, clock: Clock = systemClock): Transport {
    return tcpTransport({ clock, limits });
  }

  /** A listening distributor; the connections it accepts are in `next()`, in order. */
  async listen(transport: Transport): Promise<{ listening: Listening; next: () => Promise<Connection> }> {
    const accepted: Connection[] = [];
    const waiting: ((connection: Connection) => void)[] = [];
    const listening = await transport.listen({ host: '127.0.0.1', port: 0 }, (connection) => {
      this.#close.push(() => connection.destroy());
      const first = waiting.shift();
      if (first) first(connection);
      else accepted.push(connection);
    });
    this.#close.push(() => listening.close());
    const next = (): Promise<Connection> => {
      const first = accepted.shift();
      return first ? Promise.resolve(first) : within(new Promise((resolve) => waiting.push(resolve)), 'a connection');
    };
    return { listening, next };
  }

  /** Two ends of one connection, both past their handshake. */
  async pair(limits: Partial<TcpLimits> = {}, clock?: Clock): Promise<{ node: Connection; distributor: Connection }> {
    const transport = this.transport(limits, clock);
    const { listening, next } = await this.listen(transport);
    const node = await transport.connect({ host: '127.0.0.1', port: listening.port });
    this.#close.push(() => node.destroy());
    const distributor = await next();
    node.established();
    distributor.established();
    return { node, distributor };
  }

  /** A bare socket to a listening port. */
  async dial(port: number): Promise<Socket> {
    const socket = createConnection({ host: '127.0.0.1', port });
    this.#close.push(() => socket.destroy());
    socket.on('error', () => {});
    const connected = signal();
    socket.once('connect', () => connected.resolve());
    await within(connected.promise, 'connecting');
    return socket;
  }

  /** A bare server that our transport dials. */
  async bareServer(): Promise<{ server: Server; port: number; next: Promise<Socket> }> {
    const accepted = signal<Socket>();
    const server = createServer((socket) => {
      socket.on('error', () => {});
      this.#close.push(() => socket.destroy());
      accepted.resolve(socket);
    });
    this.#close.push(() => server.close());
    const bound = signal();
    server.listen(0, '127.0.0.1', () => bound.resolve());
    await within(bound.promise, 'listening');
    return { server, port: (server.address() as AddressInfo).port, next: within(accepted.promise, 'a connection') };
  }
}

/** What a bare socket gets until it ends, as messages. */
export function readAll(socket: Socket, sender: 'node' | 'distributor'): Promise<Message[]> {
  const reader = new MessageReader(sender);
  const messages: Message[] = [];
  const ended = signal<Message[]>();
  socket.on('data', (chunk: Buffer) => {
    reader.push(chunk);
    for (let message = reader.next(); message !== null; message = reader.next()) messages.push(message);
  });
  socket.on('close', () => ended.resolve(messages));
  return within(ended.promise, 'the end of the socket', 60_000);
}

export function bytesOf(...messages: Message[]): Buffer {
  const encoder = new FrameEncoder();
  encoder.limit = DEFAULT_FRAME;
  for (const message of messages) encoder.add(message);
  return Buffer.concat(encoder.take());
}
