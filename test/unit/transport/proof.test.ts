import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { readAuth } from '../../../lib/job-reactor.read-security.js';
import type { Challenge, Hello, Welcome } from '../../../lib/protocol/handshake-messages.js';
import { SharedKey, type AuthSettings } from '../../../lib/transport/authentication.js';
import {
  distributorMac,
  isDistributorMac,
  isNodeMac,
  makeNonce,
  nodeMac,
  type Exchange,
} from '../../../lib/transport/proof.js';

const page = readFileSync(new URL('../../../lib/protocol/README.md', import.meta.url), 'utf8');
const id = (last: number): string => `0190a5b2-7c1e-7abc-8def-00000000000${last}`;
const nonce = (byte: number): string => Buffer.alloc(32, byte).toString('base64url');
const key = new SharedKey(Buffer.from('an example, never to be used: 0123456789'));
const hello: Hello = {
  type: 'hello',
  protocol: { min: 1, max: 1 },
  role: 'node',
  name: 'gpu',
  instance: id(1),
  storage: { id: id(2), durable: true },
};
const challenge: Challenge = { type: 'challenge', protocol: 1, name: 'web', instance: id(3), nonce: nonce(1) };
const exchange: Exchange = { hello, challenge, nonce: nonce(2), key: key.id, binding: Buffer.alloc(0) };
const bound: Exchange = { ...exchange, binding: Buffer.alloc(32, 3) };
const welcome: Welcome = { type: 'welcome', protocol: 1, name: 'web', instance: id(3), storage: id(4) };

describe('the vector of the specification', () => {
  it('has the key id and the four proofs that the code gives', () => {
    expect(page).toContain(`key id \`${key.id}\``);
    const row = (side: string): string[] => {
      const line = page.split('\n').find((one) => new RegExp(`^\\| ${side} +\\| \`[\\w-]{43}\` \\|`).test(one));
      return [...(line ?? '').matchAll(/`([\w-]{43})`/g)].map(([, mac]) => mac!);
    };
    expect(row('node')).toEqual([nodeMac(key, exchange), nodeMac(key, bound)]);
    expect(row('distributor')).toEqual([distributorMac(key, exchange, id(4)), distributorMac(key, bound, id(4))]);
  });
});

describe('a proof', () => {
  const auth: AuthSettings = { keys: [key] };

  it('is right for its own exchange, on both sides', () => {
    expect(isNodeMac(auth, exchange, nodeMac(key, exchange))).toBe(true);
    expect(isDistributorMac(key, exchange, { ...welcome, mac: distributorMac(key, exchange, id(4)) })).toBe(true);
  });

  const changes: [string, Partial<Exchange>][] = [
    ['lowest version', { hello: { ...hello, protocol: { min: 0, max: 1 } } }],
    ['highest version', { hello: { ...hello, protocol: { min: 1, max: 2 } } }],
    ['version chosen', { challenge: { ...challenge, protocol: 2 } }],
    ['name of the node', { hello: { ...hello, name: 'gpv' } }],
    ['instance of the node', { hello: { ...hello, instance: id(9) } }],
    ['storage of the node', { hello: { ...hello, storage: { id: id(9), durable: true } } }],
    ['durability of it', { hello: { ...hello, storage: { id: id(2), durable: false } } }],
    ['name of the distributor', { challenge: { ...challenge, name: 'wec' } }],
    ['instance of the distributor', { challenge: { ...challenge, instance: id(9) } }],
    ['nonce of the distributor', { challenge: { ...challenge, nonce: nonce(9) } }],
    ['nonce of the node', { nonce: nonce(9) }],
    ['TLS session', { binding: Buffer.alloc(32, 9) }],
    ['boundary between two names', { hello: { ...hello, name: 'gp' }, challenge: { ...challenge, name: 'uweb' } }],
  ];

  it.each(changes)('is void with another %s', (_what, change) => {
    const other = { ...exchange, ...change };
    expect(isNodeMac(auth, other, nodeMac(key, exchange))).toBe(false);
    expect(isDistributorMac(key, other, { ...welcome, mac: distributorMac(key, exchange, id(4)) })).toBe(false);
  });

  it('is void from the other side, with another storage, and where there is none', () => {
    expect(isNodeMac(auth, exchange, distributorMac(key, exchange, null))).toBe(false);
    expect(isDistributorMac(key, exchange, { ...welcome, storage: null, mac: nodeMac(key, exchange) })).toBe(false);
    expect(isDistributorMac(key, exchange, { ...welcome, mac: distributorMac(key, exchange, id(5)) })).toBe(false);
    expect(isDistributorMac(key, exchange, welcome)).toBe(false);
    expect(isNodeMac(auth, exchange, '')).toBe(false);
  });

  it('of a secret that is not accepted is void, whatever id it gives', () => {
    const other = new SharedKey(Buffer.from('another example of thirty-two bytes'));
    const theirs = { ...exchange, key: other.id };
    expect(isNodeMac(auth, theirs, nodeMac(other, theirs))).toBe(false);
    expect(isNodeMac(auth, theirs, nodeMac(key, theirs))).toBe(false);
    expect(isNodeMac(auth, exchange, nodeMac(other, exchange))).toBe(false);
    expect(isNodeMac({ keys: [other, key] }, exchange, nodeMac(key, exchange))).toBe(true);
  });

  it('stands on nonces that never come again', () => {
    const nonces = Array.from({ length: 1000 }, makeNonce);
    expect(new Set(nonces).size).toBe(1000);
    expect(nonces.every((one) => /^[\w-]{43}$/.test(one))).toBe(true);
  });
});

