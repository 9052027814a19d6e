import {
  describeValue,
  readName,
  readObject,
  refuse as refuseWith,
  refuseUnknown,
  type UnknownRecord,
} from './job/read-option.js';
import { JobReactorError } from './job-reactor.error.js';
import type { DistributorSettings } from './job-reactor.options.js';
import { SharedKey, SHORTEST_SECRET, type AuthSettings } from './transport/authentication.js';
import type { Address } from './transport/connection.js';
import { whatIsWrong, type TlsSettings } from './transport/tls.js';

const CODE = 'INVALID_OPTIONS';
/** More than a rotation ever needs, and few enough to be looked through for each connection. */
const MOST_SECRETS = 16;
/** So many different bytes any random secret has, hexadecimal ones included. */
const FEWEST_DIFFERENT = 8;

/** `auth` of a role. What it holds is never repeated in a message. @throws {JobReactorError} INVALID_OPTIONS */
export function readAuth(value: unknown, where: string): AuthSettings | null {
  if (value === undefined) return null;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refuse(`${where} must be an object: { secret: … }.`);
  }
  const given = readObject(value, where, CODE);
  refuseUnknown(given, ['secret'], `${where}.`, CODE);
  const { secret } = given;
  if (secret === undefined) refuse(`\`${where}.secret\` is missing: ${ADVICE}`);
  return readSecrets(secret, `${where}.secret`);
}

/** One secret or several. @throws {JobReactorError} INVALID_OPTIONS */
export function readSecrets(secret: unknown, where: string): AuthSettings {
  const list = Array.isArray(secret) ? secret : [secret];
  if (list.length === 0 || list.length > MOST_SECRETS) {
    refuse(`${where} must hold 1 to ${MOST_SECRETS} secrets, not ${list.length}.`);
  }
  const keys = list.map((one, i) => readSecret(one, Array.isArray(secret) ? `${where}[${i}]` : where));
  if (new Set(keys.map(({ id }) => id)).size < keys.length) refuse(`${where} holds the same secret twice.`);
  return { keys };
}

const ADVICE =
  '`npx job-reactor secret` prints a good one; keep it out of the code, in an environment variable or a file.';

function readSecret(value: unknown, where: string): SharedKey {
  if (typeof value !== 'string' && !(value instanceof Uint8Array)) {
    refuse(
      `${where} must be text or a Buffer, not ${value === null ? 'null' : typeof value}. Is the variable it comes from set?`,
    );
  }
  const bytes = Buffer.from(value as Uint8Array);
  if (bytes.length < SHORTEST_SECRET) {
    refuse(`${where} has ${bytes.length} bytes; at least ${SHORTEST_SECRET} are needed. ${ADVICE}`);
  }
  if (new Set(bytes).size < FEWEST_DIFFERENT) refuse(`${where} repeats itself, so it can be guessed. ${ADVICE}`);
  return new SharedKey(bytes);
}

const TLS = ['cert', 'key', 'passphrase', 'ca', 'crl', 'servername'];

/** `tls` of a role. @throws {JobReactorError} INVALID_OPTIONS, also where the certificate and the key do not fit */
export function readTls(value: unknown, where: string, role: 'distributor' | 'node'): TlsSettings | null {
  if (value === undefined) return null;
  const given = readObject(value, where, CODE);
  const known = role === 'node' ? TLS : TLS.filter((name) => name !== 'servername');
  refuseUnknown(given, known, `${where}.`, CODE);
  const { cert, key, passphrase, servername } = given;
  if (role === 'distributor' && cert === undefined) refuse(`\`${where}.cert\` is missing. ${CERTS_ADVICE}`);
  if ((cert === undefined) !== (key === undefined))
    refuse(`${where}: \`cert\` and \`key\` go together. ${CERTS_ADVICE}`);
  const settings: TlsSettings = {
    ...readPems(given, 'cert', where),
    ...readPems(given, 'key', where),
    ...readPems(given, 'ca', where),
    ...readPems(given, 'crl', where),
    ...(passphrase === undefined ? {} : { passphrase: readText(passphrase, `${where}.passphrase`) }),
    ...(servername === undefined ? {} : { servername: readName(servername, `${where}.servername`, CODE) }),
  };
  const wrong = whatIsWrong(settings);
  if (wrong !== null) refuse(`${where} can't be used: ${wrong}. ${CERTS_ADVICE}`);
  return settings;
}

