import { randomUUID } from 'node:crypto';
import { execFileSync, fork } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.js';
import { MemoryStorage } from '../../lib/storage/memory-storage.js';
import type { ErrorMessage } from '../../lib/protocol/connection-messages.js';
import type { Hello } from '../../lib/protocol/handshake-messages.js';
import type { Message } from '../../lib/protocol/message.js';
import { keptLog } from '../support/log.js';
import { eventually, Facts, reactors, type Application } from '../support/reactor.js';
import { dial, scriptedDistributor } from '../support/wire.js';
import { wrapped } from '../support/wrapped-storage.js';
import { hello } from '../unit/transport/tcp.js';

/*
 * A link that is dead without a word, in two network namespaces that a pair of virtual interfaces connects; versions
 * that do and do not go together; and how a link ends in good order.
 */
const system = reactors();
const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

const RUN = join(import.meta.dirname, '../support/run-ts.mjs');
const PROGRAM = join(import.meta.dirname, '../support/reactor-process.ts');

/** Why there are no namespaces here, or null. */
function noNamespaces(): string | null {
  if (process.platform !== 'linux') return 'network namespaces are there on Linux only';
  if (process.getuid?.() !== 0) return 'only root may make a network namespace';
  const name = `jr-try-${process.pid}`;
  try {
    ip('netns', 'add', name);
    ip('netns', 'del', name);
    return null;
  } catch (error) {
    return `ip netns: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`;
  }
}

function ip(...words: string[]): string {
  return execFileSync('ip', words, { stdio: ['ignore', 'pipe', 'pipe'] }).toString();
}

const why = noNamespaces();

describe.skipIf(why !== null)(`a link that is dead without a word${why === null ? '' : ` (skipped: ${why})`}`, () => {
  const space = `jr-${process.pid}`;
  const [near, far] = [`jr${process.pid}a`, `jr${process.pid}b`];
  const net = `10.${200 + (process.pid % 50)}.${process.pid % 250}`;
  beforeAll(() => {
    ip('netns', 'add', space);
    ip('link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', space);
    ip('addr', 'add', `${net}.1/24`, 'dev', near);
    ip('-n', space, 'addr', 'add', `${net}.2/24`, 'dev', far);
    ip('-n', space, 'link', 'set', 'lo', 'up');
  });
  afterAll(() => {
    ip('netns', 'del', space);
  });

  /** However it was cut. */
  function mend(): void {
    for (const here of [[], ['-n', space]]) {
      const routes = ip(...here, 'route', 'show', 'type', 'blackhole').split('\n');
      for (const route of routes.filter(Boolean)) ip(...here, 'route', 'del', ...route.trim().split(/\s+/).slice(0, 2));
    }
    ip('link', 'set', near, 'up');
    ip('-n', space, 'link', 'set', far, 'up');
  }

  /** An application here, and a node there. */
  async function pair(): Promise<{ app: Application; there: Facts<string>; lost: Facts<{ reason: string }> }> {
    mend();
    const app = await system.application({ host: `${net}.1`, allowInsecure: true });
    const lost = new Facts<{ reason: string }>();
    app.distributor.on('node lost', lost.tell);
    const distributors = [{ host: `${net}.1`, port: app.port }];
    const node = { name: 'there', storage: 'memory', allowInsecure: true, distributors };
    const child = fork(RUN, [PROGRAM, JSON.stringify({ node })], {
      execPath: 'ip',
      execArgv: ['netns', 'exec', space, process.execPath],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, REACTOR_LOG: '1' },
    });
    open.push(() => child.kill('SIGKILL'));
    const there = new Facts<string>();
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => String(chunk).split('\n').forEach(there.tell));
    await eventually('the node has joined', () => app.distributor.nodes().length === 1);
    return { app, there, lost };
  }

  it.each<[string, () => void]>([
    ['in both directions', () => ip('-n', space, 'link', 'set', far, 'down')],
    // It still hears the distributor, and is not heard.
    ['from the node on', () => ip('-n', space, 'route', 'replace', 'blackhole', `${net}.1/32`)],
    ['to the node on', () => ip('route', 'replace', 'blackhole', `${net}.2/32`)],
  ])('%s is noticed by both sides within 15 s, and made anew when it can be', async (_which, cut) => {
    const { app, there, lost } = await pair();
    const began = performance.now();
    cut();
    const [reason] = await Promise.all([
      lost.next(() => true, 'the distributor noticing', 20_000),
      there.next((line) => line.includes('lost distributor'), 'the node noticing', 20_000),
    ]);
    // A ping may have been under way when it was cut, so 15 s count from up to a moment after that.
    expect(performance.now() - began).toBeLessThan(16_000);
    expect(reason.reason).toMatch(/DEAD|Nothing was heard|A ping was not answered/);
    mend();
    await eventually('the node is back', () => app.distributor.nodes().length === 1, 60_000);
    const job = await app.client.enqueue('work', { do: 'return', result: 7 });
    expect(await job.result({ timeout: 30_000 })).toBe(7);
  });
});

