import { EventEmitter } from 'node:events';
import type { JobReactorEvent } from '../job-reactor.events.js';
import type { Distributor } from './distributor.js';

/** One connected node, as `nodes()` shows it. */
export interface NodeView {
  name: string;
  instance: string;
  remote: string;
  /** How many instant jobs it would take now: free slots and prefetch. */
  freeSlots: number;
  concurrency: number;
  /** It has worker threads, so it takes jobs enqueued with `thread: true`. */
  threads: boolean;
  jobs: string[];
  /** The words that its option `labels` gives. */
  labels: readonly string[];
  durable: boolean;
  draining: boolean;
  /** When it joined, milliseconds since the epoch. */
  since: number;
}

export interface Backlog {
  /** Jobs that no node has stored: those that wait and those that are on their way. */
  unconfirmed: number;
  /** Jobs that wait for a node. */
  pending: number;
  /** Of those that wait, how many by job name. */
  byName: Record<string, number>;
}

const PUBLIC_EVENTS = [
  'node joined',
  'node lost',
  'node left',
  'node refused',
  'job handed over',
  'job waits for a node',
] as const;
export type DistributorEvent = Extract<JobReactorEvent, { event: (typeof PUBLIC_EVENTS)[number] }>;
export type DistributorEventName = DistributorEvent['event'];

/** The distributor of this process, to look at. */
export class JobReactorDistributor {
  readonly #distributor: Distributor;
  readonly #events = new EventEmitter();
  readonly #refused = new Map<string, number>();

  constructor(distributor: Distributor) {
    this.#distributor = distributor;
    this.#events.setMaxListeners(0);
  }

  /** Host and port it listens on, once it does; the way to learn the port when 0 was asked for. */
  address(): Promise<{ host: string; port: number }> {
    return this.#distributor.address();
  }

  nodes(): NodeView[] {
    return this.#distributor.nodes().map((node) => ({
      name: node.name,
      instance: node.instance,
      remote: node.connection.remote,
      freeSlots: Math.max(0, node.freeCredit),
      concurrency: node.slots,
      threads: node.threads,
      jobs: node.jobs,
      labels: node.labels,
      durable: node.durable,
      draining: node.draining,
      since: node.since,
    }));
  }

  backlog(): Backlog {
    const { health } = this.#distributor;
    const { unconfirmed, pending } = health;
    return { unconfirmed, pending, byName: Object.fromEntries(health.pendingByName()) };
  }

  /** How many connections were refused since the start, by code: `AUTHENTICATION`, `TOO_MANY`, `HANDSHAKE_TIMEOUT`… */
  refused(): Record<string, number> {
    return Object.fromEntries(this.#refused);
  }

  on<E extends DistributorEventName>(
    event: E,
    listener: (fact: Extract<DistributorEvent, { event: E }>) => void,
  ): this {
    this.#events.on(event, listener);
    return this;
  }

  off<E extends DistributorEventName>(
    event: E,
    listener: (fact: Extract<DistributorEvent, { event: E }>) => void,
  ): this {
    this.#events.off(event, listener);
    return this;
  }

  /** For the module: facts of the roles on their way to listeners. */
  tell(event: JobReactorEvent): void {
    if (event.event === 'node refused') this.#refused.set(event.code, (this.#refused.get(event.code) ?? 0) + 1);
    if ((PUBLIC_EVENTS as readonly string[]).includes(event.event)) this.#events.emit(event.event, event);
  }
}