const CERTS_ADVICE = '`npx job-reactor certs <folder>` makes an authority and certificates for a start.';

function readPems(given: UnknownRecord, name: 'cert' | 'key' | 'ca' | 'crl', where: string): Partial<TlsSettings> {
  const value = given[name];
  if (value === undefined) return {};
  if (!Array.isArray(value) || name === 'cert' || name === 'key')
    return { [name]: [readPem(value, `${where}.${name}`)] };
  if (value.length === 0) refuse(`${where}.${name} is an empty list.`);
  return { [name]: value.map((one, i) => readPem(one, `${where}.${name}[${i}]`)) };
}

function readPem(value: unknown, where: string): string {
  const text = value instanceof Uint8Array ? Buffer.from(value).toString() : value;
  if (typeof text !== 'string')
    return refuse(`${where} must be a PEM text or a Buffer, not ${value === null ? 'null' : typeof value}.`);
  if (text.includes('-----BEGIN ')) return text;
  // It may be anything, a key as well: only its looks are told.
  return refuse(
    `${where} is no PEM text: it has no line "-----BEGIN …". If it is a path, read the file: readFileSync(path).`,
  );
}

function readText(value: unknown, where: string): string {
  return typeof value === 'string' ? value : refuse(`${where} must be text, not ${typeof value}.`);
}

/** @returns true when strangers get in and that is meant. @throws {JobReactorError} INSECURE_BIND when it is not meant */
export function isInsecureBind({ host, tls, auth }: Omit<DistributorSettings, 'insecure'>, isMeant: boolean): boolean {
  if (isLoopback(host) || (tls && (tls.ca || auth))) return false;
  if (isMeant) return true;
  const open = auth ? '' : 'whoever reaches the port can run jobs and read their arguments, and ';
  const missing = tls
    ? 'nodes prove nothing, so whoever reaches the port can run jobs and read their arguments. Give `distributor.tls.ca`, ' +
      'so that they have to show certificates, or `distributor.auth`'
    : `${open}whoever is on the way can read all and take connections over. Give \`distributor.tls\`, with \`ca\` or ` +
      'with `distributor.auth`';
  throw new JobReactorError(
    'INSECURE_BIND',
    `distributor.host: other machines reach ${describeValue(host)}, and ${missing}; \`npx job-reactor certs <folder>\` and ` +
      "`npx job-reactor secret` make what is needed (docs/security.md). Or listen on '127.0.0.1'. Or set " +
      '`distributor.allowInsecure: true` if you trust everybody who reaches the port and the network.',
  );
}

/** @returns true when another machine is dialled in the clear and that is meant. @throws {JobReactorError} INSECURE_LINK when it is not meant */
export function isInsecureLink(distributors: readonly Address[], tls: TlsSettings | null, isMeant: boolean): boolean {
  const far = distributors.find(({ host }) => !isLoopback(host));
  if (!far || tls) return false;
  if (isMeant) return true;
  throw new JobReactorError(
    'INSECURE_LINK',
    `node.distributors: ${describeValue(far.host)} is another machine, and without TLS whoever is on the way can have this ` +
      'node run what they like, and read all. Give `node.tls`; `npx job-reactor certs <folder>` makes what is needed ' +
      '(docs/security.md). Or set `node.allowInsecure: true` if you trust everybody who reaches the network.',
  );
}

function isLoopback(host: string): boolean {
  return host.toLowerCase() === 'localhost' || host === '::1' || /^(?:::ffff:)?127(?:\.\d{1,3}){3}$/i.test(host);
}

function refuse(message: string): never {
  return refuseWith(CODE, message);
}
