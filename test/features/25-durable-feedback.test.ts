import { Injectable } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import {
  defineJob,
  Job,
  OnErrorFeedback,
  OnSuccessFeedback,
  UnrecoverableError,
  type DatabaseOptions,
  type Feedback,
  type ParkedFeedback,
  type ParkedFeedbacks,
} from '../../lib/index.js';
import { databaseKinds } from '../support/databases.js';
import { freePort } from '../support/free-port.js';
import { eventually, Facts, joined, reactors, type ReactorProcess } from '../support/reactor.js';
import type { Heed } from '../support/reactor-process.js';
import { tcpProxy } from '../support/tcp-proxy.js';

const system = reactors();

/** An application that may be killed and come back: on the same port, with the same outbox. */
async function place(kind: (typeof databaseKinds)[number]) {
  const [port, outbox, storage] = [await freePort(), await system.database(kind), await system.database(kind)];
  return {
    application: (heed: Heed): Promise<ReactorProcess> =>
      system.process({ distributor: { name: 'web', port, outbox } }, [], heed),
    node: (maxDeliveries = 20): Promise<ReactorProcess> =>
      system.process({
        node: { name: 'one', storage, distributors: [{ host: '127.0.0.1', port }] },
        jobs: { maxDeliveries },
      }),
  };
}

const parkedAt = async (application: ReactorProcess): Promise<ParkedFeedback[]> =>
  ((await application.ask('parked')) as ParkedFeedbacks).feedbacks;

describe.each(databaseKinds)('a feedback whose method throws, kept in %s', (kind) => {
  it('comes again by the same id after 1 s and 2 s, is parked after maxDeliveries, and comes once more when asked for', async () => {
    const { application, node } = await place(kind);
    const web = await application('throw');
    await node(3);
    const id = await web.enqueue('work', { result: 7 });
    const calls = [await web.hears(), await web.hears(), await web.hears()];
    expect(new Set(calls.map((call) => call.id))).toEqual(new Set([`${id}:1`]));
    expect(calls[1]!.at - calls[0]!.at).toBeGreaterThanOrEqual(1_000);
    expect(calls[2]!.at - calls[1]!.at).toBeGreaterThanOrEqual(2_000);

    await eventually('it is parked', async () => (await parkedAt(web)).length === 1);
    const [parked] = await parkedAt(web);
    expect(parked).toMatchObject({ id: `${id}:1`, status: 'succeeded', error: null, failures: 3, node: 'one' });
    expect(parked!.lastError).toMatchObject({ name: 'Error', message: 'told to throw' });
    expect(parked!.job).toMatchObject({ id, name: 'work', distributor: 'web', run: 1 });
    // Others are not held up by it.
    web.heed('return');
    const other = await web.enqueue('work', { result: 8 });
    expect(await web.hears()).toMatchObject({ id: `${other}:1`, result: 8 });
    expect(web.heard).toHaveLength(4);

    expect(await web.ask('redeliver', id)).toEqual({ redelivered: 1, missing: [] });
    expect(await web.hears()).toMatchObject({ id: `${id}:1`, result: 7 });
    await eventually('it is delivered', async () => (await parkedAt(web)).length === 0);
    expect(web.heard).toHaveLength(5);
  });

  it('outlives kill -9 of the node, of the application and of both: its failures are still counted', async () => {
    const { application, node } = await place(kind);
    let web = await application('throw');
    let one = await node(4);
    const id = await web.enqueue('work', { result: 7 });
    await web.hears();
    await one.kill('SIGKILL');
    one = await node(4);
    await web.hears();
    await web.kill('SIGKILL');
    web = await application('throw');
    expect(await web.hears()).toMatchObject({ id: `${id}:1`, result: 7 });
    await Promise.all([web.kill('SIGKILL'), one.kill('SIGKILL')]);
    web = await application('throw');
    one = await node(4);
    await web.hears();
    await eventually('it is parked', async () => (await parkedAt(web)).length === 1);
    expect(await parkedAt(web)).toMatchObject([{ id: `${id}:1`, failures: 4 }]);
    // So is what is parked.
    await one.kill('SIGKILL');
    one = await node(4);
    web.heed('return');
    await eventually(
      'it is delivered',
      async () => ((await web.ask('redeliver', `${id}:1`)) as { redelivered: number }).redelivered === 1,
    );
    expect(await web.hears()).toMatchObject({ id: `${id}:1`, result: 7 });
  });

  it('an application that is away when the job ends is told when it is back, also by a node that was restarted meanwhile', async () => {
    const { application, node } = await place(kind);
    let web = await application('return');
    let one = await node();
    const id = await web.enqueue('work', { do: 'wait' });
    await one.started();
    await web.kill('SIGKILL');
    one.finish(id, 'at last');
    await one.kill('SIGTERM'); // ends once the end of the job is committed
    one = await node();
    web = await application('return');
    expect(await web.hears()).toMatchObject({ id: `${id}:1`, status: 'succeeded', result: 'at last' });
    const other = await web.enqueue('work', {});
    expect(await web.hears()).toMatchObject({ id: `${other}:1` });
    expect(web.heard).toHaveLength(2);
    expect(one.starts.map((start) => start.id)).toEqual([other]);
  });
});

