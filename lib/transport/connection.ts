import type { ErrorMessage, WireErrorCode } from '../protocol/connection-messages.js';
import type { Message } from '../protocol/message.js';

/** Why a connection ended. `error` is what the other side said, `cause` what the socket said. */
export interface CloseReason {
  /** True when this side closed it. */
  local: boolean;
  error?: ErrorMessage;
  /** What this side told the other one. */
  told?: ErrorMessage;
  cause?: Error;
}

/** What the transport itself knows of the other side. */
export interface Peer {
  /** Both ends are in this process: there is nothing to prove. */
  readonly inProcess: boolean;
  /** Bytes that only the two ends of this TLS session know; none without TLS. */
  readonly binding: Buffer;
  /** Whether the certificate it has shown speaks for this name; null: it has shown none. */
  readonly carries: ((name: string) => boolean) | null;
}

/** A peer of which nothing is known. */
export const STRANGER: Peer = { inProcess: false, binding: Buffer.alloc(0), carries: null };

/**
 * One connection, as the roles see it: messages in, messages out. TCP makes it in production, the simulated network in
 * tests. Messages arrive in the order in which they were sent, or the connection ends.
 */
export interface Connection {
  /** For log lines: address and port of the other side. */
  readonly remote: string;
  readonly peer: Peer;
  readonly closed: boolean;
  /** Bytes that came so far; absent where they are not counted. */
  readonly received?: number;
  /** True while more is queued than the other side takes; senders stop until `onDrain`. */
  readonly congested: boolean;
  /** Queues the message; all of one tick leave in one write. Ignored once closed. */
  send(message: Message): void;
  /** Sends what is queued, then `error` if given, and ends. */
  close(error?: ErrorMessage): void;
  /** Ends at once; what is queued is lost. */
  destroy(cause?: Error): void;
  /** One handler each; set them in the turn in which the connection is handed over. */
  onMessage: (message: Message) => void;
  onClose: (reason: CloseReason) => void;
  onDrain: () => void;
  /** After the handshake the larger limits apply. */
  established(): void;
}

export interface Address {
  host: string;
  port: number;
  /** The name its certificate has to carry, where `host` is an address that was looked up. */
  name?: string;
}

/** Somebody who was turned away before there was a connection to speak of. */
export interface TurnedAway {
  remote: string;
  code: WireErrorCode | 'TLS';
  /** For the log of this side. */
  message: string;
}

/** Instead of an address: the distributor that listens over the same transport. */
export const IN_PROCESS: Address = { host: 'this process', port: 0 };

export interface Listening {
  /** The port in use, also when 0 was asked for. */
  readonly port: number;
  /** Takes no new connections; resolves when the port is free. Existing connections are not touched. */
  close(): Promise<void>;
}

export interface Transport {
  /** @throws {JobReactorError} PORT_IN_USE or LISTEN_FAILED */
  listen(
    address: Address,
    accept: (connection: Connection) => void,
    turnedAway?: (somebody: TurnedAway) => void,
  ): Promise<Listening>;
  /** Rejects with a ConnectError when no connection can be made within the connect timeout. */
  connect(address: Address): Promise<Connection>;
}
