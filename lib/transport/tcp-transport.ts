import { createConnection, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../clock.js';
import { ByteBudget } from './byte-budget.js';
import { ConnectError } from './connect.error.js';
import { STRANGER, type Address, type Connection, type Transport } from './connection.js';
import { TcpConnection } from './tcp-connection.js';
import { type TcpLimits, tcpLimits } from './tcp-limits.js';
import { TcpListener } from './tcp-listener.js';
import { peerOfDistributor, tlsConnect, type TlsSettings } from './tls.js';

export interface TcpTransportOptions {
  clock: Clock;
  limits?: Partial<TcpLimits>;
  /** Of the side that listens. Default: plain TCP. */
  listenTls?: TlsSettings | null;
  /** Of the side that connects. Default: plain TCP. */
  connectTls?: TlsSettings | null;
}

/** Connections over TCP, with or without TLS. Who listens is the distributor, who connects is the node. */
export function tcpTransport(options: TcpTransportOptions): Transport {
  const { clock, listenTls = null, connectTls = null } = options;
  const limits = tcpLimits(options.limits);
  const budget = new ByteBudget(limits.held);

  const listen: Transport['listen'] = (address, accept, turnedAway = () => {}) =>
    new TcpListener({ clock, limits, budget, tls: listenTls, accept, turnedAway }).listen(address);

  function connect(address: Address): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const { host, port } = address;
      const socket: Socket | TLSSocket = connectTls
        ? tlsConnect(address, connectTls)
        : createConnection({ host, port });
      let isReached = false;
      socket.once('connect', () => (isReached = true));
      const fail = (why: string, cause?: Error): void => {
        timer.cancel();
        socket.destroy();
        reject(new ConnectError(isReached ? 'TLS' : 'CONNECT', why, cause));
      };
      const late = (): void => fail(`no connection within ${limits.connectTimeout} ms`);
      const timer = clock.after(limits.connectTimeout, late, false);
      // When several addresses were tried, the message is empty and the code is what there is to tell.
      const failed = (cause: NodeJS.ErrnoException & { reason?: string }): void =>
        fail((isReached && cause.reason) || cause.message || String(cause.code), cause);
      socket.once('error', failed);
      socket.once(connectTls ? 'secureConnect' : 'connect', () => {
        timer.cancel();
        socket.off('error', failed);
        resolve(open(socket));
      });
    });
  }

  function open(socket: Socket | TLSSocket): TcpConnection {
    const peer = connectTls ? peerOfDistributor(socket as TLSSocket) : STRANGER;
    const connection = new TcpConnection(socket, 'distributor', peer, clock, limits, budget);
    const message = `The handshake was not over within ${limits.handshakeTimeout} ms.`;
    const late = (): void => connection.close({ type: 'error', code: 'HANDSHAKE_TIMEOUT', message });
    const deadline = clock.after(limits.handshakeTimeout, late, false);
    connection.onHandshakeOver = () => deadline.cancel();
    return connection;
  }

  return { listen, connect };
}
