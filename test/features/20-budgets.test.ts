import { randomUUID } from 'node:crypto';
import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.js';
import { Job, type Feedback } from '../../lib/index.js';
import type { Credit, JobMessage } from '../../lib/protocol/job-messages.js';
import type { Result } from '../../lib/protocol/result-messages.js';
import type { Message } from '../../lib/protocol/message.js';
import { MemoryStorage } from '../../lib/storage/memory-storage.js';
import { signal } from '../support/deadline.js';
import { eventually, Facts, reactors, type Application } from '../support/reactor.js';
import { bytesOf, Ear, jobMessage, readAll, Wires } from '../unit/transport/tcp.js';
import { nodesByHand } from '../support/node-by-hand.js';
import { dial, scriptedDistributor, type ScriptedSide } from '../support/wire.js';
import { wrapped } from '../support/wrapped-storage.js';
import { resultByHand } from '../support/result-by-hand.js';

/*
 * What anybody can make a distributor or a node hold, over real sockets: connections, bytes, jobs on their way.
 */
const system = reactors();
const wires = new Wires();
const open: (() => void)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) close();
  await wires.closeAll();
});

const MB = 1024 * 1024;

@Controller()
class Measuring {
  static readonly ran = new Facts<number>();

  @Job('budget.measure')
  measure(@Payload() { text }: { text: string }): number {
    Measuring.ran.tell(text.length);
    return text.length;
  }
}

const node = (to: Application, name: string) => system.node({ to, name, controllers: [Measuring] });

const nodeByHand = nodesByHand();
/** A node by hand that takes jobs named `budget.measure`. */
const byHand = (app: Application, credit: Omit<Credit, 'type'>): Promise<ScriptedSide> =>
  nodeByHand(app, 'by hand', ['budget.measure'], { credit });

/** What the node has said so far has been heard: it answers a question behind all that. */
const heardOfAll = (app: Application): Promise<unknown> => app.client.find(randomUUID());

/** What the node says at the end of a job. */
const resultOf = (message: JobMessage, result: string): Result =>
  resultByHand(message, result, { listeners: 'closures' });

const jobsOf = ({ heard }: ScriptedSide): Message[] => heard.all.filter(({ type }) => type === 'job');

describe('connections', () => {
  it('are as many as maxNodes, and as maxNodesPerAddress from one address; the next is told, and comes in when one goes', async () => {
    for (const limit of [{ maxNodes: 2 }, { maxNodesPerAddress: 2 }]) {
      const app = await system.application(limit);
      const refused = new Facts<{ code: string; message: string }>();
      app.distributor.on('node refused', refused.tell);
      await node(app, 'first');
      const second = await node(app, 'second');
      const third = await dial(app.port);
      const [error] = await third.ended();
      const [option] = Object.keys(limit);
      expect(error).toMatchObject({
        type: 'error',
        code: 'TOO_MANY',
        message: expect.stringContaining(`distributor.${option}`),
      });
      expect(await refused.next()).toMatchObject({ code: 'TOO_MANY' });
      await second.close();
      await node(app, 'third');
      expect(app.distributor.nodes().map(({ name }) => name)).toEqual(['first', 'third']);
    }
  });

  it('that have proven nothing take no place of a node', async () => {
    const app = await system.application({ maxNodes: 1 });
    for (let i = 0; i < 20; i++) open.push((await dial(app.port)).socket.destroy);
    await node(app, 'first');
    expect(app.distributor.nodes()).toHaveLength(1);
    open.length = 0;
  });
});

describe('bytes', () => {
  it('of frames that do not end are bounded over all connections: the one with most of them goes', async () => {
    const { listening, next } = await wires.listen(wires.transport({ held: 3 * MB }));
    const begun = async (bytes: number): Promise<{ ear: Ear; told: Promise<Message[]> }> => {
      const socket = await wires.dial(listening.port);
      const told = readAll(socket, 'distributor');
      const ear = new Ear(await next());
      ear.connection.established();
      const whole = bytesOf(jobMessage('x'.repeat(1_900_000)));
      // A node must not send this; it is the length that counts, before anything is looked at.
      socket.write(whole.subarray(0, bytes));
      return { ear, told };
    };
    const small = await begun(100_000);
    const [first, second] = [await begun(1_800_000), await begun(1_800_000)];
    const ended = await Promise.race([first.ear.closed, second.ear.closed]);
    expect(ended.cause?.message).toMatch(/^SLOW: It holds \d+ of the 3145728 bytes/);
    expect([first, second].filter(({ ear }) => ear.connection.closed)).toHaveLength(1);
    expect(small.ear.connection.closed).toBe(false);
  });

  it('that wait to be taken are bounded over all connections: the slowest goes, the others get everything', async () => {
    const transport = wires.transport({ held: 6 * MB });
    const { listening, next } = await wires.listen(transport);
    const connect = async (): Promise<{ near: Ear | null; far: Awaited<ReturnType<typeof next>> }> => {
      const near = await transport.connect({ host: '127.0.0.1', port: listening.port });
      near.established();
      const far = await next();
      far.established();
      return { near: new Ear(near), far };
    };
    const socket = await wires.dial(listening.port); // Never reads.
    const deaf = await next();
    const closed = new Ear(deaf).closed;
    deaf.established();
    const good = await connect();
    let sent = 0;
    for (; sent < 200 && !deaf.closed; sent++) {
      deaf.send(jobMessage('x'.repeat(100_000)));
      good.far.send(jobMessage('y'.repeat(1000)));
      await new Promise(setImmediate);
    }
    expect((await closed).cause?.message).toMatch(/^SLOW: /);
    expect(good.far.closed).toBe(false);
    good.far.send(jobMessage('the end'));
    expect((await good.near!.heard(sent + 1)).at(-1)).toMatchObject({ args: 'the end' });
    socket.destroy();
  });
});

