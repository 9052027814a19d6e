import type { Clock, ClockTimer } from '../clock.js';
import type { Message } from '../protocol/message.js';
import type { Connection } from './connection.js';

/** Milliseconds without sending anything before a ping is sent. */
export const PING_EVERY = 5000;
/** Milliseconds without hearing anything before the other side counts as dead. */
export const DEAD_AFTER = 15_000;
/** A check this late says that this process stood still, and nothing of the other side. */
const STALL = 1000;

/**
 * Keeps a connection provably alive: TCP itself takes minutes to notice that the other side is gone.
 * Starts at once. When nothing was heard for too long it closes the connection with DEAD.
 */
export class Heartbeat {
  #heard: number;
  #sent: number;
  #timer: ClockTimer | null = null;

  constructor(
    private readonly connection: Connection,
    private readonly clock: Clock,
    private readonly pingEvery = PING_EVERY,
    private readonly deadAfter = DEAD_AFTER,
  ) {
    this.#heard = this.#sent = clock.monotonic();
    // One end can't be gone without the other where both are in this process.
    if (!connection.peer.inProcess) this.#arm();
  }

  /**
   * To be called for each message that arrives; answers a ping.
   * @returns true when the message was a ping or pong, and is done with
   */
  received(message?: Message): boolean {
    this.#heard = this.clock.monotonic();
    if (message === undefined) return false;
    if (message.type === 'ping') {
      this.connection.send({ type: 'pong' });
      return true;
    }
    return message.type === 'pong';
  }

  /** May be called when something was sent: a ping is then not due. Not calling it costs a ping every interval. */
  sent(): void {
    this.#sent = this.clock.monotonic();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #arm(): void {
    const due = Math.min(this.#sent + this.pingEvery, this.#heard + this.deadAfter);
    this.#timer = this.clock.after(Math.max(due - this.clock.monotonic(), 0), () => this.#check(due), false);
  }

  #check(due: number): void {
    this.#timer = null;
    if (this.connection.closed) return;
    const now = this.clock.monotonic();
    // What came while this process stood still has not been read yet: the other side gets another interval.
    if (now - due > STALL) this.#heard = Math.max(this.#heard, now - this.deadAfter + this.pingEvery);
    if (now - this.#heard >= this.deadAfter) {
      const message = `Nothing was heard for ${Math.round(now - this.#heard)} ms.`;
      return this.connection.close({ type: 'error', code: 'DEAD', message });
    }
    if (now - this.#sent >= this.pingEvery) {
      this.connection.send({ type: 'ping' });
      this.#sent = now;
    }
    this.#arm();
  }
}
