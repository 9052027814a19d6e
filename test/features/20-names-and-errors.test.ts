import { randomUUID } from 'node:crypto';
import { Controller } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { afterEach, describe, expect, it } from 'vitest';
import { Job, JobContext, JobFailed, type Feedback } from '../../lib/index.js';
import { FrameEncoder } from '../../lib/protocol/frame-encoder.js';
import { DEFAULT_FRAME } from '../../lib/protocol/frame.js';
import type { Offer } from '../../lib/protocol/handshake-messages.js';
import type { Submit } from '../../lib/protocol/job-messages.js';
import type { Result } from '../../lib/protocol/result-messages.js';
import type { Message } from '../../lib/protocol/message.js';
import { Facts, reactors, type Application } from '../support/reactor.js';
import { dial, scriptedDistributor, type ScriptedSide } from '../support/wire.js';
import { hello, welcome } from '../unit/transport/tcp.js';

/*
 * What means something to JavaScript itself, as names and keys that come over a real socket; and errors, which stay data.
 */
const system = reactors();
const open: (() => void)[] = [];
afterEach(() => {
  for (const close of open.splice(0)) close();
});

const NAMES = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty'];
const isPolluted = (): boolean => 'polluted' in {} || 'polluted' in Object || 'polluted' in Function.prototype;

class OddError extends TypeError {
  readonly code = 'ODD';
  override readonly name = 'OddError';
}

@Controller()
class Odd {
  static readonly ran = new Facts<string>();

  @Job('__proto__')
  proto(): string {
    return 'of __proto__';
  }
  @Job('constructor')
  construct(): string {
    return 'of constructor';
  }
  @Job('echo')
  echo(@Payload() args: unknown, @Ctx() { job }: JobContext): unknown {
    Odd.ran.tell(job.id);
    return args;
  }
  @Job('fails')
  fails(): never {
    throw new OddError('as told');
  }
}

/** A node by hand, as far as the welcome. */
async function welcomed(app: Application): Promise<ScriptedSide> {
  const side = await dial(app.port);
  open.push(() => side.socket.destroy());
  side.send({ ...hello, instance: randomUUID(), storage: { id: randomUUID(), durable: true }, name: 'by hand' });
  await side.next('welcome');
  return side;
}

const offer = (more: Partial<Offer> = {}): Offer => ({ type: 'offer', jobs: [], slots: 1, handoffTimeout: 1, ...more });

const echo = (more: Partial<Submit['job']>): Submit['job'] => ({
  id: randomUUID(),
  name: 'echo',
  options: {},
  priority: 0,
  enqueuedAt: 1,
  runAt: 1,
  listeners: 'none',
  givenId: true,
  ...more,
});

/** The frame of a message with this text in the place of another. */
function changed(message: Message, sequence: number, from: string, to: string): Buffer {
  const encoder = new FrameEncoder(sequence);
  encoder.limit = DEFAULT_FRAME;
  encoder.add(message);
  const bytes = Buffer.concat(encoder.take());
  const at = bytes.indexOf(from);
  expect(at).toBeGreaterThan(0);
  const whole = Buffer.concat([bytes.subarray(0, at), Buffer.from(to), bytes.subarray(at + from.length)]);
  whole.writeUInt32BE(whole.length - 4, 0);
  return whole;
}

describe('as the name of a job', () => {
  it('they are names as any other: run where there is a handler, and wait where there is none', async () => {
    const app = await system.application();
    await system.node({ to: app, name: 'one', controllers: [Odd] });
    expect(await app.client.run('__proto__', {})).toBe('of __proto__');
    expect(await app.client.run('constructor', {})).toBe('of constructor');
    for (const name of ['toString', 'hasOwnProperty', 'prototype']) await app.client.enqueue(name, {});
    expect(app.distributor.backlog()).toMatchObject({ pending: 3 });
    expect(isPolluted()).toBe(false);
  });

  it('they are offered by a node and travel to it', async () => {
    const app = await system.application();
    const side = await welcomed(app);
    side.send(offer({ jobs: NAMES, labels: NAMES, accepts: NAMES }));
    side.send({ type: 'credit', instant: 10, stored: 10 });
    for (const name of NAMES) {
      await app.client.enqueue(name, { name });
      expect((await side.next('job')).job.name).toBe(name);
    }
  });
});

