import type { Clock } from '../clock.js';
import type { EmitEvent } from '../job-reactor.events.js';
import { type WireErrorCode } from '../protocol/connection-messages.js';
import { type Challenge, type Hello, type Offer, type Proof } from '../protocol/handshake-messages.js';
import { PROTOCOL_VERSION, type Message, type MessageType } from '../protocol/message.js';
import { commonVersion } from '../protocol/version.js';
import type { AuthSettings } from '../transport/authentication.js';
import type { CloseReason, Connection } from '../transport/connection.js';
import { distributorMac, isNodeMac, makeNonce, type Exchange } from '../transport/proof.js';
import { Refusals } from './refusals.js';

/** Milliseconds a welcomed node may take to say what it can do. */
const OFFER_WITHIN = 5_000;
/** All that a side hears that is not who it has to be. */
const NOT_AUTHENTICATED = 'not authenticated';

export interface AdmissionParts {
  distributor: string;
  instance: string;
  /** Storage id of the outbox, null for memory. */
  storage: () => string | null;
  /** Id of the database the outbox is in, if others may share that. */
  database: () => string | undefined;
  /** Null: nodes are let in without a proof. */
  auth: AuthSettings | null;
  clock: Clock;
  emit: EmitEvent;
}

export interface Newcomer {
  hello: Hello;
  connection: Connection;
  /** The version chosen. */
  protocol: number;
  /** Set once it has proven that it knows the secret. */
  proven?: Exchange;
}

export interface AdmissionEvents {
  /** It wants its storage to itself; the answer, now or later, is why it can't have it, or null. */
  claim(newcomer: Newcomer, answer: (inUse: string | null) => void): void;
  admitted(newcomer: Newcomer, offer: Offer): void;
}

/**
 * Everything from an accepted connection to a node that has joined: one message at a time, and each in its turn.
 * Whoever has proven nothing is told no reason, learns no more of this side than its name and instance, and can hold no
 * more than a frame of 4 KiB for 5 s.
 */
export class NodeAdmission {
  readonly refusals: Refusals;
  readonly #parts: AdmissionParts;
  readonly #events: AdmissionEvents;
  readonly #greeting = new Set<Connection>();

  constructor(parts: AdmissionParts, events: AdmissionEvents) {
    this.#parts = parts;
    this.#events = events;
    this.refusals = new Refusals(parts);
  }

  /** A connection that has said nothing yet; the transport closes it if it stays so. */
  greet(connection: Connection): void {
    this.#greeting.add(connection);
    connection.onClose = (reason) => this.#closed(connection, reason);
    this.#expect(connection, 'hello', (hello) => this.#hello(hello, connection));
  }

  /** Those that have not joined are told that there will be no welcome. */
  stop(): void {
    for (const connection of this.#greeting)
      connection.close({ type: 'error', code: 'STOPPING', message: 'the distributor stops' });
  }

  /** `message` is for this side's log, `told` for the other side. */
  refuse(connection: Connection, code: WireErrorCode, message: string, told = message): void {
    if (connection.closed) return;
    connection.onClose = () => void this.#greeting.delete(connection);
    this.refusals.add({ remote: connection.remote, code, message });
    connection.close({ type: 'error', code, message: told });
  }

  #hello(hello: Hello, connection: Connection): void {
    const protocol = commonVersion(hello.protocol);
    if (protocol === null) {
      const { min, max } = hello.protocol;
      const ours = `${PROTOCOL_VERSION.min} to ${PROTOCOL_VERSION.max}`;
      const why = `this distributor speaks protocol ${ours}, node '${hello.name}' ${min} to ${max}`;
      return this.refuse(connection, 'VERSION', why);
    }
    const { carries } = connection.peer;
    if (carries && !carries(hello.name)) {
      const why = `node '${hello.name}' has a certificate that does not speak for this name`;
      return this.refuse(connection, 'AUTHENTICATION', why, NOT_AUTHENTICATED);
    }
    const newcomer = { hello, connection, protocol };
    const { auth } = this.#parts;
    // A node of this process is who it is.
    if (auth === null || connection.peer.inProcess) this.#claim(newcomer);
    else this.#challenge(newcomer, auth);
  }

