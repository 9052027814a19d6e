import { duplexPair, type Duplex } from 'node:stream';
import type { Clock } from '../clock.js';
import type { Side } from '../protocol/message-entry.js';
import { IN_PROCESS, STRANGER, type Connection, type Peer, type Transport } from './connection.js';
import { ByteBudget } from './byte-budget.js';
import { ConnectError } from './connect.error.js';
import { TcpConnection } from './tcp-connection.js';
import { TCP_LIMITS } from './tcp-limits.js';

const HERE: Peer = { ...STRANGER, inProcess: true };

/**
 * The transport, and beside it a pipe for the node whose distributor is in the same process: that one needs no port, and
 * no secret or certificate of its own.
 */
export function withInProcess(transport: Transport, clock: Clock): Transport {
  const budget = new ByteBudget(Infinity);
  let acceptHere: ((connection: Connection) => void) | null = null;

  const listen: Transport['listen'] = async (address, accept, turnedAway) => {
    const listening = await transport.listen(address, accept, turnedAway);
    acceptHere = accept;
    return {
      port: listening.port,
      close() {
        acceptHere = null;
        return listening.close();
      },
    };
  };

  const connect: Transport['connect'] = async (address) => {
    if (address !== IN_PROCESS) return transport.connect(address);
    if (!acceptHere) throw new ConnectError('CONNECT', 'the distributor of this process does not listen');
    const pipe = inProcessPipe(clock, budget);
    acceptHere(pipe.distributor);
    return pipe.node;
  };

  return { listen, connect };
}

/** The two ends of a connection within the process, by who holds them. */
export function inProcessPipe(
  clock: Clock,
  budget = new ByteBudget(Infinity),
): { node: Connection; distributor: Connection } {
  const [near, far] = duplexPair();
  // As with sockets: one that is destroyed takes the other with it.
  near.once('close', () => far.destroy());
  far.once('close', () => near.destroy());
  const open = (end: Duplex, otherSide: Side): Connection =>
    new TcpConnection(end, otherSide, HERE, clock, TCP_LIMITS, budget);
  return { node: open(near, 'distributor'), distributor: open(far, 'node') };
}
