import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { Controller } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Payload } from '@nestjs/microservices';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Job, JobReactorModule } from '../../lib/index.js';
import { readOptions } from '../../lib/job-reactor.read-options.js';
import type { Hello } from '../../lib/protocol/handshake-messages.js';
import { keptLog, type Line } from '../support/log.js';
import { Facts, joined, reactors, type Application } from '../support/reactor.js';
import { tcpProxy } from '../support/tcp-proxy.js';
import { relay, scriptedDistributor } from '../support/wire.js';
import { dialTls, scriptedTlsDistributor, testAuthority, type TestAuthority } from '../support/wire-tls.js';

/*
 * TLS between real distributors and nodes, with certificates made for these tests; every refusal is over a real socket.
 */
const system = reactors();
const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

const DAY = 24 * 60 * 60 * 1000;
const SECRET = { secret: 'the secret of these tests, long enough to be one' };

@Controller()
class Adding {
  @Job('tls.add')
  add(@Payload() { a, b }: { a: number; b: number }): number {
    return a + b;
  }
}

/** What `tls` of a role takes, as far as these tests need it. */
interface Tls {
  cert?: string;
  key?: string;
  ca?: string;
  crl?: string;
  servername?: string;
}

let authority: TestAuthority;
let other: TestAuthority;
/** Mutual TLS, as most tests have it. */
let ofDistributor: Tls;
let ofNode: Tls;
beforeAll(async () => {
  [authority, other] = await Promise.all([testAuthority(), testAuthority()]);
  ofDistributor = { ...(await authority.distributor()), ca: authority.ca };
  ofNode = { ...(await authority.node('one')), ca: authority.ca };
});

const node = (to: { port: number }, tls: Tls | undefined, more: object = {}) =>
  system.node({ to, tls, controllers: [Adding], ...more });