  #challenge(newcomer: Newcomer, auth: AuthSettings): void {
    const { distributor: name, instance } = this.#parts;
    const { connection, protocol } = newcomer;
    const challenge: Challenge = { type: 'challenge', protocol, name, instance, nonce: makeNonce() };
    this.#expect(connection, 'proof', (proof) => this.#proof(newcomer, auth, challenge, proof));
    connection.send(challenge);
  }

  #proof(newcomer: Newcomer, auth: AuthSettings, challenge: Challenge, { key, nonce, mac }: Proof): void {
    const { hello, connection } = newcomer;
    const exchange: Exchange = { hello, challenge, nonce, key, binding: connection.peer.binding };
    if (isNodeMac(auth, exchange, mac)) return this.#claim({ ...newcomer, proven: exchange });
    const why = auth.keys.some(({ id }) => id === key)
      ? `gave a proof that is wrong for secret ${key}: it was made for another connection, or changed on its way`
      : `has a secret (${key}) that is none of ours (${auth.keys.map(({ id }) => id).join(', ')})`;
    this.refuse(connection, 'AUTHENTICATION', `node '${hello.name}' ${why}`, NOT_AUTHENTICATED);
  }

  #claim(newcomer: Newcomer): void {
    this.#events.claim(newcomer, (inUse) => {
      if (inUse !== null) this.refuse(newcomer.connection, 'STORAGE_IN_USE', inUse);
      else this.#welcome(newcomer);
    });
  }

  #welcome(newcomer: Newcomer): void {
    const { connection, protocol, proven } = newcomer;
    if (connection.closed) return;
    const { distributor: name, instance, auth, clock } = this.#parts;
    connection.established();
    const late = clock.after(OFFER_WITHIN, () => this.refuse(connection, 'HANDSHAKE_TIMEOUT', 'no offer came'), false);
    connection.onClose = (reason) => {
      late.cancel();
      this.#closed(connection, reason);
    };
    this.#expect(connection, 'offer', (offer) => {
      late.cancel();
      this.#greeting.delete(connection);
      this.#events.admitted(newcomer, offer);
    });
    const storage = this.#parts.storage();
    const database = this.#parts.database();
    const key = proven && auth?.keys.find(({ id }) => id === proven.key);
    const mac = key && distributorMac(key, proven, storage);
    const more = { ...(database === undefined ? {} : { database }), ...(mac === undefined ? {} : { mac }) };
    connection.send({ type: 'welcome', protocol, name, instance, storage, keys: true, places: true, ...more });
  }

  /** Until it has come, nothing else is taken; after it nothing, until the next is expected. */
  #expect<T extends MessageType>(
    connection: Connection,
    type: T,
    then: (message: Extract<Message, { type: T }>) => void,
  ): void {
    connection.onMessage = (message) => {
      if (isAlways(connection, message)) return;
      if (message.type !== type) {
        return this.refuse(connection, 'PROTOCOL', `${message.type} came where ${type} was due`);
      }
      connection.onMessage = (early) => {
        if (!isAlways(connection, early)) this.refuse(connection, 'PROTOCOL', `${early.type} came before its turn`);
      };
      then(message as Extract<Message, { type: T }>);
    };
  }

  /** Not by `refuse`: the transport ended it, or the other side did. A side that just went away is not worth a word. */
  #closed(connection: Connection, { told, error }: CloseReason): void {
    this.#greeting.delete(connection);
    const { remote } = connection;
    if (told && told.code !== 'STOPPING') this.refusals.add({ remote, code: told.code, message: told.message });
    // Its words are not repeated: it may be anybody.
    else if (error) this.refusals.add({ remote, code: error.code, message: 'the other side broke off the handshake' });
  }
}

/** What may be said in every state, and is done with. */
function isAlways(connection: Connection, { type }: Message): boolean {
  if (type === 'ping') connection.send({ type: 'pong' });
  else if (type === 'goodbye') connection.close();
  else return type === 'pong';
  return true;
}
