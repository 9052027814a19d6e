import { constants } from 'node:crypto';
import { isIP } from 'node:net';
import { checkServerIdentity, connect, createSecureContext, createServer, type Server, type TLSSocket } from 'node:tls';
import { carries, namesOf } from './certificate-names.js';
import { STRANGER, type Address, type Peer } from './connection.js';

type Pem = string[];

/** `tls` of a role after validation. */
export interface TlsSettings {
  /** This side's certificate, with those between it and the authority, and its key. A node may have none. */
  readonly cert?: Pem;
  readonly key?: Pem;
  readonly passphrase?: string;
  /** Authorities the other side's certificate has to come from. */
  readonly ca?: Pem;
  /** Lists of certificates that were revoked. */
  readonly crl?: Pem;
  /** The name a distributor's certificate has to carry, where it is not the host that is dialled. */
  readonly servername?: string;
}

/** Nothing older is spoken. */
const VERSION = { minVersion: 'TLSv1.3' } as const;
/** Whoever came for another protocol is turned away within the TLS handshake. */
const PROTOCOL = { ALPNProtocols: ['job-reactor'] };
const EXPORTER = 'EXPORTER-nestjs-job-reactor';

/** Null when certificates can be read and the key fits; else what OpenSSL says. */
export function whatIsWrong(settings: TlsSettings): string | null {
  try {
    createSecureContext({ ...settings });
    return null;
  } catch (error) {
    const { reason, message } = error as Error & { reason?: string };
    return reason ?? message;
  }
}

/** What both sides of this session, and nobody else, can compute. */
function bindingOf(socket: TLSSocket): Buffer {
  return socket.exportKeyingMaterial(32, EXPORTER, Buffer.alloc(0));
}

/** Nodes are asked for a certificate exactly when `ca` says whose are good; `peerOfNode` decides about what they show. */
export function tlsServer(settings: TlsSettings): Server {
  return createServer({
    ...settings,
    ...VERSION,
    ...PROTOCOL,
    requestCert: settings.ca !== undefined,
    // Decided there, so that a refused node hears so in our protocol instead of a reset.
    rejectUnauthorized: false,
    // A ticket would let a node back in without its certificate being looked at again.
    secureOptions: constants.SSL_OP_NO_TICKET,
  });
}

/** The node behind a finished TLS handshake; or, as text, why it can't be one. */
export function peerOfNode(socket: TLSSocket, { ca }: TlsSettings): Peer | string {
  if (ca === undefined) return { ...STRANGER, binding: bindingOf(socket) };
  if (!socket.authorized) return `its certificate is refused: ${String(socket.authorizationError)}`;
  const names = namesOf(socket.getPeerCertificate());
  return { ...STRANGER, binding: bindingOf(socket), carries: (name) => carries(names, name) };
}

/** The distributor behind a finished TLS handshake: its certificate was verified, with the name it was dialled by. */
export function peerOfDistributor(socket: TLSSocket): Peer {
  return { ...STRANGER, binding: bindingOf(socket) };
}

export function tlsConnect(address: Address, { servername, ...settings }: TlsSettings): TLSSocket {
  const { host, port } = address;
  const name = servername ?? address.name ?? host;
  return connect({
    ...settings,
    ...VERSION,
    ...PROTOCOL,
    host,
    port,
    rejectUnauthorized: true,
    // An IP address is looked for in the certificate, but is no server name that could be asked for.
    ...(isIP(name) === 0 ? { servername: name } : {}),
    checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
  });
}
