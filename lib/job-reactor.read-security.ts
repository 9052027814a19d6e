import { readObject, refuse as refuseWith, refuseUnknown } from './job/read-option.js';
import { SharedKey, SHORTEST_SECRET, type AuthSettings } from './transport/authentication.js';

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
  const list = Array.isArray(secret) ? secret : [secret];
  if (list.length === 0 || list.length > MOST_SECRETS) {
    refuse(`${where}.secret must hold 1 to ${MOST_SECRETS} secrets, not ${list.length}.`);
  }
  const keys = list.map((one, i) =>
    readSecret(one, Array.isArray(secret) ? `${where}.secret[${i}]` : `${where}.secret`),
  );
  if (new Set(keys.map(({ id }) => id)).size < keys.length) refuse(`${where}.secret holds the same secret twice.`);
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

function refuse(message: string): never {
  return refuseWith(CODE, message);
}
