import type { Challenge, Hello, Welcome } from '../protocol/handshake-messages.js';
import type { Message } from '../protocol/message.js';
import { commonVersion } from '../protocol/version.js';
import type { AuthSettings } from '../transport/authentication.js';
import type { Connection } from '../transport/connection.js';
import { isDistributorMac, makeNonce, nodeMac, type Exchange } from '../transport/proof.js';

/** Why a node breaks off a handshake. */
export type Distrust = { code: 'UNTRUSTED' | 'VERSION' | 'PROTOCOL'; why: string };

/**
 * The node's part of a handshake. Until the distributor has proven itself nothing leaves but who this node is, and its
 * proof; what went wrong is for this side's log, the other side is told no more than that it ends.
 */
export class LinkHandshake {
  /** Set when this side broke it off. */
  distrust: Distrust | null = null;
  readonly #connection: Connection;
  readonly #hello: Hello;
  readonly #auth: AuthSettings | null;
  readonly #welcomed: (welcome: Welcome) => void;
  #exchange: Exchange | null = null;

  constructor(connection: Connection, hello: Hello, auth: AuthSettings | null, welcomed: (welcome: Welcome) => void) {
    this.#connection = connection;
    this.#hello = hello;
    // A distributor of this process is who it is.
    this.#auth = connection.peer.inProcess ? null : auth;
    this.#welcomed = welcomed;
    connection.send(hello);
  }

  message(message: Message): void {
    switch (message.type) {
      case 'challenge':
        return this.#challenge(message);
      case 'welcome':
        return this.#welcome(message);
      case 'ping':
        return this.#connection.send({ type: 'pong' });
      case 'pong':
        return;
      case 'goodbye':
        return this.#connection.close();
      default:
        return this.#breakOff('PROTOCOL', `${message.type} came before welcome`);
    }
  }

  #challenge(challenge: Challenge): void {
    const key = this.#auth?.keys[0];
    if (!key) {
      return this.#breakOff('UNTRUSTED', 'it asks for a shared secret, and this node has none: set `node.auth`');
    }
    const exchange = {
      hello: this.#hello,
      challenge,
      nonce: makeNonce(),
      key: key.id,
      binding: this.#connection.peer.binding,
    };
    this.#exchange = exchange;
    this.#connection.send({ type: 'proof', key: key.id, nonce: exchange.nonce, mac: nodeMac(key, exchange) });
  }

  #welcome(welcome: Welcome): void {
    const { protocol } = welcome;
    if (commonVersion({ min: protocol, max: protocol }, this.#hello.protocol) === null) {
      return this.#breakOff('VERSION', `it chose protocol ${protocol}, which this node does not speak`);
    }
    if (this.#auth && !this.#isProven(this.#auth, welcome)) return;
    this.#welcomed(welcome);
  }

  #isProven(auth: AuthSettings, welcome: Welcome): boolean {
    const exchange = this.#exchange;
    if (!exchange) {
      this.#breakOff('UNTRUSTED', 'it welcomes nodes without asking for the shared secret: set `distributor.auth`');
      return false;
    }
    const { protocol, name, instance } = exchange.challenge;
    const isSame = protocol === welcome.protocol && name === welcome.name && instance === welcome.instance;
    if (isSame && isDistributorMac(auth.keys[0]!, exchange, welcome)) return true;
    this.#breakOff('UNTRUSTED', 'it did not prove that it knows the shared secret');
    return false;
  }

  #breakOff(code: Distrust['code'], why: string): void {
    this.distrust = { code, why };
    const told = code === 'UNTRUSTED' ? 'AUTHENTICATION' : code;
    this.#connection.close({ type: 'error', code: told, message: 'the handshake was broken off' });
  }
}
