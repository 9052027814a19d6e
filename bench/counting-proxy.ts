import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** Messages of PostgreSQL's protocol that have the server run a statement: Query, and Execute of a prepared one. */
const STATEMENTS = new Set(['Q', 'E'].map((letter) => letter.charCodeAt(0)));

/** Stands before a PostgreSQL server and counts the statements that go through. */
export class CountingProxy {
  statements = 0;
  url = '';
  readonly #server = createServer((socket) => this.#pass(socket));
  readonly #sockets = new Set<Socket>();
  readonly #target: URL;

  constructor(url: string) {
    this.#target = new URL(url);
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const url = new URL(this.#target);
    url.host = `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    this.url = url.href;
    return this;
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #pass(client: Socket): void {
    const server = connect(Number(this.#target.port || 5432), this.#target.hostname);
    const counted = counter((type) => void (STATEMENTS.has(type) && this.statements++));
    client.on('data', (chunk: Buffer) => {
      counted(chunk);
      server.write(chunk);
    });
    server.on('data', (chunk) => client.write(chunk));
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(one);
      one.setNoDelay(true);
      one.on('error', () => other.destroy());
      one.on('close', () => (this.#sockets.delete(one), other.destroy()));
    }
  }
}

/** Calls back for the type of each message: a byte, and after the start-up message, which has none, the length. */
function counter(seen: (type: number) => void): (chunk: Buffer) => void {
  let buffered: Buffer = Buffer.alloc(0);
  let started = false;
  return (chunk) => {
    buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk]);
    for (;;) {
      const head = started ? 1 : 0;
      if (buffered.length < head + 4) return;
      const length = buffered.readUInt32BE(head);
      if (buffered.length < head + length) return;
      if (started) seen(buffered[0]!);
      // A request for encryption is answered by one byte, and then the start-up message comes.
      else if (buffered.readUInt32BE(4) !== 80877103) started = true;
      buffered = buffered.subarray(head + length);
    }
  };
}
