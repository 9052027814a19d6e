import type { Clock, ClockTimer } from '../clock.js';
import type { Message } from '../protocol/message.js';
import type { Connection } from './connection.js';

/** Milliseconds between two pings. */
export const PING_EVERY = 5000;
/** Milliseconds without hearing anything before the other side counts as dead. */
export const DEAD_AFTER = 15_000;
/** A check this late says that this process stood still, and nothing of the other side. */
const STALL = 1000;
/** So many bytes since the last check say that the answer to a ping is behind others, on a slow line. */
const FLOWING = 16 * 1024;

/**
 * Keeps a connection provably alive: TCP itself takes minutes to notice that the other side is gone. Starts at once, and
 * closes the connection with DEAD when nothing was heard for too long, or a ping was not answered: the other side may be
 * heard although it hears nothing.
 */
export class Heartbeat {
  #heard: number;
  #sent: number;
  /** Since when an answer is due. */
  #asked: number | null = null;
  #bytes = 0;
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
    if (message.type !== 'pong') return false;
    this.#asked = null;
    return true;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** A cut comes at most one interval before a ping, so that its answer is missed no later than any word would be. */
  get #answerWithin(): number {
    return this.deadAfter - this.pingEvery;
  }

  #arm(): void {
    const answer = this.#asked === null ? Infinity : this.#asked + this.#answerWithin;
    const due = Math.min(this.#sent + this.pingEvery, this.#heard + this.deadAfter, answer);
    this.#timer = this.clock.after(Math.max(due - this.clock.monotonic(), 0), () => this.#check(due), false);
  }

  #check(due: number): void {
    this.#timer = null;
    if (this.connection.closed) return;
    const now = this.clock.monotonic();
    this.#excuse(now, due);
    const wrong = this.#whatIsWrong(now);
    if (wrong !== null) return this.connection.close({ type: 'error', code: 'DEAD', message: wrong });
    if (now - this.#sent >= this.pingEvery) {
      this.connection.send({ type: 'ping' });
      this.#sent = now;
      this.#asked ??= now;
    }
    this.#arm();
  }

  #excuse(now: number, due: number): void {
    const { received = 0 } = this.connection;
    const isFlowing = received - this.#bytes >= FLOWING;
    this.#bytes = received;
    // What came while this process stood still has not been read yet: the other side gets another interval.
    const isStall = now - due > STALL;
    if (isStall) this.#heard = Math.max(this.#heard, now - this.deadAfter + this.pingEvery);
    if (this.#asked === null) return;
    if (isFlowing) this.#asked = now;
    else if (isStall) this.#asked = Math.max(this.#asked, now - this.#answerWithin + this.pingEvery);
  }

  #whatIsWrong(now: number): string | null {
    if (now - this.#heard >= this.deadAfter) return `Nothing was heard for ${Math.round(now - this.#heard)} ms.`;
    if (this.#asked === null || now - this.#asked < this.#answerWithin) return null;
    return `A ping was not answered for ${Math.round(now - this.#asked)} ms.`;
  }
}
