import type { Clock } from '../clock.js';
import type { EmitEvent } from '../job-reactor.events.js';
import {
  PROTOCOL_VERSION,
  type Hello,
  type Message,
  type MessageType,
  type Offer,
  type WireErrorCode,
} from '../protocol/message.js';
import { commonVersion } from '../protocol/version.js';
import type { Connection } from '../transport/connection.js';

/** Milliseconds a welcomed node may take to say what it can do. */
const OFFER_WITHIN = 5_000;

export interface AdmissionParts {
  distributor: string;
  instance: string;
  /** Storage id of the outbox, null for memory. */
  storage: () => string | null;
  clock: Clock;
  emit: EmitEvent;
}

export interface Newcomer {
  hello: Hello;
  connection: Connection;
}

export interface AdmissionEvents {
  /** It wants its storage to itself; the answer, now or later, is why it can't have it, or null. */
  claim(newcomer: Newcomer, answer: (inUse: string | null) => void): void;
  admitted(newcomer: Newcomer, offer: Offer): void;
}

/** Everything from an accepted connection to a node that has joined: one message at a time, and each in its turn. */
export class NodeAdmission {
  readonly #parts: AdmissionParts;
  readonly #events: AdmissionEvents;
  readonly #greeting = new Set<Connection>();

  constructor(parts: AdmissionParts, events: AdmissionEvents) {
    this.#parts = parts;
    this.#events = events;
  }

  /** A connection that has said nothing yet; the transport closes it if it stays so. */
  greet(connection: Connection): void {
    this.#greeting.add(connection);
    connection.onClose = () => void this.#greeting.delete(connection);
    this.#expect(connection, 'hello', (hello) => this.#hello({ hello, connection }));
  }

  /** Those that have not joined are told that there will be no welcome. */
  stop(): void {
    for (const connection of this.#greeting)
      connection.close({ type: 'error', code: 'STOPPING', message: 'the distributor stops' });
  }

  refuse(connection: Connection, code: WireErrorCode, message: string): void {
    if (connection.closed) return;
    const { distributor, emit } = this.#parts;
    emit({ event: 'node refused', distributor, remote: connection.remote, code, message });
    connection.close({ type: 'error', code, message });
  }

  #hello(newcomer: Newcomer): void {
    const { hello, connection } = newcomer;
    const protocol = commonVersion(hello.protocol);
    if (protocol === null) {
      const { min, max } = hello.protocol;
      const ours = `${PROTOCOL_VERSION.min} to ${PROTOCOL_VERSION.max}`;
      const why = `this distributor speaks protocol ${ours}, node '${hello.name}' ${min} to ${max}`;
      return this.refuse(connection, 'VERSION', why);
    }
    this.#events.claim(newcomer, (inUse) => {
      if (inUse !== null) this.refuse(connection, 'STORAGE_IN_USE', inUse);
      else this.#welcome(newcomer, protocol);
    });
  }

  #welcome(newcomer: Newcomer, protocol: number): void {
    const { connection } = newcomer;
    if (connection.closed) return;
    const { distributor: name, instance, storage, clock } = this.#parts;
    connection.established();
    const late = clock.after(OFFER_WITHIN, () => this.refuse(connection, 'HANDSHAKE_TIMEOUT', 'no offer came'), false);
    connection.onClose = () => {
      late.cancel();
      this.#greeting.delete(connection);
    };
    this.#expect(connection, 'offer', (offer) => {
      late.cancel();
      this.#greeting.delete(connection);
      this.#events.admitted(newcomer, offer);
    });
    connection.send({ type: 'welcome', protocol, name, instance, storage: storage() });
  }

  /** Until it has come, nothing else is taken; after it nothing, until the next is expected. */
  #expect<T extends MessageType>(
    connection: Connection,
    type: T,
    then: (message: Extract<Message, { type: T }>) => void,
  ): void {
    connection.onMessage = (message) => {
      if (message.type === 'ping') return connection.send({ type: 'pong' });
      if (message.type === 'goodbye') return connection.close();
      if (message.type !== type) {
        return this.refuse(connection, 'PROTOCOL', `${message.type} came where ${type} was due`);
      }
      connection.onMessage = (early) => this.refuse(connection, 'PROTOCOL', `${early.type} came before its turn`);
      then(message as Extract<Message, { type: T }>);
    };
  }
}
