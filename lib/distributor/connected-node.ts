import { isInstant, type JobSpec } from '../job/job.js';
import type { NodeFacts } from '../job-reactor.events.js';
import type { Hello, Offer } from '../protocol/handshake-messages.js';
import type { Credit } from '../protocol/job-messages.js';
import type { Message } from '../protocol/message.js';
import { FIRST_RESULTS } from '../protocol/result-messages.js';
import type { Connection } from '../transport/connection.js';

/** One node that has joined: what it can do and how much it may still be sent. */
export class ConnectedNode {
  readonly name: string;
  readonly instance: string;
  readonly storage: string;
  readonly durable: boolean;
  /** Id of the database its storage is in, if others may share that. */
  readonly database: string | undefined;
  readonly slots: number;
  /** It has worker threads, so jobs enqueued with `thread: true` may go to it. */
  readonly threads: boolean;
  /** It hears of limits over all nodes. */
  readonly places: boolean;
  readonly handoffTimeout: number;
  readonly since: number;
  readonly labels: readonly string[];
  readonly #connection: Connection;
  readonly #jobs: Set<string>;
  readonly #accepts: Set<string> | null;
  #credit = { instant: 0, stored: 0, bytes: Infinity };
  #sent = { instant: 0, stored: 0, bytes: 0 };
  /** Bytes of its results: that came on this connection, that may come, and that wait for the application's code. */
  readonly results = { received: 0, granted: FIRST_RESULTS, waiting: 0 };
  draining = false;
  /** Nothing is to start there; what may run nowhere else waits. */
  paused = false;
  /** It said goodbye: whatever it never confirmed may go elsewhere at once. */
  leaving = false;
  /** It could not take jobs lately; not asked again before this (monotonic) time. */
  pausedUntil = -Infinity;
  /** Rises with every job sent to any node: among equals the one that waited longest is next. */
  lastTurn = 0;

  constructor(hello: Hello, offer: Offer, connection: Connection, since: number) {
    this.name = hello.name;
    this.instance = hello.instance;
    this.storage = hello.storage.id;
    this.durable = hello.storage.durable;
    this.database = offer.database;
    this.slots = offer.slots;
    this.threads = offer.threads ?? false;
    this.places = offer.places ?? false;
    this.handoffTimeout = offer.handoffTimeout;
    this.since = since;
    this.labels = offer.labels ?? [];
    this.#connection = connection;
    this.#jobs = new Set(offer.jobs);
    this.#accepts = offer.accepts ? new Set(offer.accepts) : null;
  }

  get facts(): NodeFacts {
    return { name: this.name, instance: this.instance, remote: this.#connection.remote };
  }

  get jobs(): string[] {
    return [...this.#jobs];
  }

  get freeCredit(): number {
    return this.#credit.instant - this.#sent.instant;
  }

  get freeRoom(): number {
    return this.#credit.stored - this.#sent.stored;
  }

  /** Takes such jobs at all. */
  can({ name, options }: Pick<JobSpec, 'name' | 'options'>): boolean {
    if (options.thread && !this.threads) return false;
    return !this.draining && this.#jobs.has(name) && (!this.#accepts || this.#accepts.has(name));
  }

  /** Takes this kind of job now. */
  hasCredit(instant: boolean, now: number): boolean {
    return (
      this.freeRoom > 0 &&
      (!instant || this.freeCredit > 0) &&
      this.#sent.bytes < this.#credit.bytes &&
      this.pausedUntil <= now &&
      !this.paused &&
      !this.#connection.congested
    );
  }

  /** Counts a job that is about to be sent. */
  take(spec: Pick<JobSpec, 'runAt' | 'enqueuedAt' | 'args'>, turn: number): void {
    this.#sent.stored++;
    this.#sent.bytes += Buffer.byteLength(spec.args);
    if (isInstant(spec)) this.#sent.instant++;
    this.lastTurn = turn;
  }

  /** What was taken for a job that was then not sent. */
  giveBack(spec: Pick<JobSpec, 'runAt' | 'enqueuedAt' | 'args'>): void {
    this.#sent.stored--;
    this.#sent.bytes -= Buffer.byteLength(spec.args);
    if (isInstant(spec)) this.#sent.instant--;
  }

  credit({ instant, stored, bytes }: Credit): void {
    const had = this.#credit;
    this.#credit = {
      instant: Math.max(instant, had.instant),
      stored: Math.max(stored, had.stored),
      // The first one is a limit where there was none.
      bytes: bytes === undefined ? had.bytes : Math.max(bytes, had.bytes === Infinity ? 0 : had.bytes),
    };
  }

  /** It has no handler for this name after all. */
  lacks(name: string): void {
    this.#jobs.delete(name);
  }

  send(message: Message): void {
    this.#connection.send(message);
  }

  /** It did what no node does. */
  breaks(message: string): void {
    this.#connection.close({ type: 'error', code: 'PROTOCOL', message });
  }

  get connection(): Connection {
    return this.#connection;
  }
}
