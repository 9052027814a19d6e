import { randomBytes, randomUUID } from 'node:crypto';
import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { afterEach, describe, expect, it } from 'vitest';
import { Job, type AuthOptions } from '../../lib/index.js';
import type { ErrorMessage } from '../../lib/protocol/connection-messages.js';
import type { Challenge, Hello } from '../../lib/protocol/handshake-messages.js';
import type { Message } from '../../lib/protocol/message.js';
import type { Side } from '../../lib/protocol/message-entry.js';
import { SharedKey } from '../../lib/transport/authentication.js';
import { distributorMac, makeNonce, nodeMac, type Exchange } from '../../lib/transport/proof.js';
import { within } from '../support/deadline.js';
import { keptLog, type Line } from '../support/log.js';
import { Facts, reactors, type Application } from '../support/reactor.js';
import { dial, meddler, scriptedDistributor, type ScriptedSide } from '../support/wire.js';

/*
 * Who may talk to whom. Every refusal is that of a real distributor or node over a real socket; the other side is either
 * another one of them or, where it has to misbehave, a script that speaks the protocol.
 */
const system = reactors();
const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

const SECRET = 'the secret of these tests, long enough to be one';
const OTHER = 'another secret of these tests, that is not the same';
const auth: AuthOptions = { secret: SECRET };
const key = new SharedKey(Buffer.from(SECRET));

@Controller()
class Adding {
  static readonly ran = new Facts<number>();

  @Job('secret.add')
  add(@Payload() { a, b }: { a: number; b: number }): number {
    Adding.ran.tell(a + b);
    return a + b;
  }
}

const add = (app: Application, a: number, b: number): Promise<unknown> => app.client.run('secret.add', { a, b });
const node = (to: { port: number }, more: object = {}) => system.node({ to, controllers: [Adding], auth, ...more });

/** What a distributor tells of those it refused. */
function refusals({ distributor }: Application): Facts<{ code: string; message: string; remote: string }> {
  const facts = new Facts<{ code: string; message: string; remote: string }>();
  distributor.on('node refused', facts.tell);
  return facts;
}

const hello = (fields: Partial<Hello> = {}): Hello => ({
  type: 'hello',
  protocol: { min: 1, max: 1 },
  role: 'node',
  name: 'one',
  instance: randomUUID(),
  storage: { id: randomUUID(), durable: true },
  ...fields,
});

/** A proof of the secret, for this hello and challenge. */
function prove(said: Hello, challenge: Challenge, by = key): { exchange: Exchange; proof: Message } {
  const exchange = { hello: said, challenge, nonce: makeNonce(), key: by.id, binding: Buffer.alloc(0) };
  return { exchange, proof: { type: 'proof', key: by.id, nonce: exchange.nonce, mac: nodeMac(by, exchange) } };
}

async function dialled(port: number): Promise<ScriptedSide> {
  const side = await dial(port);
  open.push(() => side.socket.destroy());
  return side;
}

/** Nest has one logger for all of a process: the lines of an application and a node come together. */
const ofNode = ({ text }: Line): boolean => text.startsWith("Node 'one' is not connected");

const errorOf = (heard: Message[]): ErrorMessage | undefined =>
  heard.find((message): message is ErrorMessage => message.type === 'error');

