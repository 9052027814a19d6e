import { randomBytes, randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import { OnSuccessFeedback, type Feedback } from '../../lib/index.js';
import type { JobOrigin, JobView } from '../../lib/job/job.js';
import type { JobMessage, Submit } from '../../lib/protocol/job-messages.js';
import type { Result } from '../../lib/protocol/result-messages.js';
import { keptLog } from '../support/log.js';
import { nodesByHand } from '../support/node-by-hand.js';
import { eventually, Facts, reactors } from '../support/reactor.js';
import type { ScriptedSide } from '../support/wire.js';
import { resultByHand } from '../support/result-by-hand.js';

/*
 * Which node may speak of which job, over real sockets: one of them was sent it, the other one was not and knows its id.
 */
const system = reactors();
const byHand = nodesByHand();

/** What the node says at the end of a job. */
const resultOf = (message: JobMessage, result: unknown, origin = message.job.origin): Result =>
  resultByHand(message, result, { origin, listeners: 'declared' });

const without = ({ distributor, instance, storage, submitter }: JobOrigin): JobOrigin => ({
  distributor,
  instance,
  storage,
  submitter,
});
/** Everything that was sent before has been heard. */
async function heardOut(side: ScriptedSide): Promise<void> {
  side.send({ type: 'ping' });
  await side.next('pong');
}

describe.each(['durable', 'memory'])('a node that never had a job of a %s node', (kind) => {
  it('can give no result of it, whatever it claims; the node that had it can', async () => {
    const log = keptLog();
    const app = await system.application({ logger: log.logger });
    const one = await byHand(app, 'one', ['work'], { durable: kind === 'durable' });
    const thief = await byHand(app, 'thief', []);
    const id = randomUUID();
    const handle = await app.client.enqueue('work', {}, { id });
    const result = handle.result({ timeout: 20_000 });
    const sent = await one.next('job');
    expect(sent.job.origin.mac).toMatch(/^[\w-]{22}$/);
    one.send({ type: 'stored', jobs: [[id, sent.assignment]] });
    await handle.stored();

    const { origin } = sent.job;
    for (const claimed of [
      without(origin),
      { ...origin, mac: randomBytes(16).toString('base64url') },
      { ...without(origin), instance: randomUUID() },
      { ...without(origin), storage: randomUUID(), instance: randomUUID() },
    ])
      thief.send(resultOf(sent, 'stolen', claimed));
    await heardOut(thief);
    expect(thief.heard.all.filter(({ type }) => type === 'result-ack')).toEqual([]);
    const lines = log.all.filter(({ text }) => text.includes('speaks of job'));
    expect(lines.map(({ text }) => text)).toEqual([expect.stringMatching(new RegExp(`^Node 'thief' .*${id}`))]);

    // The one it was sent to is known here and brings what it was given.
    one.send(resultOf(sent, 'true'));
    expect(await result).toBe('true');
    expect((await one.next('result-ack')).ids).toEqual([`${id}:1`]);
  });
});

describe('a node that never had a job', () => {
  it('can neither store nor refuse it, nor tell of its progress', async () => {
    const app = await system.application();
    const one = await byHand(app, 'one', ['work']);
    const thief = await byHand(app, 'thief', []);
    const handle = await app.client.enqueue('work', {});
    const seen: unknown[] = [];
    handle.progress$.subscribe({ next: (value) => seen.push(value), error: () => {} });
    const sent = await one.next('job');
    const { id } = handle;
    thief.send({ type: 'stored', jobs: [[id, sent.assignment]] });
    thief.send({ type: 'refuse', id, assignment: sent.assignment, code: 'FULL' });
    thief.send({ type: 'progress', id, value: '"stolen"' });
    await heardOut(thief);
    expect(app.distributor.backlog()).toMatchObject({ unconfirmed: 1, pending: 0 });
    expect(thief.heard.all.filter(({ type }) => type === 'settled')).toEqual([]);

    one.send({ type: 'stored', jobs: [[id, sent.assignment]] });
    expect((await one.next('settled')).ids).toEqual([id]);
    thief.send({ type: 'progress', id, value: '"stolen"' });
    await heardOut(thief);
    one.send({ type: 'progress', id, value: '"true"' });
    await eventually('the progress arrives', () => seen.length > 0);
    expect(seen).toEqual(['true']);
    expect(one.heard.all.filter(({ type }) => type === 'job')).toHaveLength(1);
  });

  it('is heard when it has taken the job over, with all that it brings: the row, and the MAC in it', async () => {
    const app = await system.application();
    const one = await byHand(app, 'one', ['work']);
    const heir = await byHand(app, 'heir', []);
    const handle = await app.client.enqueue('work', {});
    const sent = await one.next('job');
    heir.send({ type: 'stored', jobs: [[handle.id, sent.assignment, sent.job.origin.mac!]] });
    await handle.stored();
    heir.send(resultOf(sent, 'of the heir'));
    expect(await handle.result({ timeout: 20_000 })).toBe('of the heir');
  });

  it('gets no MAC by asking for a job to be run again', async () => {
    const app = await system.application();
    const one = await byHand(app, 'one', ['work']);
    const asking = await byHand(app, 'asking', []);
    const handle = await app.client.enqueue('work', {});
    const { job } = await one.next('job');
    asking.send({ type: 'query', request: 7, kind: 'retry', id: handle.id });
    const { request } = await one.next('query');
    const times = { enqueuedAt: 1, dueAt: 1, startedAt: 1, failedAt: 1, finishedAt: 1 };
    const where = { node: 'one', distributor: 'web', priority: 0, options: {}, run: 1, attempt: 1, lastError: null };
    const view: JobView = { id: job.id, name: job.name, status: 'failed', ...where, ...times };
    one.send({ type: 'answer', request, job: view, args: '{}', result: '' });
    const rest = { after: null, removed: 0, skipped: 0, missing: [] };
    one.send({ type: 'answered', request, retried: null, origin: null, ...rest });
    const again = await one.next('query');
    one.send({ type: 'answered', request: again.request, retried: 'queued', origin: job.origin, ...rest });
    const { origin, retried } = await asking.next('answered');
    expect({ origin, retried }).toEqual({ origin: without(job.origin), retried: 'queued' });
  });
});

describe('a result of an earlier process of the application', () => {
  const RESULT_SECRET = 'what all processes of an application know, and no node';
  const told = new Facts<string>();

  @Injectable()
  class Declared {
    @OnSuccessFeedback('work')
    done({ result }: Feedback): void {
      told.tell(String(result));
    }
  }

  it.each([
    ['with a `resultSecret` only from a node that had the job', RESULT_SECRET, ['true']],
    ['also after that secret was exchanged', [randomBytes(32), RESULT_SECRET], ['true']],
    ['without one from whoever brings it, as nobody can know', undefined, ['stolen', 'true']],
  ])('is heard %s', async (_, second, expected) => {
    const before = told.all.length;
    const common = { providers: [Declared], ...(second && { resultSecret: RESULT_SECRET }) };
    const first = await system.application(common);
    const one = await byHand(first, 'one', ['work']);
    const { id } = await first.client.enqueue('work', {});
    const sent = await one.next('job');
    one.send({ type: 'stored', jobs: [[id, sent.assignment]] });
    await first.close();

    const app = await system.application({ ...common, ...(second && { resultSecret: second }) });
    const thief = await byHand(app, 'thief', []);
    // Of other runs, so that the one does not count as a repeat of the other.
    const stolen = resultOf(sent, 'stolen', without(sent.job.origin));
    stolen.feedback.final = false;
    thief.send(stolen);
    await heardOut(thief);
    const again = await byHand(app, 'one', ['work']);
    again.send(resultOf(sent, 'true'));
    await again.next('result-ack');
    expect(told.all.slice(before)).toEqual(expected);
  });
});

it('a result that was sent on is acknowledged by the node it went to, and by nobody else', async () => {
  const app = await system.application();
  const one = await byHand(app, 'one', ['work']);
  const submitter = await byHand(app, 'submitter', []);
  const thief = await byHand(app, 'thief', []);
  const id = randomUUID();
  const job: Submit['job'] = {
    id,
    name: 'work',
    options: {},
    priority: 0,
    enqueuedAt: 1,
    runAt: 1,
    listeners: 'closures',
    givenId: true,
  };
  submitter.send({ type: 'submit', job, args: '{}' });
  const sent = await one.next('job');
  one.send({ type: 'stored', jobs: [[id, sent.assignment]] });
  one.send({ ...resultOf(sent, 'x'), feedback: { ...resultOf(sent, 'x').feedback, listeners: 'closures' } });
  const passedOn = await submitter.next('result');
  expect(passedOn.feedback.origin.mac).toBeUndefined();
  thief.send({ type: 'result-ack', ids: [`${id}:1`] });
  await heardOut(thief);
  await heardOut(one);
  expect(one.heard.all.filter(({ type }) => type === 'result-ack')).toEqual([]);
  submitter.send({ type: 'result-ack', ids: [`${id}:1`] });
  expect((await one.next('result-ack')).ids).toEqual([`${id}:1`]);
});