it('an instance that never comes back: another of the same application is told, once', async () => {
  const storage = await system.database('SQLite');
  const options = { distributor: { name: 'web', port: 0 } };
  const [first, second] = await Promise.all([
    system.process(options, [], 'return'),
    system.process(options, [], 'return'),
  ]);
  const distributors = [first, second].map(({ port }) => ({ host: '127.0.0.1', port }));
  const one = await system.process({ node: { name: 'one', storage, distributors } });
  const id = await first.enqueue('work', { do: 'wait' });
  await one.started();
  await first.kill('SIGKILL');
  const at = Date.now();
  one.finish(id, 'for whoever is there');
  const heard = await second.hears();
  expect(heard).toMatchObject({ id: `${id}:1`, result: 'for whoever is there' });
  // It might have come back, with its closures.
  expect(heard.at - at).toBeGreaterThan(25_000);
  const other = await second.enqueue('work', {});
  expect(await second.hears()).toMatchObject({ id: `${other}:1` });
  expect(second.heard).toHaveLength(2);
});

it('an acknowledgement that was lost with its connection: it is sent again, and the method is not called again', async () => {
  const heard = new Facts<string>();
  @Injectable()
  class Hears {
    @OnSuccessFeedback('work') hear({ id }: Feedback): void {
      heard.tell(id);
    }
  }
  const web = await system.application({ providers: [Hears] });
  const proxy = await tcpProxy(web.port);
  let results = 0;
  const storage = await system.database('SQLite');
  const one = await system.process(
    { node: { name: 'one', storage, distributors: [{ host: '127.0.0.1', port: proxy.port }] } },
    [web],
  );
  const { id } = await web.client.enqueue('work', { do: 'wait' });
  await one.started();
  const rejoined = joined(web, 'one');
  const result = `"feedback":["${id}",1,`;
  const lost = proxy.loseAnswerTo(result);
  proxy.tap((chunk) => (results += chunk.includes(result) ? 1 : 0));
  one.finish(id, 'done');
  await lost;
  await rejoined;
  const other = await web.client.enqueue('work', {});
  await heard.next((feedback) => feedback === `${other.id}:1`);
  expect(heard.all).toEqual([`${id}:1`, `${other.id}:1`]);
  expect(results).toBe(2);
  await proxy.close();
});