describe('a shared secret', () => {
  it('that both sides know lets a node in, and jobs and results travel', async () => {
    const app = await system.application({ auth });
    await node(app);
    expect(await add(app, 1, 2)).toBe(3);
    expect(app.distributor.refused()).toEqual({});
  });

  it('is exchanged while all run: first distributors accept the new one too, then nodes prove it, then the old one goes', async () => {
    const both = await system.application({ auth: { secret: [SECRET, OTHER] } });
    await node(both, { name: 'old' });
    await node(both, { name: 'new', auth: { secret: [OTHER, SECRET] } });
    expect(both.distributor.nodes().map(({ name }) => name)).toEqual(['old', 'new']);

    const after = await system.application({ auth: { secret: OTHER } });
    const refused = refusals(after);
    await node(after, { name: 'new', auth: { secret: [OTHER, SECRET] } });
    expect(await add(after, 2, 2)).toBe(4);
    await system.node({ controllers: [Adding], auth, to: { port: after.port } });
    expect(await refused.next()).toMatchObject({ code: 'AUTHENTICATION' });
  });

  it('may be bytes', async () => {
    const secret = randomBytes(32);
    const app = await system.application({ auth: { secret } });
    await node(app, { auth: { secret: new Uint8Array(secret) } });
    expect(await add(app, 3, 4)).toBe(7);
  });

  it('that the node has wrong keeps it out: nothing is said to it but that, the reason is in both logs', async () => {
    const log = keptLog();
    const app = await system.application({ auth, logger: log.logger });
    const refused = refusals(app);
    const { close } = await node({ port: app.port }, { auth: { secret: OTHER }, logger: log.logger });
    const { message } = await refused.next();
    expect(message).toBe(
      `node 'one' has a secret (${new SharedKey(Buffer.from(OTHER)).id}) that is none of ours (${key.id})`,
    );
    const line = await log.next(({ text }) => text.includes('was refused'), 'the line of the application');
    expect(line).toEqual({ level: 'warn', text: expect.stringContaining('AUTHENTICATION: node') as string });
    const { text } = await log.next(ofNode, 'the line of the node');
    expect(text).toContain("Node 'one' is not connected to its distributor at 127.0.0.1:");
    expect(text).toContain('(AUTHENTICATION: not authenticated). The log of the application says why.');
    expect(app.distributor.nodes()).toEqual([]);
    expect(app.distributor.refused()['AUTHENTICATION']).toBeGreaterThan(0);
    expect(log.all.map((one) => one.text).join()).not.toContain('of these tests');
    await close();
  });

  it('that the node lacks keeps it out, and the node says what is missing', async () => {
    const log = keptLog();
    const app = await system.application({ auth });
    const refused = refusals(app);
    await system.node({ to: { port: app.port }, controllers: [Adding], logger: log.logger });
    expect(await refused.next()).toMatchObject({ code: 'AUTHENTICATION' });
    const { text } = await log.next(ofNode, 'the line of the node');
    expect(text).toContain('it asks for a shared secret, and this node has none: set `node.auth`');
    expect(app.distributor.nodes()).toEqual([]);
  });

  it('that the distributor lacks keeps the node away: it does not say what it can do', async () => {
    const log = keptLog();
    const app = await system.application();
    const relay = await meddler(app.port, (message) => message);
    open.push(relay.close);
    await node({ port: relay.port }, { logger: log.logger });
    const { text } = await log.next(ofNode, 'the line of the node');
    expect(text).toContain('it welcomes nodes without asking for the shared secret: set `distributor.auth`');
    const fromNode = relay.said.all.filter(({ from }) => from === 'node').map(({ message }) => message.type);
    expect(new Set(fromNode)).toEqual(new Set(['hello', 'error']));
    expect(app.distributor.nodes()).toEqual([]);
  });

  it('is asked of no node of the same process: that one is let in without it', async () => {
    const log = keptLog();
    const { client, distributor } = await system.node({
      controllers: [Adding],
      distributor: { auth },
      logger: log.logger,
    });
    expect(await client.run('secret.add', { a: 5, b: 5 })).toBe(10);
    expect(distributor.nodes()).toMatchObject([{ remote: 'this process' }]);
  });

  it('is proven anew after a lost connection, with other nonces', async () => {
    const app = await system.application({ auth });
    const relay = await meddler(app.port, (message) => message);
    open.push(relay.close);
    const joined = new Facts<unknown>();
    app.distributor.on('node joined', joined.tell);
    await node({ port: relay.port });
    await joined.count(1);
    await relay.cut();
    await joined.count(2);
    const nonces = relay.said.all.flatMap(({ message }) => ('nonce' in message ? [message.nonce] : []));
    expect(nonces).toHaveLength(4);
    expect(new Set(nonces).size).toBe(4);
    expect(await add(app, 4, 4)).toBe(8);
  });
});