const add = (app: Application): Promise<unknown> => app.client.run('tls.add', { a: 20, b: 3 });
const ofNodesLog = ({ text }: Line): boolean => /^Node '.*' (is not connected|can't reach)/.test(text);

interface Refused {
  code: string;
  message: string;
}
function refusals({ distributor }: Application): Facts<Refused> {
  const facts = new Facts<Refused>();
  distributor.on('node refused', facts.tell);
  return facts;
}

/** A node that will be refused: what both sides say of it. */
async function refusal(
  distributor: Tls,
  tls: Tls | undefined,
  more: object = {},
): Promise<{ distributor: Refused; node: string }> {
  const log = keptLog();
  const app = await system.application({ tls: distributor });
  const refused = refusals(app);
  await node({ port: app.port }, tls, { logger: log.logger, ...more });
  const [told, { text }] = await Promise.all([refused.next(), log.next(ofNodesLog, 'the line of the node')]);
  expect(app.distributor.nodes()).toEqual([]);
  return { distributor: told, node: text };
}

describe('mutual TLS', () => {
  it('lets in a node whose certificate the authority signed and speaks for its name', async () => {
    const app = await system.application({ tls: ofDistributor });
    await node(app, ofNode);
    expect(await add(app)).toBe(23);
    expect(app.distributor.refused()).toEqual({});
  });

  it('speaks TLS 1.3, and nobody on the way reads a word', async () => {
    const app = await system.application({ tls: ofDistributor });
    const proxy = await tcpProxy(app.port);
    const bytes: Buffer[] = [];
    proxy.tap((chunk) => bytes.push(chunk));
    const joining = joined(app, 'one');
    await node({ port: proxy.port }, ofNode);
    await joining;
    expect(await add(app)).toBe(23);
    await proxy.close();
    const seen = Buffer.concat(bytes).toString('latin1');
    expect(seen.length).toBeGreaterThan(1000);
    for (const word of ['tls.add', 'hello', 'instance', '"one"', 'protocol']) expect(seen).not.toContain(word);

    const side = await dialTls(app.port, ofNode);
    open.push(() => side.socket.destroy());
    expect((side.socket as unknown as { getProtocol(): string }).getProtocol()).toBe('TLSv1.3');
  });

  it.each<[string, string, () => object]>([
    ['as a DNS name, in any case', 'GPU-Box', () => ({ uris: [], hosts: ['gpu-box'] })],
    ['as one of several', 'gpu', () => ({ hosts: ['a', 'gpu', 'b'] })],
    ['as the common name of a certificate without other names', 'bild, "groß"', () => ({ uris: [] })],
    ['as a URI, whatever characters it has', 'bild, "groß" DNS:x', () => ({})],
  ])('finds the name of the node in its certificate %s', async (_how, name, request) => {
    const app = await system.application({ tls: ofDistributor });
    await node(app, { ...(await authority.node(name, request())), ca: authority.ca }, { name });
    expect(await add(app)).toBe(23);
  });

  it.each<[string, () => object]>([
    ['another name', () => ({ commonName: 'two', uris: ['job-reactor:node:two'] })],
    ['its name as common name only, where there are other names', () => ({ uris: ['job-reactor:node:two'] })],
    ['a wildcard', () => ({ commonName: 'x', uris: [], hosts: ['*', 'on*'] })],
    [
      'its name in a URI of another kind',
      () => ({ commonName: 'x', uris: ['spiffe://one', 'one', 'job-reactor:node:'] }),
    ],
    ['its name inside another one', () => ({ commonName: 'x', uris: ['job-reactor:node:one%2C%20two'] })],
  ])('refuses a node whose certificate has %s', async (_what, request) => {
    const tls = { ...(await authority.node('one', request())), ca: authority.ca };
    const told = await refusal(ofDistributor, tls);
    expect(told.distributor).toMatchObject({
      code: 'AUTHENTICATION',
      message: "node 'one' has a certificate that does not speak for this name",
    });
    expect(told.node).toContain('AUTHENTICATION: not authenticated');
  });

  it('refuses a node without a certificate', async () => {
    const told = await refusal(ofDistributor, { ca: authority.ca });
    expect(told.distributor).toMatchObject({ code: 'AUTHENTICATION' });
    expect(told.distributor.message).toContain('its certificate is refused');
    expect(told.node).toContain('AUTHENTICATION: not authenticated');
  });

  it('refuses a node with a certificate of another authority', async () => {
    const told = await refusal(ofDistributor, { ...(await other.node('one')), ca: authority.ca });
    expect(told.distributor.message).toMatch(/its certificate is refused: .*(ISSUER|VERIFY|SIGNATURE)/);
    expect(told.node).toContain('AUTHENTICATION: not authenticated');
  });

  it('refuses a node whose certificate has expired, or is not valid yet', async () => {
    const expired = await authority.node('one', { from: Date.now() - 3 * DAY, days: 1 });
    expect((await refusal(ofDistributor, { ...expired, ca: authority.ca })).distributor.message).toContain(
      'CERT_HAS_EXPIRED',
    );
    const early = await authority.node('one', { from: Date.now() + 3 * DAY, days: 1 });
    expect((await refusal(ofDistributor, { ...early, ca: authority.ca })).distributor.message).toContain(
      'CERT_NOT_YET_VALID',
    );
  });

  it('refuses a node whose certificate was revoked', async () => {
    const crl = await authority.authority.revoke([ofNode.cert!]);
    const told = await refusal({ ...ofDistributor, crl }, ofNode);
    expect(told.distributor.message).toContain('CERT_REVOKED');
    const app = await system.application({ tls: { ...ofDistributor, crl } });
    await node(app, { ...(await authority.node('two')), ca: authority.ca }, { name: 'two' });
    expect(await add(app)).toBe(23);
  });

  it("refuses a node that has a distributor's certificate", async () => {
    const stolen = await authority.distributor({ hosts: ['one'] });
    const told = await refusal(ofDistributor, { ...stolen, ca: authority.ca });
    expect(told.distributor.message).toContain('its certificate is refused: INVALID_PURPOSE');
  });

  it('together with a secret asks for both', async () => {
    const app = await system.application({ tls: ofDistributor, auth: SECRET });
    const refused = refusals(app);
    await node({ port: app.port }, ofNode, { auth: { secret: 'not the secret of these tests but another' } });
    expect(await refused.next()).toMatchObject({ code: 'AUTHENTICATION' });
    await node(app, ofNode, { auth: SECRET });
    expect(await add(app)).toBe(23);
  });

  it('asks nothing of a node of the same process', async () => {
    const { client } = await system.node({ controllers: [Adding], distributor: { tls: ofDistributor, auth: SECRET } });
    expect(await client.run('tls.add', { a: 1, b: 1 })).toBe(2);
  });
});

describe('a distributor that a node dials', () => {
  it.each<[string, () => Promise<Tls>, string]>([
    ['has a certificate of another authority', () => other.distributor(), 'TLS: '],
    [
      'has a certificate for another host',
      () => authority.distributor({ hosts: ['other.example'] }),
      "is not in the cert's list",
    ],
    [
      'has an expired certificate',
      () => authority.distributor({ from: Date.now() - 3 * DAY }),
      'certificate has expired',
    ],
    ["has a node's certificate", () => authority.node('web', { hosts: ['127.0.0.1'] }), 'TLS: '],
  ])('and that %s is left before a word is said', async (_what, certificate, message) => {
    const fake = await scriptedTlsDistributor({ ...(await certificate()), ca: authority.ca });
    open.push(fake.close);
    const log = keptLog();
    await node({ port: fake.port }, ofNode, { logger: log.logger });
    const { text } = await log.next(ofNodesLog, 'the line of the node');
    expect(text).toContain(message);
    expect(text).toContain('Is `node.tls` right');
    expect(fake.accepted.all.flatMap(({ heard }) => heard.all)).toEqual([]);
  });

  it('may have another name in its certificate, if the node is told which', async () => {
    const app = await system.application({
      tls: { ...(await authority.distributor({ hosts: ['jobs.example'] })), ca: authority.ca },
    });
    await node(app, { ...ofNode, servername: 'jobs.example' });
    expect(await add(app)).toBe(23);
  });

  it('and that speaks no TLS is left before a word is said', async () => {
    const fake = await scriptedDistributor();
    open.push(fake.close);
    const log = keptLog();
    await node({ port: fake.port }, ofNode, { logger: log.logger });
    const side = await fake.next();
    side.socket.end('ready?\r\n');
    expect((await log.next(ofNodesLog, 'the line of the node')).text).toContain('TLS: ');
  });
});

describe('TLS with a shared secret', () => {
  it('needs no certificates of nodes', async () => {
    const app = await system.application({ tls: await authority.distributor(), auth: SECRET });
    await node(app, { ca: authority.ca }, { auth: SECRET });
    expect(await add(app)).toBe(23);
  });

  it('binds each proof to its TLS session: whoever ends one and begins another is found out', async () => {
    const certificate = await authority.distributor();
    const app = await system.application({ tls: certificate, auth: SECRET });
    const refused = refusals(app);
    // It has a certificate that the node believes, and passes on every word.
    const middle = await scriptedTlsDistributor(await authority.distributor());
    open.push(middle.close);
    await node({ port: middle.port }, { ca: authority.ca }, { auth: SECRET });
    const ofItsNode = await middle.next();
    const ofApp = await dialTls(app.port);
    open.push(() => ofApp.socket.destroy());
    relay(ofItsNode, ofApp);
    // What the node said before the relay was there.
    for (const message of ofItsNode.heard.all) ofApp.send(message);
    expect(await refused.next(({ code }) => code === 'AUTHENTICATION')).toMatchObject({
      message: expect.stringContaining('it was made for another connection') as string,
    });
    expect(app.distributor.nodes()).toEqual([]);
  });

  it('passes on every word in the same way where the session is the same', async () => {
    const app = await system.application({ tls: await authority.distributor(), auth: SECRET });
    const proxy = await tcpProxy(app.port);
    const joining = joined(app, 'one');
    await node({ port: proxy.port }, { ca: authority.ca }, { auth: SECRET });
    await joining;
    expect(await add(app)).toBe(23);
    await proxy.close();
  });
});

describe('a port with TLS', () => {
  it.each<[string, (port: number) => Promise<unknown>, string]>([
    ['TLS 1.2', (port) => dialTls(port, { maxVersion: 'TLSv1.2' }), 'protocol'],
    ['another protocol over TLS', (port) => dialTls(port, { ALPNProtocols: ['http/1.1'] }), 'no application protocol'],
    [
      'plain HTTP',
      async (port) =>
        connect(port, '127.0.0.1')
          .on('error', () => {})
          .end('GET / HTTP/1.1\r\n\r\n'),
      'http request',
    ],
    ['our protocol without TLS', async (port) => void (await node({ port }, undefined)), ''],
  ])('turns away whoever speaks %s', async (_what, speak, message) => {
    const app = await system.application({ tls: ofDistributor });
    const refused = refusals(app);
    await speak(app.port);
    const told = await refused.next();
    expect(told.code).toBe('TLS');
    expect(told.message).toContain(message);
    await node(app, ofNode);
  });

  it('tells a node without TLS what may be missing', async () => {
    const log = keptLog();
    const app = await system.application({ tls: ofDistributor });
    await node({ port: app.port }, undefined, { logger: log.logger });
    expect((await log.next(ofNodesLog, 'the line of the node')).text).toContain('give `node.tls`');
  });

  it('lets go after 5 s whoever has not ended the handshake, wherever it stopped', async () => {
    const app = await system.application({ tls: ofDistributor });
    const refused = refusals(app);
    const began = performance.now();
    const gone = new Facts<string>();
    const silent = (what: string, bytes: Buffer[]): void => {
      const socket = connect(app.port, '127.0.0.1', () => bytes.forEach((part) => socket.write(part)));
      socket.on('error', () => {});
      socket.on('close', () => gone.tell(what));
      open.push(() => socket.destroy());
    };
    silent('nothing', []);
    silent('half a record', [Buffer.from('160301020001', 'hex')]);
    const inside = await dialTls(app.port, ofNode);
    inside.socket.on('close', () => gone.tell('inside'));
    open.push(() => inside.socket.destroy());
    await gone.count(3, 'three ends', 20_000);
    expect(performance.now() - began).toBeGreaterThan(4_900);
    expect((await refused.count(3)).map(({ code }) => code)).toEqual(Array(3).fill('HANDSHAKE_TIMEOUT'));
  });

  it('remembers nobody: a session is not resumed', async () => {
    const app = await system.application({ tls: ofDistributor });
    const tickets = new Facts<Buffer>();
    const first = await dialTls(app.port, ofNode);
    first.socket.on('session', tickets.tell);
    const hello: Hello = {
      type: 'hello',
      protocol: { min: 1, max: 1 },
      role: 'node',
      name: 'one',
      instance: randomUUID(),
      storage: { id: randomUUID(), durable: true },
    };
    first.send(hello);
    await first.next('welcome');
    first.socket.destroy();
    const session = tickets.all[0];
    const second = await dialTls(app.port, { ...ofNode, ...(session ? { session } : {}) });
    open.push(() => second.socket.destroy());
    expect((second.socket as unknown as { isSessionReused(): boolean }).isSessionReused()).toBe(false);
  });
});

describe('a port that other machines reach', () => {
  const start = (more: object): Promise<Application> => system.application({ host: '0.0.0.0', ...more });

  it.each<[string, () => Promise<object>]>([
    ['nothing', async () => ({})],
    ['a secret alone', async () => ({ auth: SECRET })],
    ['TLS alone', async () => ({ tls: await authority.distributor() })],
  ])('is not opened with %s', async (_what, options) => {
    const refused = await options();
    await expect(async () => start(refused)).rejects.toMatchObject({ code: 'INSECURE_BIND' });
  });

  it('is opened with mutual TLS, and with TLS and a secret, without a warning', async () => {
    const log = keptLog();
    await start({ tls: ofDistributor, logger: log.logger });
    await start({ tls: await authority.distributor(), auth: SECRET, logger: log.logger });
    expect(log.all.filter(({ level }) => level !== 'log')).toEqual([]);
  });

  it('is opened with anything where that is said to be meant, with a warning each time', async () => {
    const log = keptLog();
    await start({ allowInsecure: true, logger: log.logger });
    const { text } = await log.next(({ level }) => level === 'warn', 'the warning');
    expect(text).toContain(
      "Distributor 'web' speaks with other machines (0.0.0.0) without TLS, or without authentication",
    );
    expect(text).toContain('docs/security.md');
  });

  it('is dialled from elsewhere over TLS only, unless that is said to be meant, with a warning', async () => {
    const node = { name: 'one', storage: 'memory' as const, distributors: [{ host: 'jobs.invalid', port: 5000 }] };
    const read = (more: object) => readOptions({ node: { ...node, ...more } }).node?.insecure;
    expect(() => read({})).toThrow(expect.objectContaining({ code: 'INSECURE_LINK' }) as Error);
    expect(() => read({ auth: SECRET })).toThrow(expect.objectContaining({ code: 'INSECURE_LINK' }) as Error);
    expect(read({ tls: ofNode })).toBe(false);
    expect(read({ allowInsecure: true })).toBe(true);

    const log = keptLog();
    const own = await NestFactory.createMicroservice(
      { module: class Root {}, imports: [JobReactorModule.forRoot({ node: { ...node, allowInsecure: true } })] },
      { ...JobReactorModule.transport(), logger: log.logger },
    );
    await own.listen();
    await log.next(
      ({ text }) => text.startsWith("Node 'one' speaks with other machines (jobs.invalid)"),
      'the warning',
    );
    await own.close();
  });
});

describe('a certificate that can not be right', () => {
  it.each<[string, () => Promise<object>, string]>([
    [
      'with the key of another',
      async () => ({ cert: ofDistributor.cert, key: (await authority.distributor()).key }),
      "distributor.tls can't be used: key values mismatch",
    ],
    [
      'that is no certificate',
      async () => ({ ...ofDistributor, cert: ofDistributor.key }),
      "distributor.tls can't be used: ",
    ],
    ['without its key', async () => ({ cert: ofDistributor.cert }), '`cert` and `key` go together'],
    ['given as a path', async () => ({ ...ofDistributor, key: './key.pem' }), 'distributor.tls.key is no PEM text'],
    ['with no authorities', async () => ({ ...ofDistributor, ca: [] }), 'distributor.tls.ca is an empty list'],
    [
      'with a name to look for',
      async () => ({ ...ofDistributor, servername: 'x' }),
      'There is no option `distributor.tls.servername`',
    ],
  ])('%s is refused at start, and never repeated in the message', async (_what, tls, message) => {
    const given = (await tls()) as Tls;
    const refused = await Promise.resolve()
      .then(() => system.application({ tls: given }))
      .catch((error: Error) => error);
    expect(refused).toMatchObject({ code: 'INVALID_OPTIONS', message: expect.stringContaining(message) as string });
    const secret = ofDistributor.key!.split('\n')[1]!;
    expect((refused as Error).message).not.toContain(secret);
  });
});