describe('parked feedbacks', () => {
  const Bill = defineJob<{ n: number; fail?: boolean }>('bill', { maxAttempts: 1 });

  @Injectable()
  class Works {
    @Job(Bill) bill(@Payload() { n, fail }: { n: number; fail?: boolean }): number {
      if (fail) throw new UnrecoverableError('no money');
      return n;
    }
    @Job('other') other(): void {}
  }

  /** Nodes that give up after the first failure, and an application whose methods fail while they are to. */
  async function start(storage: DatabaseOptions | 'memory' = 'memory') {
    const told = new Facts<string>();
    const state = { failing: true };
    @Injectable()
    class Hears {
      @OnSuccessFeedback(Bill)
      @OnErrorFeedback(Bill)
      @OnSuccessFeedback('other')
      hear({ id }: Feedback): void {
        if (state.failing) throw Object.assign(new TypeError('no mail server'), { code: 'E_MAIL' });
        told.tell(id);
      }
    }
    const jobs = { maxDeliveries: 1 };
    const web = await system.application({ providers: [Hears], outbox: storage, jobs });
    const node = async (name: string) =>
      system.node({ name, to: web, providers: [Works], storage: await system.database('SQLite'), jobs });
    const count = async (): Promise<number> => (await web.client.feedbacks.parked({ limit: 1000 })).feedbacks.length;
    const parked = (expected: number) => eventually(`${expected} are parked`, async () => (await count()) === expected);
    return { web, node, told, state, parked };
  }

  it('are found in pages over all nodes and the distributor, each once, with what threw', async () => {
    const { web, node, parked } = await start();
    const waiting = await web.client.enqueue(Bill, { n: 0 });
    await waiting.cancel('not wanted');
    const [one] = [await node('one'), await node('two')];
    const entries = Array.from({ length: 40 }, (_, n) => ({
      job: Bill,
      args: { n, fail: n === 3 },
      options: { node: n % 2 ? 'one' : 'two', strictNode: true },
    }));
    const jobs = await web.client.enqueueMany(entries);
    await parked(41);
    const sorted = [waiting, ...jobs].map(({ id }) => `${id}:1`).toSorted();
    for (const limit of [1000, 7]) {
      const ids: string[] = [];
      for (let after: string | null = null, more = true; more; more = after !== null) {
        const page: ParkedFeedbacks = await web.client.feedbacks.parked({ limit, after });
        expect(page.feedbacks.length).toBeLessThanOrEqual(limit);
        ids.push(...page.feedbacks.map(({ id }) => id));
        ({ after } = page);
      }
      expect(ids).toEqual(sorted);
    }
    const { feedbacks } = await web.client.feedbacks.parked({ node: 'one' });
    expect(feedbacks).toHaveLength(20);
    expect(feedbacks.every(({ node: name, failures }) => name === 'one' && failures === 1)).toBe(true);
    const failed = feedbacks.find(({ job }) => job.id === jobs[3]!.id);
    expect(failed).toMatchObject({
      status: 'failed',
      error: { message: 'no money' },
      lastError: { name: 'TypeError', message: 'no mail server', code: 'E_MAIL' },
    });
    const own = await web.client.feedbacks.parked({ node: null });
    expect(own.feedbacks).toMatchObject([{ id: `${waiting.id}:1`, status: 'cancelled', node: null }]);
    expect((await one.client.feedbacks.parked({ name: Bill, limit: 1000 })).feedbacks).toHaveLength(41);
    expect((await web.client.feedbacks.parked({ node: ['one', 'nobody'] })).missing).toEqual(['nobody']);
  });

  it('are delivered again one by one, by job, or all that fit, and come back when the methods throw again', async () => {
    const { web, node, told, state, parked } = await start();
    const one = await node('one');
    await node('two');
    const bills = await web.client.enqueueMany(Array.from({ length: 20 }, (_, n) => ({ job: Bill, args: { n } })));
    const other = await web.client.enqueue('other', {});
    const cancelled = await web.client.enqueue(Bill, { n: 0 }, { node: 'nobody', strictNode: true });
    await cancelled.cancel('not wanted');
    await parked(22);
    expect(await web.client.feedbacks.redeliver(`${bills[0]!.id}:1`)).toEqual({ redelivered: 1, missing: [] });
    await parked(22);
    state.failing = false;
    expect(await web.client.feedbacks.redeliver(bills[0]!.id)).toEqual({ redelivered: 1, missing: [] });
    expect(await told.next()).toBe(`${bills[0]!.id}:1`);
    expect(await web.client.feedbacks.redeliver(bills[0]!.id)).toEqual({ redelivered: 0, missing: [] });
    expect(await one.client.feedbacks.redeliver({ name: Bill })).toEqual({ redelivered: 20, missing: [] });
    await told.count(21);
    await parked(1);
    expect(new Set(told.all)).toEqual(new Set([...bills, cancelled].map(({ id }) => `${id}:1`)));
    expect((await web.client.feedbacks.parked()).feedbacks).toMatchObject([{ id: `${other.id}:1` }]);
  });

  it('are dropped, and nobody is told', async () => {
    const { web, node, told, state, parked } = await start();
    await node('one');
    const bills = await web.client.enqueueMany(Array.from({ length: 5 }, (_, n) => ({ job: Bill, args: { n } })));
    await web.client.enqueue('other', {});
    await parked(6);
    state.failing = false;
    expect(await web.client.feedbacks.drop(bills[0]!.id)).toEqual({ dropped: 1, missing: [] });
    expect(await web.client.feedbacks.drop({ name: Bill, node: ['one'] })).toEqual({ dropped: 4, missing: [] });
    await parked(1);
    expect(await web.client.feedbacks.redeliver({ node: 'one' })).toEqual({ redelivered: 1, missing: [] });
    await told.count(1);
    await parked(0);
  });

  it('of a node in memory are kept by the distributor, which outlives it', async () => {
    const { web, told, state, parked } = await start();
    const one = await system.node({ name: 'one', to: web, providers: [Works], jobs: { maxDeliveries: 1 } });
    const { id } = await web.client.enqueue(Bill, { n: 1 });
    await parked(1);
    expect((await web.client.feedbacks.parked()).feedbacks).toMatchObject([{ id: `${id}:1`, node: null }]);
    await one.close();
    state.failing = false;
    expect(await web.client.feedbacks.redeliver(id)).toMatchObject({ redelivered: 1 });
    expect(await told.next()).toBe(`${id}:1`);
    await parked(0);
  });

  it('bad questions are refused with what would be right', async () => {
    const { web } = await start();
    const { client } = web;
    const refused = (message: RegExp) => ({ code: 'INVALID_QUERY', message: expect.stringMatching(message) });
    await expect(client.feedbacks.parked({ limit: 0 })).rejects.toMatchObject(refused(/limit/));
    await expect(client.feedbacks.parked({ nmae: 'x' } as never)).rejects.toMatchObject(refused(/name/));
    await expect(client.feedbacks.redeliver({})).rejects.toMatchObject(refused(/feedbacks.redeliver\(\) needs the id/));
    await expect(client.feedbacks.redeliver('all')).rejects.toMatchObject(refused(/id of a feedback/));
    await expect(client.feedbacks.drop({ node: [] })).rejects.toMatchObject(refused(/empty list/));
  });
});
