import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { FrameEncoder } from '../../lib/protocol/frame-encoder.js';
import { DEFAULT_FRAME } from '../../lib/protocol/frame.js';
import type { Message, MessageType } from '../../lib/protocol/message.js';
import { MessageReader } from '../../lib/protocol/message-reader.js';
import type { Side } from '../../lib/protocol/message-entry.js';
import { within } from './deadline.js';
import { Facts } from './facts.js';

type MessageOf<T extends MessageType> = Extract<Message, { type: T }>;

/** One side of a connection that says what a test makes it say, good or bad. */
export class ScriptedSide {
  /** All that the other side said. */
  readonly heard = new Facts<Message>();
  readonly bytes: Buffer[] = [];
  readonly #encoder = new FrameEncoder();
  readonly #reader: MessageReader;
  readonly #closed: Promise<unknown>;

  constructor(
    readonly socket: Socket,
    otherSide: Side,
    nonsense: (error: unknown) => void = (error) => {
      throw error;
    },
  ) {
    this.#encoder.limit = DEFAULT_FRAME;
    this.#reader = new MessageReader(otherSide);
    this.#closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      try {
        this.#read(chunk);
      } catch (error) {
        nonsense(error);
      }
    });
  }

  send(message: Message): void {
    this.#encoder.add(message);
    if (message.type === 'welcome') this.#reader.established();
    for (const bytes of this.#encoder.take()) this.socket.write(bytes);
  }

  sendBytes(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** The next message of this type that was not yet asked for; any other before it is let pass. */
  next<T extends MessageType>(type: T): Promise<MessageOf<T>> {
    return this.heard.next((message) => message.type === type, `a ${type}`) as Promise<MessageOf<T>>;
  }

  /** When the connection has ended: all that was heard. */
  async ended(milliseconds = 30_000): Promise<Message[]> {
    await within(this.#closed, 'the end of the connection', milliseconds);
    return this.heard.all;
  }

  #read(chunk: Buffer): void {
    this.bytes.push(Buffer.from(chunk));
    this.#reader.push(chunk);
    for (let message = this.#reader.next(); message !== null; message = this.#reader.next()) {
      if (message.type === 'welcome') this.#reader.established();
      this.heard.tell(message);
    }
  }
}

/** Somebody who dials a distributor. */
export async function dial(port: number, host = '127.0.0.1'): Promise<ScriptedSide> {
  const socket = connect({ port, host });
  const side = new ScriptedSide(socket, 'distributor');
  await within(once(socket, 'connect'), 'connecting');
  return side;
}

/** Somebody who listens as a distributor does. */
export async function scriptedDistributor(): Promise<{
  port: number;
  next: () => Promise<ScriptedSide>;
  close: () => void;
}> {
  const accepted = new Facts<ScriptedSide>();
  const server = createServer((socket) => accepted.tell(new ScriptedSide(socket, 'node')));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    next: () => accepted.next(() => true, 'a node'),
    close() {
      server.close();
      for (const { socket } of accepted.all) socket.destroy();
    },
  };
}

/** Somebody between a node and a distributor who reads all they say and may change it. */
export async function meddler(
  port: number,
  change: (message: Message, from: Side) => Message,
): Promise<{ port: number; said: Facts<{ from: Side; message: Message }>; cut: () => void; close: () => void }> {
  const said = new Facts<{ from: Side; message: Message }>();
  const sides: ScriptedSide[] = [];
  const server = createServer((socket) => {
    const node = new ScriptedSide(socket, 'node');
    const distributor = new ScriptedSide(connect({ port, host: '127.0.0.1' }), 'distributor');
    sides.push(node, distributor);
    relay(node, distributor, (message, from) => {
      said.tell({ from, message });
      return change(structuredClone(message), from);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    said,
    /** The connections that are there break. */
    cut() {
      for (const { socket } of sides.splice(0)) socket.destroy();
    },
    close() {
      server.close();
      for (const { socket } of sides) socket.destroy();
    },
  };
}

/** Whatever one side says the other one hears, as it was or changed. */
export function relay(
  node: ScriptedSide,
  distributor: ScriptedSide,
  change: (message: Message, from: Side) => Message = (message) => message,
): void {
  const pass = (from: ScriptedSide, to: ScriptedSide, side: Side): void => {
    const { tell } = from.heard;
    Object.assign(from.heard, {
      tell(message: Message) {
        tell(message);
        to.send(change(message, side));
      },
    });
    from.socket.on('close', () => to.socket.destroy());
  };
  pass(node, distributor, 'node');
  pass(distributor, node, 'distributor');
}
