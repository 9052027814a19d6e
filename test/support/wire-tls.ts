import { once } from 'node:events';
import { connect, createServer, type ConnectionOptions, type TlsOptions } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { certificateAuthority, type Authority, type Certificate } from '../../lib/cli/make-certificates.js';
import { nodeUri } from '../../lib/transport/certificate-names.js';
import { within } from './deadline.js';
import { Facts } from './reactor.js';
import { ScriptedSide } from './wire.js';

/** An authority and what it signs, with the defaults of these tests. */
export interface TestAuthority {
  ca: string;
  authority: Authority;
  distributor(more?: Partial<Parameters<Authority['issue']>[0]>): Promise<Certificate>;
  /** With this name as `npx job-reactor certs` puts it there. */
  node(name: string, more?: Partial<Parameters<Authority['issue']>[0]>): Promise<Certificate>;
}

export async function testAuthority(): Promise<TestAuthority> {
  const authority = await certificateAuthority(10);
  return {
    ca: authority.cert,
    authority,
    distributor: (more = {}) =>
      authority.issue({ commonName: 'web', hosts: ['localhost', '127.0.0.1'], use: 'distributor', days: 1, ...more }),
    node: (name, more = {}) =>
      authority.issue({ commonName: name, uris: [nodeUri(name)], use: 'node', days: 1, ...more }),
  };
}

/** Somebody who dials a distributor over TLS, and believes whatever certificate it has. */
export async function dialTls(port: number, options: ConnectionOptions = {}): Promise<ScriptedSide> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
  const side = new ScriptedSide(socket, 'distributor');
  await within(
    Promise.race(['secureConnect', 'close', 'error'].map((event) => once(socket, event).catch(() => []))),
    'a TLS session',
  );
  return side;
}

/** Somebody who listens as a distributor with TLS does. */
export async function scriptedTlsDistributor(options: TlsOptions): Promise<{
  port: number;
  next: () => Promise<ScriptedSide>;
  accepted: Facts<ScriptedSide>;
  close: () => void;
}> {
  const accepted = new Facts<ScriptedSide>();
  const server = createServer(options, (socket) => accepted.tell(new ScriptedSide(socket, 'node')));
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    next: () => accepted.next(() => true, 'a node'),
    accepted,
    close() {
      server.close();
      for (const { socket } of accepted.all) socket.destroy();
    },
  };
}
