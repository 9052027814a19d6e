import { systemClock } from '../../lib/clock.js';
import { FrameEncoder } from '../../lib/protocol/frame-encoder.js';
import type { ErrorMessage } from '../../lib/protocol/connection-messages.js';
import type { Message } from '../../lib/protocol/message.js';
import { MessageReader } from '../../lib/protocol/message-reader.js';
import type { Side } from '../../lib/protocol/message-entry.js';
import { STRANGER, type CloseReason, type Connection, type Transport } from '../../lib/transport/connection.js';

const FRAME = 2 * 1024 * 1024;

/** What went over the wire, of both sides. */
export interface Traffic {
  frames: number;
  bytes: number;
  /** Each would be one system call. */
  writes: number;
}

/**
 * Bytes as TCP carries them, in one process and without a socket: what one tick sent is there in the next. So what is
 * counted is the same in every run.
 */
export function countedTransport(traffic: Traffic): Transport {
  const listeners = new Map<number, (connection: Connection) => void>();
  return {
    async listen({ port }, accept) {
      listeners.set(port, accept);
      return { port, close: async () => void listeners.delete(port) };
    },
    async connect({ port }) {
      const near = new CountedEnd('distributor', traffic);
      const far = new CountedEnd('node', traffic);
      near.other = far;
      far.other = near;
      listeners.get(port)?.(far);
      return near;
    },
  };
}

class CountedEnd implements Connection {
  readonly remote = 'counted';
  readonly peer = STRANGER;
  readonly congested = false;
  closed = false;
  onMessage: (message: Message) => void = () => {};
  onClose: (reason: CloseReason) => void = () => {};
  onDrain: () => void = () => {};
  other!: CountedEnd;
  readonly #encoder = new FrameEncoder();
  readonly #reader: MessageReader;
  readonly #traffic: Traffic;
  #due = false;

  constructor(peer: Side, traffic: Traffic) {
    this.#reader = new MessageReader(peer);
    this.#traffic = traffic;
  }

  established(): void {
    this.#reader.established(FRAME);
    this.#encoder.limit = FRAME;
  }

  send(message: Message): void {
    if (this.closed) return;
    this.#encoder.add(message);
    if (this.#due) return;
    this.#due = true;
    systemClock.endOfTick(() => this.#flush());
  }

  close(error?: ErrorMessage): void {
    if (error) this.send(error);
    this.#end({ local: true });
    systemClock.endOfTick(() => this.other.#end(error ? { local: false, error } : { local: false }));
  }

  destroy(): void {
    this.close();
  }

  #end(reason: CloseReason): void {
    if (this.closed) return;
    this.closed = true;
    this.onClose(reason);
  }

  #flush(): void {
    this.#due = false;
    const batch = Buffer.concat(this.#encoder.take());
    this.#traffic.bytes += batch.length;
    this.#traffic.writes++;
    systemClock.endOfTick(() => this.other.#read(batch));
  }

  #read(batch: Buffer): void {
    this.#reader.push(batch);
    for (let message = this.#reader.next(); message !== null; message = this.#reader.next()) {
      this.#traffic.frames++;
      this.onMessage(message);
    }
  }
}