describe('credit in bytes', () => {
  const text = 'x'.repeat(200_000);

  it('is what a distributor keeps to: jobs go while less was sent, and go on when more is granted', async () => {
    const app = await system.application();
    const side = await byHand(app, { instant: 1000, stored: 1000, bytes: 500_000 });
    for (let i = 0; i < 10; i++) await app.client.enqueue('budget.measure', { text });
    await eventually('three have come', () => jobsOf(side).length === 3);
    side.send({ type: 'ping' });
    await side.next('pong');
    expect(jobsOf(side)).toHaveLength(3);
    // One that says nothing of bytes changes nothing of them.
    side.send({ type: 'credit', instant: 2000, stored: 2000 });
    side.send({ type: 'ping' });
    await side.next('pong');
    expect(jobsOf(side)).toHaveLength(3);
    side.send({ type: 'credit', instant: 2000, stored: 2000, bytes: 1_000_001 });
    await eventually('five have come', () => jobsOf(side).length === 5);
    side.send({ type: 'credit', instant: 2000, stored: 2000, bytes: 10_000_000 });
    await eventually('all have come', () => jobsOf(side).length === 10);
  });

  it('that was never said is none: a node without it gets as many as it has slots for', async () => {
    const app = await system.application();
    const side = await byHand(app, { instant: 1000, stored: 1000 });
    for (let i = 0; i < 10; i++) await app.client.enqueue('budget.measure', { text });
    await eventually('all have come', () => jobsOf(side).length === 10);
  });

  it('of a node is 16 MiB on their way into its storage, and comes back when they are committed', async () => {
    const gate = signal();
    const memory = new MemoryStorage(systemClock);
    const storage = wrapped(memory, {
      commit: async (batch) => {
        await gate.promise;
        return memory.commit(batch);
      },
    });
    const fake = await scriptedDistributor();
    open.push(fake.close);
    await system.node({ to: { port: fake.port }, controllers: [Measuring], storage, prefetch: 1000 });
    const side = await fake.next();
    await side.next('hello');
    side.send({ type: 'welcome', protocol: 1, name: 'web', instance: randomUUID(), storage: null });
    const first = await side.next('credit');
    expect(first.bytes).toBe(16 * MB);
    const args = JSON.stringify({ text: 'y'.repeat(800_000) });
    const send = (): void => {
      const message = jobMessage(args);
      side.send({ ...message, job: { ...message.job, id: randomUUID(), name: 'budget.measure' } });
    };
    for (let i = 0; i < 20; i++) send();
    side.send({ type: 'ping' });
    await side.next('pong');
    const granted = (): number[] =>
      side.heard.all.flatMap((message) => (message.type === 'credit' && message.bytes ? [message.bytes] : []));
    expect(Math.max(...granted())).toBe(16 * MB);
    gate.resolve();
    await side.heard.next((message) => message.type === 'credit' && (message.bytes ?? 0) > 16 * MB, 'more credit');
    await Measuring.ran.count(20);
    expect(Math.max(...granted())).toBeLessThanOrEqual(20 * args.length + 16 * MB);
  });
});

