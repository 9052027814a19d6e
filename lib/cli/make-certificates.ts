import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import type * as X509 from '@peculiar/x509';
import { systemClock } from '../clock.js';
import { JobReactorError } from '../job-reactor.error.js';

/** As the package's own types name it. */
type WebCrypto = NonNullable<Parameters<typeof X509.X509CertificateGenerator.create>[1]>;

const DAY = 24 * 60 * 60 * 1000;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
/** Certificates are valid from a little before they are made: clocks differ. */
const EARLIER = 60 * 60 * 1000;

/** A certificate and its key, as PEM texts. */
export interface Certificate {
  cert: string;
  key: string;
}

export interface CertificateRequest {
  /** For people; and for a node without any other name its name. */
  commonName: string;
  /** Of distributors: host names and IP addresses that nodes dial. */
  hosts?: readonly string[];
  /** Of nodes: see `nodeUri`. */
  uris?: readonly string[];
  /** What the certificate may be used for, and no more. */
  use: 'distributor' | 'node';
  days: number;
  /** Milliseconds since the epoch from which on it is valid. Default: now. */
  from?: number;
}

/** Makes certificates that one authority has signed. */
export interface Authority extends Certificate {
  issue(request: CertificateRequest): Promise<Certificate>;
  /** A list (PEM) of certificates, given as PEM texts, that are not to be accepted any more. */
  revoke(certificates: readonly string[]): Promise<string>;
}

/** A new authority, or the one that an earlier call made. @throws {JobReactorError} NO_X509 */
export async function certificateAuthority(days: number, earlier?: Certificate): Promise<Authority> {
  const x509 = await loadX509();
  const signer = earlier ? await readSigner(x509, earlier) : await makeSigner(x509, days);
  return {
    ...(earlier ?? (await toPem(signer))),
    issue: (request) => issue(x509, signer, request),
    revoke: (certificates) => revoke(x509, signer, certificates),
  };
}

interface Signed {
  cert: X509.X509Certificate;
  privateKey: webcrypto.CryptoKey;
}

async function makeSigner(x509: typeof X509, days: number): Promise<Signed> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const cert = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: serialNumber(),
      name: 'CN=JobReactor authority',
      ...validity(days),
      signingAlgorithm: ALGORITHM,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    },
    webcrypto as unknown as WebCrypto,
  );
  return { cert, privateKey: keys.privateKey };
}

async function readSigner(x509: typeof X509, { cert, key }: Certificate): Promise<Signed> {
  const der = x509.PemConverter.decodeFirst(key);
  const privateKey = await webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, true, ['sign']);
  return { cert: new x509.X509Certificate(cert), privateKey };
}

async function issue(x509: typeof X509, signer: Signed, request: CertificateRequest): Promise<Certificate> {
  const { commonName, hosts = [], uris = [], use, days, from } = request;
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const names: X509.JsonGeneralNames = [
    ...hosts.map((host) => ({ type: isAddress(host) ? ('ip' as const) : ('dns' as const), value: host })),
    ...uris.map((uri) => ({ type: 'url' as const, value: uri })),
  ];
  const usage = use === 'distributor' ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth;
  const cert = await x509.X509CertificateGenerator.create(
    {
      serialNumber: serialNumber(),
      // As it is: a plain text would be read as a notation, with quotes that mean something.
      subject: new x509.Name([{ CN: [{ utf8String: commonName }] }]),
      issuer: signer.cert.subject,
      ...validity(days, from),
      signingAlgorithm: ALGORITHM,
      publicKey: keys.publicKey,
      signingKey: signer.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([usage]),
        ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
        await x509.AuthorityKeyIdentifierExtension.create(signer.cert.publicKey),
      ],
    },
    webcrypto as unknown as WebCrypto,
  );
  return toPem({ cert, privateKey: keys.privateKey });
}

async function revoke(x509: typeof X509, signer: Signed, certificates: readonly string[]): Promise<string> {
  const { notBefore, notAfter } = validity(365);
  const list = await x509.X509CrlGenerator.create(
    {
      issuer: signer.cert.subject,
      thisUpdate: notBefore,
      nextUpdate: notAfter,
      signingAlgorithm: ALGORITHM,
      signingKey: signer.privateKey,
      entries: certificates.map((cert) => ({
        serialNumber: new x509.X509Certificate(cert).serialNumber,
        revocationDate: notBefore,
      })),
    },
    webcrypto as unknown as WebCrypto,
  );
  // OpenSSL wants another head than the package writes.
  return `${list.toString('pem').replaceAll('-----BEGIN CRL', '-----BEGIN X509 CRL').replaceAll('-----END CRL', '-----END X509 CRL')}\n`;
}

async function toPem({ cert, privateKey }: Signed): Promise<Certificate> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', privateKey)).toString('base64');
  const lines = der.match(/.{1,64}/g) ?? [];
  return {
    cert: `${cert.toString('pem')}\n`,
    key: `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`,
  };
}

function validity(days: number, from = systemClock.now()): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(from - EARLIER), notAfter: new Date(from + days * DAY) };
}

/** 16 random bytes that are a positive number. */
function serialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] as number) & 0x7f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}

function isAddress(host: string): boolean {
  return /^[\d.]+$/.test(host) || host.includes(':');
}

async function loadX509(): Promise<typeof X509> {
  try {
    return await import('@peculiar/x509');
  } catch (cause) {
    const message = 'Certificates are made by the package @peculiar/x509: npm install --save-dev @peculiar/x509';
    throw new JobReactorError('NO_X509', message, { cause });
  }
}
