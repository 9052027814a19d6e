import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { Side } from '../protocol/message-entry.js';
import type { Challenge, Hello, Welcome } from '../protocol/handshake-messages.js';
import type { AuthSettings, SharedKey } from './authentication.js';

/*
 * How two sides that know one secret prove it to each other; lib/protocol/README.md is the specification. Each proof is
 * a MAC over all that both said before it, over a nonce of each side, and over the TLS session: a proof is worth nothing
 * in another connection, from the other side, or when anybody changed a word on the way.
 */

const LABEL = 'nestjs-job-reactor proof 1';

/** What was said up to the proof. */
export interface Exchange {
  hello: Hello;
  challenge: Challenge;
  /** The node's. */
  nonce: string;
  /** Id of the secret. */
  key: string;
  /** Of the TLS session; no bytes without TLS. */
  binding: Buffer;
}

/** 32 random bytes. */
export function makeNonce(): string {
  return randomBytes(32).toString('base64url');
}

export function nodeMac(key: SharedKey, exchange: Exchange): string {
  return key.mac(transcript('node', exchange, '')).toString('base64url');
}

export function distributorMac(key: SharedKey, exchange: Exchange, storage: Welcome['storage']): string {
  return key.mac(transcript('distributor', exchange, storage ?? '')).toString('base64url');
}

export function isNodeMac(auth: AuthSettings, exchange: Exchange, mac: string): boolean {
  const key = auth.keys.find(({ id }) => id === exchange.key);
  // An unknown key takes as long as a known one.
  const due = nodeMac(key ?? auth.keys[0]!, exchange);
  return sameText(due, mac) && key !== undefined;
}

export function isDistributorMac(key: SharedKey, exchange: Exchange, { storage, mac = '' }: Welcome): boolean {
  return sameText(distributorMac(key, exchange, storage), mac);
}

function sameText(a: string, b: string): boolean {
  const [first, second] = [Buffer.from(a), Buffer.from(b)];
  return first.length === second.length && timingSafeEqual(first, second);
}

/** Each value with its length before it, so that no two exchanges give the same bytes. */
function transcript(prover: Side, { hello, challenge, nonce, key, binding }: Exchange, storage: string): Buffer {
  const values = [
    LABEL,
    prover,
    String(hello.protocol.min),
    String(hello.protocol.max),
    String(challenge.protocol),
    hello.role,
    hello.name,
    hello.instance,
    hello.storage.id,
    String(hello.storage.durable),
    challenge.name,
    challenge.instance,
    storage,
    challenge.nonce,
    nonce,
    key,
    binding,
  ].flatMap((value) => {
    const bytes = Buffer.from(value as string);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  });
  return Buffer.concat(values);
}
