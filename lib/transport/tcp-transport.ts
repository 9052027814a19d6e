import { createConnection, createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../clock.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { Side } from '../protocol/message-entry.js';
import { STRANGER, type Address, type Connection, type Listening, type Transport } from './connection.js';
import { HandshakeCounter } from './handshake-counter.js';
import { connectionError, TcpConnection } from './tcp-connection.js';
import { type TcpLimits, tcpLimits } from './tcp-limits.js';

export interface TcpTransportOptions {
  clock: Clock;
  limits?: Partial<TcpLimits>;
}

/** Connections over plain TCP. Who listens is the distributor, who connects is the node. */
export function tcpTransport(options: TcpTransportOptions): Transport {
  const { clock } = options;
  const limits = tcpLimits(options.limits);

  function open(socket: Socket, otherSide: Side, handshakeOver: () => void): TcpConnection {
    const connection = new TcpConnection(socket, otherSide, STRANGER, clock, limits);
    const deadline = clock.after(
      limits.handshakeTimeout,
      () =>
        connection.close({
          type: 'error',
          code: 'HANDSHAKE_TIMEOUT',
          message: `The handshake was not over within ${limits.handshakeTimeout} ms.`,
        }),
      false,
    );
    connection.onHandshakeOver = () => {
      connection.onHandshakeOver = () => {};
      deadline.cancel();
      handshakeOver();
    };
    return connection;
  }

  async function listen(address: Address, accept: (connection: Connection) => void): Promise<Listening> {
    const counter = new HandshakeCounter(limits.handshakes, limits.handshakesPerAddress);
    const server = createServer((socket) => {
      const from = socket.remoteAddress ?? '';
      const admitted = counter.enter(from);
      const connection = open(socket, 'node', () => admitted && counter.leave(from));
      if (!admitted) {
        connection.close({ type: 'error', code: 'TOO_MANY', message: 'Too many connections are in the handshake.' });
        // Waiting for the other side to close would be one more way to hold a socket.
        connection.destroy();
        return;
      }
      try {
        accept(connection);
      } catch (error) {
        connection.destroy(error as Error);
      }
    });
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

  function connect(address: Address): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ host: address.host, port: address.port });
      const fail = (why: string, cause?: Error): void => {
        timer.cancel();
        socket.destroy();
        reject(connectionError('CONNECT', why, cause));
      };
      const timer = clock.after(
        limits.connectTimeout,
        () => fail(`no connection within ${limits.connectTimeout} ms`),
        false,
      );
      // When several addresses were tried, the message is empty and the code is what there is to tell.
      const failed = (cause: NodeJS.ErrnoException): void => fail(cause.message || String(cause.code), cause);
      socket.once('error', failed);
      socket.once('connect', () => {
        timer.cancel();
        socket.off('error', failed);
        resolve(open(socket, 'distributor', () => {}));
      });
    });
  }

  return { listen, connect };
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
