import type { Duplex } from 'node:stream';
import type { Clock, ClockTimer } from '../clock.js';
import { JobReactorError } from '../job-reactor.error.js';
import { FrameEncoder } from '../protocol/frame-encoder.js';
import type { ErrorMessage } from '../protocol/connection-messages.js';
import type { Message } from '../protocol/message.js';
import { MessageReader } from '../protocol/message-reader.js';
import type { Side } from '../protocol/message-entry.js';
import { ProtocolError } from '../protocol/protocol.error.js';
import { IN_PROCESS, type CloseReason, type Connection, type Peer } from './connection.js';
import type { ByteBudget, Holder } from './byte-budget.js';
import { FrameWatch } from './frame-watch.js';
import { TakeWatch } from './take-watch.js';
import type { TcpLimits } from './tcp-limits.js';

/** A socket, with or without TLS, or one end of a pipe within the process. */
export interface Wire extends Duplex {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  setNoDelay?(on: boolean): unknown;
}

/**
 * A connection over one TCP socket.
 *
 * Out: `send` encodes at once, and what one tick sent leaves in one write. In: nothing is read until `onMessage` is set,
 * so nothing is lost before. Whatever the other side sends, no exception leaves a socket callback: it breaks the
 * protocol and is told so, or a handler of ours failed and the connection ends with that as its cause.
 */
export class TcpConnection implements Connection, Holder {
  readonly remote: string;
  /** Bytes it holds, as far as the budget was told. */
  held = 0;
  received = 0;
  onDrain: () => void = () => {};
  /** Called when the handshake is over, and when the connection is. */
  onHandshakeOver: () => void = () => {};

  readonly #encoder = new FrameEncoder();
  readonly #reader: MessageReader;
  readonly #watch: FrameWatch;
  readonly #taking: TakeWatch;
  #onMessage: ((message: Message) => void) | null = null;
  #onClose: ((reason: CloseReason) => void) | null = null;
  #reason: CloseReason | null = null;
  #ended = false;
  #congested = false;
  #flushDue = false;
  /** Bytes. */
  #readInTick = 0;
  #shareDue = false;
  #lastWait: ClockTimer | null = null;

