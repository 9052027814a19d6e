import { DEFAULT_FRAME, LARGEST_FRAME } from '../protocol/frame.js';

/** Limits of a TCP transport. Sizes are bytes, times are milliseconds. */
export interface TcpLimits {
  /** Longest frame after the welcome, in both directions. Both sides need the same. At most 16 MiB. */
  frame: number;
  /** Above this the connection is congested. */
  highWater: number;
  /** After so many the event loop goes on before more of one connection is read: libuv would read 32 times as many. */
  readPerTick: number;
  /** Above this the other side is too slow, and the connection ends. */
  queue: number;
  /** Bytes that all connections together may hold; above it the one that holds the most ends. */
  held: number;
  /** Connections past the handshake that one listening port has; more are turned away. */
  connections: number;
  /** How many of them may come from one address. */
  connectionsPerAddress: number;
  /** Connections in the handshake that one listening port holds; more are turned away. */
  handshakes: number;
  /** How many of them may come from one address. */
  handshakesPerAddress: number;
  /** From the TCP connection to `established()`. */
  handshakeTimeout: number;
  connectTimeout: number;
  /** How long the rest of a frame may take. */
  frameTimeout: number;
  /** How long the other side may take nothing of what waits for it. */
  takeTimeout: number;
  /** How long the other side may take to close, once this side has. */
  closeTimeout: number;
}

export const TCP_LIMITS: Readonly<TcpLimits> = {
  frame: DEFAULT_FRAME,
  highWater: 1024 * 1024,
  readPerTick: 128 * 1024,
  queue: 64 * 1024 * 1024,
  held: 256 * 1024 * 1024,
  connections: 10_000,
  connectionsPerAddress: 2000,
  handshakes: 64,
  handshakesPerAddress: 32,
  handshakeTimeout: 5000,
  connectTimeout: 5000,
  frameTimeout: 30_000,
  takeTimeout: 60_000,
  closeTimeout: 2000,
};

export function tcpLimits(given: Partial<TcpLimits> = {}): TcpLimits {
  const limits = { ...TCP_LIMITS, ...given };
  if (!(limits.frame <= LARGEST_FRAME)) throw new RangeError(`A frame may have ${LARGEST_FRAME} bytes at most.`);
  return limits;
}
