import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** Stands between a client and a server, to do to their connections what networks do. */
export interface TcpProxy {
  readonly port: number;
  /** Nothing passes any more, in either direction, and nobody is told. */
  freeze(): void;
  thaw(): void;
  /** All connections break now; new ones are made as before. */
  cut(): void;
  /** What the client says still arrives; the answer to it does not, and then the connection breaks. */
  loseNextAnswer(): void;
  close(): Promise<void>;
}

interface Link {
  client: Socket;
  server: Socket;
}

export async function tcpProxy(port: number, host = '127.0.0.1'): Promise<TcpProxy> {
  const links = new Set<Link>();
  let frozen = false;
  let losing = false;
  const destroy = (link: Link): void => {
    links.delete(link);
    link.client.destroy();
    link.server.destroy();
  };
  const apply = ({ client, server }: Link): void => {
    for (const socket of [client, server]) {
      if (frozen) socket.pause();
      else socket.resume();
    }
  };
  const listener = createServer((client) => {
    const server = connect({ port, host });
    const link: Link = { client, server };
    links.add(link);
    client.setNoDelay(true);
    server.setNoDelay(true);
    for (const socket of [client, server]) {
      socket.on('error', () => destroy(link));
      socket.on('close', () => destroy(link));
    }
    client.on('data', (data) => server.write(data));
    server.on('data', (data) => {
      if (!losing) return void client.write(data);
      losing = false;
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
    cut: () => [...links].forEach(destroy),
    loseNextAnswer: () => void (losing = true),
    close() {
      [...links].forEach(destroy);
      return new Promise((resolve) => listener.close(() => resolve()));
    },
  };
}
