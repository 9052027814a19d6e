import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** How slowly things pass, as long as that lasts; what is left out does not hold them up. */
export interface Slowness {
  /** Milliseconds each chunk is late. */
  delay?: number;
  /** Bytes a second, in each direction of each connection. */
  rate?: number;
  /** Bytes that are passed on at once. */
  slice?: number;
}

/** Stands between a client and a server, to do to their connections what networks do. */
export interface TcpProxy {
  readonly port: number;
  /** Nothing passes any more, in either direction, and nobody is told. New connections are made and hear nothing. */
  freeze(): void;
  thaw(): void;
  /** Everything passes, but slowly; `{}` is as fast as ever. */
  slow(how: Slowness): void;
  /** All connections break now; new ones are made as before. */
  cut(): void;
  /** The same, with a RST to both ends. */
  reset(): void;
  /** What the client says still arrives; the answer to it does not, and then the connection breaks. */
  loseNextAnswer(): void;
  /** Shows everything that passes, in both directions. */
  tap(listener: (chunk: Buffer) => void): void;
  /** The same for the next thing a client says that has this in it. Resolves when that has happened. */
  loseAnswerTo(text: string): Promise<void>;
  close(): Promise<void>;
}

interface Link {
  client: Socket;
  server: Socket;
  /** What the server says next is lost. */
  deaf: (() => void) | null;
  /** One chunk after another, in each direction. */
  upward: Promise<void>;
  downward: Promise<void>;
}

export async function tcpProxy(port: number, host = '127.0.0.1'): Promise<TcpProxy> {
  const links = new Set<Link>();
  let frozen = false;
  let slowness: Slowness = {};
  let losing = false;
  let tapped: (chunk: Buffer) => void = () => {};
  let lost: { text: string; done: () => void } | null = null;
  const close = (link: Link, end: (socket: Socket) => void): void => {
    links.delete(link);
    end(link.client);
    end(link.server);
  };
  const destroy = (link: Link): void => close(link, (socket) => socket.destroy());
  const apply = ({ client, server }: Link): void => {
    for (const socket of [client, server]) {
      if (frozen) socket.pause();
      else socket.resume();
    }
  };
  const pass = (link: Link, way: 'upward' | 'downward', data: Buffer): void => {
    const to = way === 'upward' ? link.server : link.client;
    tapped(data);
    if (Object.keys(slowness).length === 0) link[way] = link[way].then(() => void to.write(data));
    else {
      const how = slowness;
      const due = performance.now() + (how.delay ?? 0);
      link[way] = link[way].then(() => trickle(to, data, due, how));
    }
  };
  const listener = createServer((client) => {
    const server = connect({ port, host });
    const link: Link = { client, server, deaf: null, upward: Promise.resolve(), downward: Promise.resolve() };
    links.add(link);
    client.setNoDelay(true);
    server.setNoDelay(true);
    for (const socket of [client, server]) {
      socket.on('error', () => destroy(link));
      socket.on('close', () => destroy(link));
    }
    client.on('data', (data) => {
      if (lost && data.includes(lost.text)) {
        link.deaf = lost.done;
        lost = null;
      }
      pass(link, 'upward', data);
    });
    server.on('data', (data) => {
      if (!losing && !link.deaf) return pass(link, 'downward', data);
      losing = false;
      link.deaf?.();
      destroy(link);
    });
    apply(link);
  });
  listener.listen(0, '127.0.0.1');
  await new Promise((resolve) => listener.once('listening', resolve));
  return {
    port: (listener.address() as AddressInfo).port,
    freeze() {
      frozen = true;
      links.forEach(apply);
    },
    thaw() {
      frozen = false;
      links.forEach(apply);
    },
    slow: (how) => void (slowness = how),
    cut: () => [...links].forEach(destroy),
    reset: () => [...links].forEach((link) => close(link, (socket) => socket.resetAndDestroy())),
    loseNextAnswer: () => void (losing = true),
    tap: (listener) => void (tapped = listener),
    loseAnswerTo: (text) => new Promise((done) => (lost = { text, done })),
    close() {
      [...links].forEach(destroy);
      return new Promise((resolve) => listener.close(() => resolve()));
    },
  };
}

async function trickle(to: Socket, data: Buffer, due: number, how: Slowness): Promise<void> {
  const { rate = Infinity, slice = data.length } = how;
  const early = due - performance.now();
  if (early > 0) await passed(early);
  for (let at = 0; at < data.length && !to.destroyed; at += slice) {
    const part = data.subarray(at, at + slice);
    to.write(part);
    if (rate < Infinity) await passed((part.length / rate) * 1000);
    // Else they would leave in one piece after all.
    else await new Promise(setImmediate);
  }
}

const passed = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));