describe('a stranger at the port of a distributor with a secret', () => {
  it('that proves the secret by the letter of the specification is let in', async () => {
    const app = await system.application({ auth });
    const side = await dialled(app.port);
    const said = hello({ name: 'from another language' });
    side.send(said);
    const challenge = await side.next('challenge');
    expect(challenge).toMatchObject({ protocol: 1, name: 'web' });
    const { exchange, proof } = prove(said, challenge);
    side.send(proof);
    const welcome = await side.next('welcome');
    expect(welcome.mac).toBe(distributorMac(key, exchange, welcome.storage));
    const joining = new Facts<unknown>();
    app.distributor.on('node joined', (joined) => joining.tell(joined));
    side.send({ type: 'offer', jobs: ['a'], slots: 1, handoffTimeout: 1 });
    expect(await joining.next()).toMatchObject({ node: { name: 'from another language' }, jobs: ['a'] });
  });

  it('hears the same whatever is wrong: the secret, its id, or the proof', async () => {
    const app = await system.application({ auth });
    const refused = refusals(app);
    const other = new SharedKey(Buffer.from(OTHER));
    const attempts: ((said: Hello, challenge: Challenge) => Message)[] = [
      (said, challenge) => prove(said, challenge, other).proof,
      (said, challenge) => ({ ...prove(said, challenge).proof, key: other.id }) as Message,
      (said, challenge) => ({ ...prove(said, challenge).proof, mac: makeNonce() }) as Message,
      (said, challenge) => prove({ ...said, name: 'two' }, challenge).proof,
    ];
    for (const attempt of attempts) {
      const side = await dialled(app.port);
      const said = hello();
      side.send(said);
      side.send(attempt(said, await side.next('challenge')));
      const heard = await side.ended();
      expect(heard.map(({ type }) => type)).toEqual(['challenge', 'error']);
      expect(errorOf(heard)).toEqual({ type: 'error', code: 'AUTHENTICATION', message: 'not authenticated' });
    }
    await refused.count(attempts.length);
    expect(app.distributor.nodes()).toEqual([]);
  });

  it('that replays what a node said in another connection is refused', async () => {
    const app = await system.application({ auth });
    const relay = await meddler(app.port, (message) => message);
    open.push(relay.close);
    const joined = new Facts<unknown>();
    app.distributor.on('node joined', joined.tell);
    const { close } = await node({ port: relay.port });
    await joined.next();
    await close();
    const recorded = relay.said.all.filter(({ from }) => from === 'node').map(({ message }) => message);
    expect(recorded.slice(0, 2).map(({ type }) => type)).toEqual(['hello', 'proof']);

    const side = await dialled(app.port);
    side.send(recorded[0]!);
    await side.next('challenge');
    side.send(recorded[1]!);
    expect(errorOf(await side.ended())).toMatchObject({ code: 'AUTHENTICATION' });
  });

  it("that sends back the distributor's own proof is refused", async () => {
    const app = await system.application({ auth });
    const side = await dialled(app.port);
    const said = hello();
    side.send(said);
    const challenge = await side.next('challenge');
    const { exchange } = prove(said, challenge);
    const mac = distributorMac(key, exchange, null);
    side.send({ type: 'proof', key: key.id, nonce: exchange.nonce, mac });
    expect(errorOf(await side.ended())).toMatchObject({ code: 'AUTHENTICATION' });
  });

  it.each<[string, (said: Hello) => Message[]]>([
    ['an offer instead of a proof', () => [{ type: 'offer', jobs: [], slots: 1, handoffTimeout: 1 }]],
    ['a result instead of a proof', () => [{ type: 'result-ack', ids: [] }]],
    ['a credit instead of a proof', () => [{ type: 'credit', instant: 9, stored: 9 }]],
    ['its hello once more', (said) => [said]],
    ['a drain', () => [{ type: 'drain' }]],
  ])('that sends %s is cut off, and told so', async (_what, next) => {
    const app = await system.application({ auth });
    const refused = refusals(app);
    const side = await dialled(app.port);
    const said = hello();
    side.send(said);
    await side.next('challenge');
    for (const message of next(said)) side.send(message);
    expect(errorOf(await side.ended())).toMatchObject({ code: 'PROTOCOL' });
    expect(await refused.next()).toMatchObject({ code: 'PROTOCOL' });
    expect(app.distributor.refused()).toEqual({ PROTOCOL: 1 });
  });

  it.each<[string, Buffer, string]>([
    ['a frame one byte beyond 4 KiB', frame(1, 4097), 'TOO_LARGE'],
    ['a frame that says it has 4 GiB', frame(1, 0xff_ff_ff_ff), 'TOO_LARGE'],
    ['a frame that says it has 2 GiB', frame(1, 0x80_00_00_00), 'TOO_LARGE'],
    ['a frame too short to be one', frame(1, 5), 'PROTOCOL'],
    ['a frame of no length', frame(1, 0), 'PROTOCOL'],
    ['a message that does not exist', frame(99, 6), 'PROTOCOL'],
    ['parts longer than their frame', Buffer.concat([frame(6, 10), Buffer.from([255, 255, 255, 255])]), 'PROTOCOL'],
    ['a TLS handshake', Buffer.from('1603010200010001fc0303', 'hex'), 'TOO_LARGE'],
    ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\n\r\n'), 'TOO_LARGE'],
  ])('that sends %s is cut off before anything is kept of it', async (_what, bytes, code) => {
    const app = await system.application({ auth });
    const refused = refusals(app);
    const side = await dialled(app.port);
    side.sendBytes(bytes);
    expect(errorOf(await side.ended())).toMatchObject({ code });
    expect(await refused.next()).toMatchObject({ code });
  });

  it('that says nothing, or stops before its proof, is let go after 5 s, however lively it seems', async () => {
    const app = await system.application({ auth });
    const refused = refusals(app);
    const began = performance.now();
    const silent = await dialled(app.port);
    const halfway = await dialled(app.port);
    halfway.send(hello());
    await halfway.next('challenge');
    const pings = setInterval(() => halfway.send({ type: 'ping' }), 200);
    open.push(() => clearInterval(pings));
    for (const side of [silent, halfway]) {
      expect(errorOf(await side.ended(20_000))).toMatchObject({ code: 'HANDSHAKE_TIMEOUT' });
    }
    expect(performance.now() - began).toBeGreaterThan(4_900);
    expect(await refused.count(2)).toMatchObject([{ code: 'HANDSHAKE_TIMEOUT' }, { code: 'HANDSHAKE_TIMEOUT' }]);
  });

  it('can not write into the log what looks like a line of it', async () => {
    const log = keptLog();
    const app = await system.application({ auth, logger: log.logger });
    const refused = refusals(app);
    const forged = await dialled(app.port);
    forged.send(hello({ name: 'x\n[JobReactor] all is well' }));
    expect(errorOf(await forged.ended())).toMatchObject({ code: 'PROTOCOL' });
    const told = await dialled(app.port);
    told.send({ type: 'error', code: 'PROTOCOL', message: 'x\n[JobReactor] all is well' });
    await told.ended();
    await refused.count(2);
    expect(app.distributor.refused()).toEqual({ PROTOCOL: 2 });
    expect(log.all.filter(({ text }) => /\n|all is well/.test(text))).toEqual([]);
  });
});