describe('results', () => {
  const text = 'r'.repeat(200_000);

  @Controller()
  class Telling {
    static readonly ran = new Facts<number>();

    @Job('budget.tell')
    tell(@Payload() { n, size = text.length }: { n: number; size?: number }): string {
      Telling.ran.tell(n);
      return 'r'.repeat(size);
    }
  }

  it('that wait for slow code of the application are 8 MiB of one node: it keeps the others, and nothing is lost', async () => {
    const app = await system.application();
    await system.node({ to: app, name: 'one', controllers: [Telling], concurrency: 8 });
    const gate = signal();
    const told = new Facts<number>();
    let begun = 0;
    const onSuccess = async ({ args }: Feedback): Promise<void> => {
      begun++;
      await gate.promise;
      told.tell((args as { n: number }).n);
    };
    const before = Telling.ran.all.length;
    for (let n = 0; n < 150; n++) await app.client.enqueue('budget.tell', { n }, { onSuccess });
    await Telling.ran.count(before + 150);
    // As many as fit, and the one that does not; the rest waits with the node.
    const fits = Math.ceil((8 * MB) / text.length);
    await eventually('as many as fit have come', () => begun >= fits - 1);
    await heardOfAll(app);
    expect(begun).toBeLessThanOrEqual(fits + 1);
    gate.resolve();
    await told.count(150);
    expect(told.all.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 150 }, (_, n) => n));
  });

  it('that come without credit end the connection', async () => {
    const app = await system.application();
    const side = await byHand(app, { instant: 20, stored: 20 });
    const gate = signal();
    open.push(() => gate.resolve());
    const onSuccess = (): Promise<void> => gate.promise;
    for (let n = 0; n < 12; n++) await app.client.enqueue('budget.measure', { n }, { onSuccess });
    // 8 MiB may wait for the application's code: with the eleventh they are reached, and the twelfth is one too many.
    for (let n = 0; n < 12; n++) side.send(resultOf(await side.next('job'), 'r'.repeat(800_000)));
    expect((await side.ended()).at(-1)).toEqual({
      type: 'error',
      code: 'PROTOCOL',
      message: 'result came without credit',
    });
  });

  it('that nobody acknowledges stop a node in memory at 64 MiB: no job starts, until some are', async () => {
    const listening = await scriptedDistributor();
    open.push(() => listening.close());
    await system.node({ to: { port: listening.port }, controllers: [Telling], concurrency: 1, prefetch: 200 });
    const side = await listening.next();
    await side.next('hello');
    const instance = randomUUID();
    side.send({ type: 'welcome', protocol: 1, name: 'by hand', instance, storage: null });
    await side.heard.next((message) => message.type === 'credit' && message.instant >= 150, 'credit');
    const before = Telling.ran.all.length;
    for (let n = 0; n < 150; n++) {
      const { job, ...rest } = jobMessage(JSON.stringify({ n, size: 800_000 }));
      const origin = { ...job.origin, distributor: 'by hand', instance };
      side.send({ ...rest, job: { ...job, id: randomUUID(), name: 'budget.tell', origin, listeners: 'closures' } });
    }
    const counted = 800_002 + JSON.stringify({ n: 10, size: 800_000 }).length;
    const full = Math.ceil((64 * MB) / counted);
    await Telling.ran.count(before + full);
    side.send({ type: 'ping' });
    await side.next('pong');
    // The next one begins while the last one is being written down.
    expect(Telling.ran.all.length - before).toBeLessThanOrEqual(full + 2);
    // Not one result more than it had credit for.
    const results = side.heard.all.flatMap((message) => (message.type === 'result' ? [message.feedback.id] : []));
    expect(results).toHaveLength(2);
    side.send({ type: 'result-ack', ids: results });
    await Telling.ran.count(before + full + 2, 'jobs start again');
    side.send({ type: 'result-credit', bytes: 1024 * MB });
    for (let acked = 2; acked < 150; acked++) {
      const { feedback } = (await side.heard.next(
        (message) => message.type === 'result' && !results.includes(message.feedback.id),
        'a result',
      )) as Result;
      results.push(feedback.id);
      side.send({ type: 'result-ack', ids: [feedback.id] });
    }
    expect(new Set(results).size).toBe(150);
  });
});

describe('a slow consumer', () => {
  it('that stops reading is sent no more jobs than fit the high water, and others get theirs', async () => {
    const app = await system.application();
    const slow = await byHand(app, { instant: 100_000, stored: 100_000 });
    slow.socket.pause();
    // It seems alive: it goes on talking, and does not listen.
    const pings = setInterval(() => slow.send({ type: 'ping' }), 500);
    open.push(() => clearInterval(pings));
    const before = process.memoryUsage().rss;
    const text = 'z'.repeat(100_000);
    const enqueue = (options: object = {}): Promise<unknown> => app.client.enqueue('budget.measure', { text }, options);
    for (let i = 0; i < 300; i++) await enqueue();
    const { pending } = app.distributor.backlog();
    expect(pending).toBeGreaterThan(200);
    const ran = Measuring.ran.all.length;
    await node(app, 'quick');
    await eventually('nothing waits', () => app.distributor.backlog().pending === 0);
    // Not always all that waited: when the system's buffers grow and take what was queued, the slow one has room again, and
    // by its credit it is the freest. What it has is on its way, and counts; each of the others runs elsewhere.
    const sent = app.distributor.backlog().unconfirmed;
    await Measuring.ran.count(ran + 300 - sent, 'the others run elsewhere');
    // The high water, and the largest buffers a system has by itself, 4 MiB here and 6 MiB there.
    expect(sent * text.length).toBeLessThan(12 * MB);
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * MB);
    expect(app.distributor.nodes()).toHaveLength(2);
  });
});
