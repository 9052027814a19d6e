import { createServer, type Server, type Socket } from 'node:net';
import type { Server as TlsServer, TLSSocket } from 'node:tls';
import type { Clock } from '../clock.js';
import { JobReactorError } from '../job-reactor.error.js';
import { STRANGER, type Address, type Connection, type Listening, type Peer, type TurnedAway } from './connection.js';
import type { ByteBudget } from './byte-budget.js';
import { Handshakes, type CutOff, type Handshake } from './handshakes.js';
import { remoteOf, TcpConnection, type Wire } from './tcp-connection.js';
import type { TcpLimits } from './tcp-limits.js';
import { peerOfNode, tlsServer, type TlsSettings } from './tls.js';

export interface ListenerOptions {
  clock: Clock;
  limits: TcpLimits;
  budget: ByteBudget;
  /** Null: plain TCP. */
  tls: TlsSettings | null;
  accept: (connection: Connection) => void;
  turnedAway: (somebody: TurnedAway) => void;
}

/** A socket whose handshake, that of TLS included, is not over. */
interface Arrival {
  handshake: Handshake;
  /** Null while TLS is at work. */
  connection: TcpConnection | null;
}

/** Listens, and brings each socket as far as a connection that can speak the protocol. */
export class TcpListener {
  readonly #options: ListenerOptions;
  readonly #handshakes: Handshakes;
  readonly #tls: TlsServer | null;
  /** Of those with TLS at work, by address and port of the other side. */
  readonly #securing = new Map<string, Arrival>();

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#handshakes = new Handshakes(options.clock, options.limits);
    this.#tls = options.tls && this.#makeTls(options.tls);
  }

  /** @throws {JobReactorError} PORT_IN_USE or LISTEN_FAILED */
  async listen(address: Address): Promise<Listening> {
    const server = createServer((socket) => this.#arrived(socket));
    await bound(server, address);
    // A failed accept (out of file descriptors, for one) concerns the connection that was not made, not this server.
    server.on('error', () => {});
    const bind = server.address();
    return {
      port: typeof bind === 'object' && bind !== null ? bind.port : address.port,
      close() {
        // Its callback would wait for all connections to end; the port itself is free at once.
        server.close();
        return Promise.resolve();
      },
    };
  }

  #arrived(socket: Socket): void {
    const remote = remoteOf(socket);
    const arrival: Partial<Arrival> = { connection: null };
    const cutOff: CutOff = (code, message) => {
      if (arrival.connection) return arrival.connection.close({ type: 'error', code, message });
      this.#securing.delete(remote);
      this.#options.turnedAway({ remote, code, message });
      socket.destroy();
    };
    const handshake = this.#handshakes.begin(socket.remoteAddress ?? '', cutOff);
    if (typeof handshake === 'string') return this.#turnAway(socket, remote, handshake);
    arrival.handshake = handshake;
    if (!this.#tls) return this.#connected(arrival as Arrival, socket, STRANGER);
    socket.on('error', () => {});
    socket.once('close', () => {
      handshake.over();
      this.#securing.delete(remote);
    });
    this.#securing.set(remote, arrival as Arrival);
    this.#tls.emit('connection', socket);
  }

  #turnAway(socket: Socket, remote: string, message: string): void {
    this.#options.turnedAway({ remote, code: 'TOO_MANY', message });
    if (this.#tls) return void socket.destroy();
    const connection = this.#connection(socket, STRANGER);
    connection.close({ type: 'error', code: 'TOO_MANY', message });
    // Waiting for the other side to close would be one more way to hold a socket.
    connection.destroy();
  }

  #makeTls(settings: TlsSettings): TlsServer {
    const server = tlsServer(settings);
    server.on('secureConnection', (socket) => this.#secured(socket, settings));
    server.on('tlsClientError', (error: Error & { reason?: string }, socket) => {
      const remote = remoteOf(socket);
      // Not there when the other side just went away, or was turned away already.
      if (!this.#securing.delete(remote)) return;
      this.#options.turnedAway({ remote, code: 'TLS', message: error.reason ?? error.message });
      socket.destroy();
    });
    return server;
  }

  #secured(socket: TLSSocket, settings: TlsSettings): void {
    const remote = remoteOf(socket);
    const arrival = this.#securing.get(remote);
    if (!arrival) return void socket.destroy();
    this.#securing.delete(remote);
    const peer = peerOfNode(socket, settings);
    if (typeof peer !== 'string') return this.#connected(arrival, socket, peer);
    this.#options.turnedAway({ remote, code: 'AUTHENTICATION', message: peer });
    this.#open(arrival, socket, STRANGER).close({
      type: 'error',
      code: 'AUTHENTICATION',
      message: 'not authenticated',
    });
  }

  #connected(arrival: Arrival, socket: Wire, peer: Peer): void {
    const connection = this.#open(arrival, socket, peer);
    try {
      this.#options.accept(connection);
    } catch (error) {
      connection.destroy(error as Error);
    }
  }

  #open(arrival: Arrival, socket: Wire, peer: Peer): TcpConnection {
    const connection = this.#connection(socket, peer);
    connection.onHandshakeOver = () => (connection.closed ? arrival.handshake.over() : arrival.handshake.passed());
    arrival.connection = connection;
    return connection;
  }

  #connection(socket: Wire, peer: Peer): TcpConnection {
    const { clock, limits, budget } = this.#options;
    return new TcpConnection(socket, 'node', peer, clock, limits, budget);
  }
}

/** Resolves once the server listens. */
function bound(server: Server, { host, port }: Address): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (cause: NodeJS.ErrnoException): void => reject(listenError(host, port, cause));
    server.once('error', failed);
    // Exclusive: in a cluster the workers would share the port, and each node would reach one of them at random.
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

function listenError(host: string, port: number, cause: NodeJS.ErrnoException): JobReactorError {
  if (cause.code === 'EADDRINUSE') {
    const message =
      `Port ${port} on ${host} is in use. Stop the process that listens there, or give this distributor another port; ` +
      `each process needs a port of its own.`;
    return new JobReactorError('PORT_IN_USE', message, { cause });
  }
  return new JobReactorError('LISTEN_FAILED', `Could not listen on ${host}:${port}: ${cause.message}`, { cause });
}