describe('somebody between a node and its distributor', () => {
  /** Both know the secret; what passes is changed. */
  async function between(
    change: (message: Message, from: Side) => Message,
  ): Promise<{ app: Application; refused: ReturnType<typeof refusals>; log: ReturnType<typeof keptLog> }> {
    const app = await system.application({ auth });
    const refused = refusals(app);
    const relay = await meddler(app.port, change);
    open.push(relay.close);
    const log = keptLog();
    await node({ port: relay.port }, { logger: log.logger });
    return { app, refused, log };
  }

  it.each<[string, (said: Hello) => Hello]>([
    ['the versions a node speaks', (said) => ({ ...said, protocol: { min: 1, max: 9 } })],
    ['the name of a node', (said) => ({ ...said, name: 'other' })],
    ['the instance of a node', (said) => ({ ...said, instance: randomUUID() })],
    ['the storage of a node', (said) => ({ ...said, storage: { id: randomUUID(), durable: true } })],
    [
      'whether its storage is durable',
      (said) => ({ ...said, storage: { ...said.storage, durable: !said.storage.durable } }),
    ],
  ])('who changes %s is found out by the distributor', async (_what, change) => {
    const { app, refused } = await between((message) => (message.type === 'hello' ? change(message) : message));
    expect(await refused.next()).toMatchObject({ code: 'AUTHENTICATION' });
    expect(app.distributor.nodes()).toEqual([]);
  });

  it.each<[string, (message: Message) => Message]>([
    ['the nonce of the distributor', (m) => (m.type === 'challenge' ? { ...m, nonce: makeNonce() } : m)],
    ['the name of the distributor', (m) => (m.type === 'challenge' ? { ...m, name: 'other' } : m)],
    ['the version it chose', (m) => (m.type === 'challenge' ? { ...m, protocol: 2 } : m)],
    ['the nonce of the node', (m) => (m.type === 'proof' ? { ...m, nonce: makeNonce() } : m)],
  ])('who changes %s is found out by the distributor', async (_what, change) => {
    const { app, refused } = await between(change);
    expect(await refused.next()).toMatchObject({ code: 'AUTHENTICATION' });
    expect(app.distributor.nodes()).toEqual([]);
  });

  it.each<[string, (message: Message) => Message]>([
    ['the storage of the distributor', (m) => (m.type === 'welcome' ? { ...m, storage: randomUUID() } : m)],
    ['its instance', (m) => (m.type === 'welcome' ? { ...m, instance: randomUUID() } : m)],
    ['its name', (m) => (m.type === 'welcome' ? { ...m, name: 'other' } : m)],
    ['its proof', (m) => (m.type === 'welcome' ? { ...m, mac: makeNonce() } : m)],
    ['its proof into none', (m) => (m.type === 'welcome' ? { ...m, mac: undefined } : m)],
    ['the proof into the one of the node', reflecting()],
  ])('who changes %s in the welcome is found out by the node', async (_what, change) => {
    const { app, log } = await between(change);
    const { text } = await log.next(ofNode, 'the line of the node');
    expect(text).toContain('it did not prove that it knows the shared secret');
    expect(app.distributor.nodes()).toEqual([]);
  });
});