  constructor(
    private readonly socket: Wire,
    otherSide: Side,
    readonly peer: Peer,
    private readonly clock: Clock,
    private readonly limits: TcpLimits,
    private readonly budget: ByteBudget,
  ) {
    this.remote = peer.inProcess ? IN_PROCESS.host : remoteOf(socket);
    this.#reader = new MessageReader(otherSide);
    this.#watch = new FrameWatch(this.#reader.frames, clock, limits.frameTimeout, () =>
      this.#violated(new ProtocolError(`The rest of a frame did not come within ${limits.frameTimeout} ms.`)),
    );
    this.#taking = new TakeWatch(
      () => socket.writableLength > 0,
      clock,
      limits.takeTimeout,
      () => this.destroy(connectionError('SLOW', `Nothing was taken for ${limits.takeTimeout} ms.`)),
    );
    socket.setNoDelay?.(true);
    socket.on('error', (cause) => (this.#reason ??= { local: false, cause }));
    socket.on('end', () => this.#finish({ local: false }));
    socket.on('close', () => this.#closed());
  }

  get closed(): boolean {
    return this.#reason !== null;
  }

  get congested(): boolean {
    return this.#congested;
  }

  get onMessage(): (message: Message) => void {
    return this.#onMessage ?? (() => {});
  }

  set onMessage(handler: (message: Message) => void) {
    const first = this.#onMessage === null;
    this.#onMessage = handler;
    if (first) this.socket.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  get onClose(): (reason: CloseReason) => void {
    return this.#onClose ?? (() => {});
  }

  set onClose(handler: (reason: CloseReason) => void) {
    this.#onClose = handler;
    // It may have ended before anyone could be told.
    if (this.#ended) queueMicrotask(() => this.#onClose?.(this.#reason ?? { local: false }));
  }

  send(message: Message): void {
    if (this.closed) return;
    this.#encoder.add(message);
    const queued = this.#encoder.length + this.socket.writableLength;
    if (queued > this.limits.highWater) {
      this.#congested = true;
      this.#account();
      if (queued > this.limits.queue) return this.destroy(connectionError('SLOW', `${queued} bytes wait to be taken.`));
    }
    if (this.#flushDue) return;
    this.#flushDue = true;
    this.clock.endOfTick(() => this.#flush());
  }

  close(error?: ErrorMessage): void {
    if (this.closed) return;
    if (error !== undefined) this.#encoder.add(error);
    this.#finish({ local: true, ...(error && { told: error, cause: connectionError(error.code, error.message) }) });
  }

  destroy(cause?: Error): void {
    if (this.closed) return void this.socket.destroy();
    this.#reason = { local: true, ...(cause && { cause }) };
    this.socket.destroy();
    this.#letGo();
  }

  relieve(limit: number): void {
    this.destroy(
      connectionError('SLOW', `It holds ${this.held} of the ${limit} bytes that all connections may hold together.`),
    );
  }

  established(): void {
    if (this.closed) return;
    this.#reader.established(this.limits.frame);
    this.#encoder.limit = this.limits.frame;
    this.onHandshakeOver();
  }

  #read(chunk: Buffer): void {
    if (this.closed) return;
    this.received += chunk.length;
    this.#share(chunk.length);
    const reader = this.#reader;
    reader.push(chunk);
    while (!this.closed) {
      let message: Message | null;
      try {
        message = reader.next();
      } catch (error) {
        return error instanceof ProtocolError ? this.#violated(error) : this.destroy(error as Error);
      }
      if (message === null) {
        this.#account();
        return this.#watch.look();
      }
      if (message.type === 'error') return this.#finish({ local: false, error: message });
      try {
        this.#onMessage?.(message);
      } catch (error) {
        this.destroy(
          error instanceof Error ? error : new JobReactorError('CONNECTION', 'A handler failed.', { cause: error }),
        );
      }
    }
  }

  /** A burst is handled in shares, so that timers, heartbeats and other connections have their turn in between. */
  #share(length: number): void {
    const most = this.limits.readPerTick;
    this.#readInTick += length;
    // What is left of earlier ticks may count as well: to forget it would be one more thing to do in each of them.
    if (this.#readInTick < most / 4) return;
    if (this.#readInTick >= most) this.socket.pause();
    if (this.#shareDue) return;
    this.#shareDue = true;
    this.clock.endOfTick(() => {
      this.#shareDue = false;
      this.#readInTick = 0;
      this.socket.resume();
    });
  }

  #violated(error: ProtocolError): void {
    if (this.closed) return;
    const told: ErrorMessage = { type: 'error', code: error.wire, message: error.message };
    this.#encoder.add(told);
    this.#finish({ local: true, told, cause: error });
  }

  #flush(): void {
    this.#flushDue = false;
    if (this.#encoder.length === 0) return;
    const batch = this.#encoder.take();
    if (this.socket.destroyed || this.socket.writableEnded) return;
    // Several buffers in one cork are one system call.
    if (batch.length > 1) this.socket.cork();
    for (let i = 0; i < batch.length; i++) {
      this.socket.write(batch[i] as Buffer, i === batch.length - 1 ? this.#written : undefined);
    }
    if (batch.length > 1) this.socket.uncork();
    this.#taking.look();
    this.#account();
  }

  #account(): void {
    if (this.closed) return;
    const held = this.#reader.frames.held + this.#encoder.length + this.socket.writableLength;
    const change = held - this.held;
    if (change === 0) return;
    this.held = held;
    this.budget.changed(this, change);
  }

  #letGo(): void {
    const { held } = this;
    this.held = 0;
    if (held > 0) this.budget.changed(this, -held);
  }

  readonly #written = (): void => {
    this.#taking.taken();
    this.#account();
    if (!this.#congested || this.closed) return;
    if (this.#encoder.length + this.socket.writableLength > this.limits.highWater / 2) return;
    this.#congested = false;
    this.onDrain();
  };

  /** Sends what is queued, then ends; reads on only to see the other side end too. */
  #finish(reason: CloseReason): void {
    if (this.closed) return;
    this.#reason = reason;
    this.#flush();
    this.socket.end();
    if (this.#onMessage === null) this.socket.resume();
    // Who is dead does not close either, and what it has is to be dealt with now.
    const patience = reason.told?.code === 'DEAD' ? 0 : this.limits.closeTimeout;
    this.#lastWait = this.clock.after(patience, () => this.socket.destroy(), false);
  }

  #closed(): void {
    this.#reason ??= { local: false };
    this.#ended = true;
    this.#lastWait?.cancel();
    this.#watch.stop();
    this.#taking.stop();
    this.#letGo();
    this.onHandshakeOver();
    this.#onClose?.(this.#reason);
  }
}

/** Address and port of the other side. */
export function remoteOf({ remoteAddress = 'unknown', remotePort = 0 }: Wire): string {
  return `${remoteAddress.includes(':') ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`;
}

function connectionError(code: string, message: string): JobReactorError {
  return new JobReactorError('CONNECTION', `${code}: ${message}`);
}