describe('as the name of a field', () => {
  it.each(['__proto__', 'constructor', 'prototype'])('%s ends the connection, at any depth', async (name) => {
    const app = await system.application();
    const submit: Message = {
      type: 'submit',
      job: echo({ options: { timeout: 77_777 } }),
      args: '{}',
    };
    for (const within of ['"timeout":77777', '"name":"echo"']) {
      const side = await welcomed(app);
      side.send(offer());
      side.sendBytes(changed(submit, 2, within, `${within},"${name}":{"polluted":true}`));
      expect((await side.ended()).at(-1)).toMatchObject({ type: 'error', code: 'PROTOCOL' });
    }
    expect(app.distributor.backlog().unconfirmed).toBe(0);
    expect(isPolluted()).toBe(false);
  });

  it('of args: `__proto__` fails the job and is no prototype of anything; `constructor` is a key', async () => {
    const app = await system.application();
    await system.node({ to: app, name: 'one', controllers: [Odd] });
    const side = await welcomed(app);
    side.send(offer());
    const submit = (args: string): Message => ({
      type: 'submit',
      job: echo({ options: { maxAttempts: 1 }, listeners: 'closures' }),
      args,
    });
    side.send(submit('{"__proto__":{"polluted":true}}'));
    const failed = await side.next('result');
    expect(failed.feedback).toMatchObject({
      status: 'failed',
      error: { message: expect.stringContaining('__proto__') },
    });
    side.send(submit('{"constructor":{"prototype":{"polluted":true}}}'));
    const done = await side.next('result');
    expect(done.feedback.status).toBe('succeeded');
    expect(JSON.parse(done.result)).toEqual({ constructor: { prototype: { polluted: true } } });
    expect(isPolluted()).toBe(false);
  });
});

it('a node that asks to be waited for longer than a week is refused', async () => {
  const app = await system.application();
  const side = await welcomed(app);
  side.sendBytes(changed(offer({ handoffTimeout: 604_800_000 }), 1, '604800000', '604800001'));
  expect((await side.ended()).at(-1)).toMatchObject({
    type: 'error',
    code: 'PROTOCOL',
    message: 'offer.handoffTimeout must be a whole number from 0 to 604800000.',
  });
});

describe('an error', () => {
  const isData = (error: unknown): void => {
    expect(error).not.toBeInstanceOf(Error);
    expect(Object.getPrototypeOf(error)).toBe(Object.prototype);
  };

  it('of a handler arrives as data, whatever class it had, in closures and as the cause of what result() throws', async () => {
    const app = await system.application();
    await system.node({ to: app, name: 'one', controllers: [Odd] });
    const told = new Facts<Feedback>();
    const job = await app.client.enqueue('fails', {}, { maxAttempts: 1, onError: told.tell });
    const thrown = await job.result({ timeout: 20_000 }).catch((error: unknown) => error);
    expect(thrown).toBeInstanceOf(JobFailed);
    expect(thrown).not.toBeInstanceOf(OddError);
    const { error } = await told.next();
    expect(error).toMatchObject({ name: 'OddError', message: 'as told', code: 'ODD' });
    isData(error);
  });

  it('that a node makes up is no more than its texts: no class of that name is made, nothing else comes along', async () => {
    const app = await system.application();
    const side = await welcomed(app);
    side.send(offer({ jobs: ['echo'] }));
    side.send({ type: 'credit', instant: 10, stored: 10 });
    for (const name of ['TypeError', 'JobFailed', 'AggregateError', '__proto__', 'constructor']) {
      const told = new Facts<Feedback>();
      await app.client.enqueue('echo', {}, { onError: told.tell });
      const { job, assignment } = await side.next('job');
      const info = { ...job, attempt: 1, run: 1, node: 'x', distributor: 'web', startedAt: 1, failedAt: 1 };
      const error = { name, message: 'made up', code: 'X', stack: 'at /etc/passwd', cause: { name: 'Error' } };
      const result: Result = {
        type: 'result',
        feedback: {
          id: `${job.id}:1`,
          jobId: job.id,
          name: job.name,
          origin: job.origin,
          assignment,
          error,
          listeners: 'closures',
          status: 'failed',
          final: true,
          side: 'error',
          job: { ...info, lastError: error, period: null },
        },
        args: '{}',
        result: '',
      };
      side.send(result);
      const { error: heard } = await told.next();
      isData(heard);
      expect(heard).toEqual({ name, message: 'made up', code: 'X', stack: 'at /etc/passwd' });
    }
    expect(isPolluted()).toBe(false);
  });

  it('that a distributor makes up for an enqueue of a node is no more than its texts either', async () => {
    const listening = await scriptedDistributor();
    open.push(() => listening.close());
    const node = await system.node({ to: { port: listening.port }, name: 'one', controllers: [Odd] });
    const side = await listening.next();
    await side.next('hello');
    side.send({ ...welcome, instance: randomUUID() });
    await side.next('offer');
    const refused = node.client.enqueue('echo', {}).catch((error: unknown) => error);
    const { job } = await side.next('submit');
    side.send({ type: 'accepted', id: job.id, error: { code: 'constructor', message: 'made up' } });
    expect(await refused).toMatchObject({ name: 'JobRejected', code: 'JOB_REJECTED', message: 'constructor: made up' });
  });
});