describe('versions', () => {
  const said = (min: number, max: number): Hello => ({
    ...hello,
    name: 'of another version',
    instance: randomUUID(),
    storage: { id: randomUUID(), durable: true },
    protocol: { min, max },
  });
  const errorOf = (heard: Message[]): ErrorMessage | undefined =>
    heard.find((message): message is ErrorMessage => message.type === 'error');

  it.each([
    [1, 1],
    [1, 2],
    [1, 65535],
  ])('a node that speaks %i to %i is welcomed with the highest that both speak', async (min, max) => {
    const app = await system.application();
    const side = await dial(app.port);
    open.push(() => side.socket.destroy());
    side.send(said(min, max));
    expect(await side.next('welcome')).toMatchObject({ protocol: 1 });
  });

  it.each([
    [2, 2],
    [2, 3],
    [7, 65535],
    [3, 2],
  ])('a node that speaks %i to %i is told VERSION, and the log of the application says which', async (min, max) => {
    const log = keptLog();
    const app = await system.application({ logger: log.logger });
    const side = await dial(app.port);
    side.send(said(min, max));
    const why = `this distributor speaks protocol 1 to 1, node 'of another version' ${min} to ${max}`;
    expect(errorOf(await side.ended())).toMatchObject({ code: 'VERSION', message: why });
    const { text } = await log.next((line) => line.text.includes('was refused'), 'the line of the application');
    expect(text).toContain(`VERSION: ${why}`);
  });

  it.each<[string, Message]>([
    [
      'refuses it',
      { type: 'error', code: 'VERSION', message: "this distributor speaks protocol 2 to 3, node 'one' 1 to 1" },
    ],
    ['chooses another', { type: 'welcome', protocol: 2, name: 'web', instance: randomUUID(), storage: null }],
  ])(
    'a node whose distributor %s says which in its log, and does not dial again for a minute',
    async (_what, answer) => {
      const log = keptLog();
      const fake = await scriptedDistributor();
      open.push(fake.close);
      const accepted = new Facts<unknown>();
      await system.node({ to: { port: fake.port }, logger: log.logger });
      const side = await fake.next();
      await side.next('hello');
      side.send(answer);
      const { text } = await log.next((line) => line.text.includes('is not connected'), 'the line of the node');
      expect(text).toMatch(/protocol 2/);
      expect(text).toContain('Bring the application and the worker to versions of this package that go together.');
      // After any other refusal it would be back within half a second.
      void fake.next().then(accepted.tell, () => {});
      await new Promise((resolve) => setTimeout(resolve, 1500));
      expect(accepted.all).toEqual([]);
    },
  );
});

describe('a link that ends in good order', () => {
  it('is told: a node that stops drains and says goodbye, an application that stops says goodbye', async () => {
    const app = await system.application();
    const left = new Facts<unknown>();
    app.distributor.on('node left', left.tell);
    const side = await dial(app.port);
    side.send({ ...hello, instance: randomUUID(), storage: { id: randomUUID(), durable: true } });
    await side.next('welcome');
    side.send({ type: 'offer', jobs: ['work'], slots: 1, handoffTimeout: 1000 });
    side.send({ type: 'credit', instant: 5, stored: 5 });
    side.send({ type: 'drain' });
    await eventually('it has joined', () => app.distributor.nodes().length === 1);
    side.send({ type: 'ping' });
    await side.next('pong');
    await app.client.enqueue('work', {});
    side.send({ type: 'ping' });
    await side.next('pong');
    expect(side.heard.all.filter(({ type }) => type === 'job')).toEqual([]);
    side.send({ type: 'goodbye' });
    side.socket.end();
    await left.next();

    const fake = await scriptedDistributor();
    open.push(fake.close);
    const node = await system.node({ to: { port: fake.port } });
    const ofNode = await fake.next();
    await ofNode.next('hello');
    ofNode.send({ type: 'welcome', protocol: 1, name: 'web', instance: randomUUID(), storage: null });
    await ofNode.next('offer');
    await node.close();
    const words = (await ofNode.ended()).map(({ type }) => type).filter((type) => type !== 'credit');
    expect(words).toEqual(['hello', 'offer', 'drain', 'goodbye']);

    const other = await dial(app.port);
    other.send({ ...hello, instance: randomUUID(), storage: { id: randomUUID(), durable: true } });
    await other.next('welcome');
    other.send({ type: 'offer', jobs: [], slots: 1, handoffTimeout: 1000 });
    await eventually('it has joined', () => app.distributor.nodes().length === 1);
    await app.close();
    expect((await other.ended()).at(-1)).toEqual({ type: 'goodbye' });
  });

  it('is not told before the outbox is closed: whoever hears of it may take over what is in it', async () => {
    const storage = new MemoryStorage(systemClock);
    const closing = new Facts<void>();
    let close = (): void => undefined;
    const outbox = wrapped(storage, {
      close: async () => {
        const closed = new Promise<void>((resolve) => (close = resolve));
        closing.tell();
        await closed;
        await storage.close();
      },
    });
    const app = await system.application({ outbox: Object.assign(outbox, { durable: true }) });
    const side = await dial(app.port);
    side.send({ ...hello, instance: randomUUID(), storage: { id: randomUUID(), durable: true } });
    await side.next('welcome');
    side.send({ type: 'offer', jobs: [], slots: 1, handoffTimeout: 1000 });
    await eventually('it has joined', () => app.distributor.nodes().length === 1);
    const stopped = app.close();
    await closing.next();
    const heard = side.heard.all.length;
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate);
    expect(side.heard.all.slice(heard)).toEqual([]);
    expect(side.socket.readyState).toBe('open');
    close();
    await stopped;
    expect((await side.ended()).at(-1)).toEqual({ type: 'goodbye' });
  });
});