describe('a false distributor', () => {
  it('gets a hello and a proof, and not a word more', async () => {
    const fake = await scriptedDistributor();
    open.push(fake.close);
    await node({ port: fake.port });
    const side = await fake.next();
    const said = await side.next('hello');
    side.send({ type: 'challenge', protocol: 1, name: 'web', instance: randomUUID(), nonce: makeNonce() });
    const proof = await side.next('proof');
    side.send({ type: 'welcome', protocol: 1, name: 'web', instance: randomUUID(), storage: null, mac: proof.mac });
    const heard = await side.ended();
    expect(heard).toEqual([
      said,
      proof,
      { type: 'error', code: 'AUTHENTICATION', message: 'the handshake was broken off' },
    ]);
    expect(Buffer.concat(side.bytes).toString()).not.toContain('secret.add');
  });

  it('that sends a job at once, or no challenge, is left', async () => {
    const fake = await scriptedDistributor();
    open.push(fake.close);
    await node({ port: fake.port });
    const ran = Adding.ran.all.length;
    for (const first of [
      { type: 'welcome', protocol: 1, name: 'web', instance: randomUUID(), storage: null },
      { type: 'settled', ids: [] },
      { type: 'welcome', protocol: 7, name: 'web', instance: randomUUID(), storage: null },
    ] satisfies Message[]) {
      const side = await fake.next();
      await side.next('hello');
      side.send(first);
      expect((await side.ended()).map(({ type }) => type)).toEqual(['hello', 'error']);
    }
    expect(Adding.ran.all).toHaveLength(ran);
  });
});

describe('a storage that two claim', () => {
  it('stays with the node that has it, however many ask for it at once', async () => {
    const app = await system.application({ auth });
    const storage = { id: randomUUID(), durable: true };
    const join = async (): Promise<ScriptedSide> => {
      const side = await dialled(app.port);
      const said = hello({ storage });
      side.send(said);
      side.send(prove(said, await side.next('challenge')).proof);
      return side;
    };
    const incumbent = await join();
    await incumbent.next('welcome');
    incumbent.send({ type: 'offer', jobs: [], slots: 1, handoffTimeout: 1 });
    const others = await Promise.all([join(), join(), join()]);
    await incumbent.next('ping');
    // Those who wait for the answer may say what may be said at any time.
    for (const other of others) {
      other.send({ type: 'pong' });
      other.send({ type: 'ping' });
      await other.next('pong');
    }
    incumbent.send({ type: 'pong' });
    for (const other of others) expect(errorOf(await other.ended())).toMatchObject({ code: 'STORAGE_IN_USE' });
    incumbent.send({ type: 'ping' });
    await within(incumbent.next('pong'), 'an answer to the one that stays');
    expect(app.distributor.nodes()).toHaveLength(1);
  });
});

/** The beginning of a frame: what follows is as long as it says, or not. */
function frame(number: number, length: number): Buffer {
  const head = Buffer.alloc(10);
  head.writeUInt32BE(length);
  head[4] = number;
  return head;
}

/** Remembers the node's proof and puts it where the distributor's should be. */
function reflecting(): (message: Message) => Message {
  let mac = '';
  return (message) => {
    if (message.type === 'proof') mac = message.mac;
    return message.type === 'welcome' ? { ...message, mac } : message;
  };
}