describe('a secret', () => {
  const secret = 'a secret of the tests, thirty-two bytes and more';

  it('shows itself nowhere', () => {
    const auth = readAuth({ secret }, 'node.auth');
    const shown = [inspect(auth, { depth: 9, showHidden: true }), JSON.stringify(auth), String(auth?.keys[0])].join();
    expect(shown).not.toContain('thirty');
    expect(shown).not.toContain(Buffer.from(secret).toString('hex', 0, 8));
  });

  it('is text or bytes, one or several, and the same as text and as bytes', () => {
    const ids = (value: unknown): string[] => readAuth({ secret: value }, 'node.auth')!.keys.map((one) => one.id);
    expect(ids(secret)).toEqual(ids(Buffer.from(secret)));
    expect(ids([secret, `${secret}!`])).toHaveLength(2);
    expect(readAuth(undefined, 'node.auth')).toBeNull();
  });

  it('given as a Buffer may be wiped afterwards', () => {
    const bytes = Buffer.from(secret);
    const auth = readAuth({ secret: bytes }, 'node.auth')!;
    bytes.fill(0);
    expect(auth.keys[0]!.mac(Buffer.alloc(1))).toEqual(new SharedKey(Buffer.from(secret)).mac(Buffer.alloc(1)));
  });

  it.each([
    [{ secret: 'too short, whoever made it up' }, 'node.auth.secret has 29 bytes; at least 32 are needed. `npx job'],
    [{ secret: [secret, Buffer.alloc(31, 1)] }, 'node.auth.secret[1] has 31 bytes'],
    [{ secret: 'x'.repeat(64) }, 'node.auth.secret repeats itself'],
    [{ secret: [secret, secret] }, 'node.auth.secret holds the same secret twice'],
    [{ secret: [] }, 'node.auth.secret must hold 1 to 16 secrets, not 0'],
    [{ secret: undefined }, '`node.auth.secret` is missing: `npx job-reactor secret`'],
    [{ secret: null }, 'node.auth.secret must be text or a Buffer, not null'],
    [{ secret: 42 }, 'node.auth.secret must be text or a Buffer, not number'],
    [{ secrets: secret }, 'There is no option `node.auth.secrets`: did you mean `node.auth.secret`?'],
    [secret, 'node.auth must be an object'],
    [null, 'node.auth must be an object'],
  ])('that can not be right is refused, and never repeated in the message', (value, message) => {
    let thrown: Error | undefined;
    try {
      readAuth(value, 'node.auth');
    } catch (error) {
      thrown = error as Error;
    }
    expect(thrown).toMatchObject({ code: 'INVALID_OPTIONS' });
    expect(thrown?.message).toContain(message);
    expect(thrown?.message).not.toMatch(/thirty|made it up/);
  });
});
