import { DeadlinePassed } from './deadline.js';
import { NotConnected } from './engine.js';

/** What Node says when a server can't be reached, or was and is no more. */
const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND', // a name that a network of containers may not know yet
  'EAI_AGAIN',
  'ENOENT', // the server's socket file
  'PROTOCOL_CONNECTION_LOST', // mysql2
]);
/** The drivers give these no code. The last two are what is said on a connection that broke before it was used again. */
const LOST =
  /^(Connection terminated|timeout expired|timeout exceeded when trying to connect|Client (has encountered a connection error|was closed)|Can.t add new command when connection is in closed state)/;

/** The driver's own error, where TypeORM or we have wrapped it. */
export function driverError(error: unknown): unknown {
  if (error instanceof NotConnected) return driverError(error.cause);
  const { driverError: inner } = (error ?? {}) as { driverError?: unknown };
  return inner === undefined || inner === error ? error : inner;
}

export function isNetworkTrouble(error: unknown): boolean {
  if (error instanceof NotConnected) return isNetworkTrouble(error.cause);
  if (error instanceof DeadlinePassed) return true;
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (typeof code === 'string') return NETWORK.has(code);
  return code === undefined && typeof message === 'string' && LOST.test(message);
}
