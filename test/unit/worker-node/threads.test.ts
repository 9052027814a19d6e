import { MessageChannel } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import type { JobGateway, NewJob } from '../../../lib/job/job-gateway.js';
import { JobListeners } from '../../../lib/job/job-listeners.js';
import {
  EnqueueUnknown,
  errorData,
  JobCancelled,
  JobInterrupted,
  JobRejected,
  JobTimeout,
  UnrecoverableError,
} from '../../../lib/job/job.errors.js';
import type { FeedbackRecord } from '../../../lib/job/feedback-record.js';
import { JobReactorError } from '../../../lib/job-reactor.error.js';
import { ClientBridge, refusingGateway } from '../../../lib/worker-node/threads/client-bridge.js';
import { loadPiscina } from '../../../lib/worker-node/threads/load-piscina.js';
import {
  abortData,
  abortReason,
  gatewayError,
  gatewayErrorData,
  threadDied,
  thrownInThread,
} from '../../../lib/worker-node/threads/thread-errors.js';
import { ThreadGateway } from '../../../lib/worker-node/threads/thread-gateway.js';
import { threadSetup } from '../../../lib/worker-node/threads/this-thread.js';
import { within } from '../../support/deadline.js';

const ID = '018f0000-0000-7000-8000-000000000001';
const feedback = (final = true): FeedbackRecord =>
  ({ id: `${ID}:1`, jobId: ID, name: 'x', final, status: 'succeeded', result: '1', job: { run: 1 } }) as FeedbackRecord;

const close: (() => void)[] = [];
afterEach(() => close.splice(0).forEach((one) => one()));

/** A client's gateway and, across a channel, the gateway of the main thread. */
function bridged(own: Partial<JobGateway> = {}): { thread: ThreadGateway; main: JobListeners; end: () => void } {
  const main = new JobListeners();
  const { port1, port2 } = new MessageChannel();
  const nobody = (): never => {
    throw new Error('not asked for');
  };
  const queries = { jobs: nobody, remove: nobody, removeAll: nobody, retry: nobody, edit: nobody };
  const feedbacks = { parked: nobody, redeliver: nobody, drop: nobody };
  const asked = { accept: nobody, cancel: nobody, find: nobody, queries, feedbacks };
  new ClientBridge(port2, { ...asked, ...own, listeners: main }).serve();
  const thread = new ThreadGateway(port1);
  const end = (): void => thread.close();
  close.push(end);
  return { thread, main, end };
}

const settled = (what: Promise<unknown>): Promise<unknown> => within(what, 'the answer', 10_000);

describe('the gateway of a thread', () => {
  it('asks the one of the main thread, with all that was given', async () => {
    const asked: unknown[] = [];
    const { thread } = bridged({
      accept: async (jobs, distributor) => (asked.push(jobs, distributor), ['accepted']),
      cancel: async (id, reason) => (asked.push(id, reason), 'pending'),
      find: async () => null,
    });
    const jobs = [{ id: ID, args: '{}' } as NewJob];
    expect(await settled(thread.accept(jobs, 'web'))).toEqual(['accepted']);
    expect(await settled(thread.cancel(ID, 'why'))).toBe('pending');
    expect(await settled(thread.find(ID))).toBeNull();
    expect(asked).toEqual([jobs, 'web', ID, 'why']);
  });

  it('asks its questions as well, and hears of a run before it is asked for', async () => {
    const asked: unknown[] = [];
    const gone = { removed: 1, skipped: 0, missing: [] };
    const { thread, main } = bridged({
      queries: {
        jobs: async (query) => (asked.push(query), { jobs: [], after: null, missing: ['one'] }),
        remove: async (id) => (asked.push(id), gone),
        removeAll: async (filter) => (asked.push(filter), gone),
        async retry(id, expected) {
          expected('x', 2);
          // The run that failed is not the one that is waited for.
          await main.deliver({ ...feedback(), id: `${id}:1`, job: { run: 1 } } as FeedbackRecord);
          return { answer: 'queued', told: true, missing: [] };
        },
        edit: async (id, edit) => (asked.push(id, edit), { answer: 'edited', missing: [] }),
      },
    });
    expect(await settled(thread.queries.jobs({ after: null, limit: 5 }))).toMatchObject({ missing: ['one'] });
    expect(await settled(thread.queries.remove(ID))).toEqual(gone);
    expect(await settled(thread.queries.removeAll({ name: 'x' }))).toEqual(gone);
    const edit = { name: 'x', args: '1', dueAt: 5 };
    expect(await settled(thread.queries.edit(ID, edit))).toEqual({ answer: 'edited', missing: [] });
    expect(asked).toEqual([{ after: null, limit: 5 }, ID, { name: 'x' }, ID, edit]);
    const runs: number[] = [];
    const expected = (_name: string, run: number): void => {
      thread.listeners.register(ID, run);
      thread.listeners.onFeedback(ID, ({ job }) => void runs.push(job.run));
    };
    expect(await settled(thread.queries.retry(ID, expected))).toMatchObject({ answer: 'queued' });
    const second = { ...feedback(), id: `${ID}:2`, job: { run: 2 } } as FeedbackRecord;
    await settled(main.deliver(second)!);
    expect(runs).toEqual([2]);
  });

  it.each([
    new JobRejected('BACKLOG_FULL', 'too many'),
    new EnqueueUnknown(ID),
    new JobReactorError('STOPPED', 'stopped'),
    Object.assign(new RangeError('other'), { code: 'E_OTHER' }),
  ])('rejects with %s as that did', async (thrown) => {
    const { thread } = bridged({ accept: () => Promise.reject(thrown) });
    const error = (await thread.accept([]).catch((caught: unknown) => caught)) as Error;
    if (thrown instanceof JobReactorError) expect(error.constructor).toBe(thrown.constructor);
    expect(errorData(error)).toMatchObject({ name: thrown.name, message: thrown.message, code: thrown.code });
  });

  it('hears of a job what the main thread hears, and that waits until its closures have run', async () => {
    const { thread, main } = bridged();
    const heard: unknown[] = [];
    let finish: () => void = () => undefined;
    thread.listeners.register(ID);
    thread.listeners.onStored(ID, () => heard.push('stored'));
    thread.listeners.onProgress(ID, (value) => heard.push(value));
    const closure = new Promise<void>((started) => {
      thread.listeners.onFeedback(ID, () => {
        heard.push('feedback');
        started();
        return new Promise((resolve) => (finish = resolve));
      });
    });
    const ended = new Promise<unknown>((resolve, reject) => thread.listeners.onEnd(ID, resolve, reject));
    await settled(watched(main));
    main.progress(ID, '7');
    let acked = false;
    const delivered = main.deliver(feedback())!.then(() => (acked = true));
    await settled(closure);
    expect(await settled(ended)).toMatchObject({ jobId: ID });
    expect(heard).toEqual(['7', 'stored', 'feedback']);
    expect(acked).toBe(false);
    finish();
    await settled(delivered);
    expect([main.size, thread.listeners.size]).toEqual([0, 0]);
  });

  it('fails the delivery when a closure throws, so that it is delivered again', async () => {
    const { thread, main } = bridged();
    thread.listeners.onFeedback(ID, () => Promise.reject(new TypeError('no')));
    await settled(watched(main));
    await expect(settled(main.deliver(feedback(false))!)).rejects.toThrow('no');
  });

  it('gives up in the main thread what it gives up, unless somebody there listens too', async () => {
    const { thread, main } = bridged({ find: async () => null });
    thread.listeners.register(ID);
    await settled(watched(main));
    thread.listeners.drop(ID, 'not accepted');
    await settled(thread.find(ID)); // behind the drop on the same channel
    expect(main.has(ID)).toBe(false);

    main.register(ID);
    thread.listeners.register(ID);
    thread.listeners.drop(ID, 'not accepted');
    await settled(thread.find(ID));
    expect(main.has(ID)).toBe(true);
  });

  it('holds nobody up when its thread is gone', async () => {
    const { thread, main, end } = bridged();
    thread.listeners.onFeedback(ID, () => new Promise(() => {}));
    await settled(watched(main));
    const delivered = main.deliver(feedback(false))!;
    end();
    await settled(delivered);
    await expect(thread.find(ID)).rejects.toMatchObject({ code: 'STOPPED' });
    await settled(gone(main));
  });

  it('refuses the client of a forRoot that is not the one of the node', async () => {
    const { accept } = refusingGateway('other', 'gpu');
    await expect(accept([])).rejects.toThrow("forRoot 'other' is not the one of node 'gpu'");
    await expect(refusingGateway(null, 'gpu').find(ID)).rejects.toMatchObject({ code: 'INVALID_OPTIONS' });
  });
});

describe('errors between threads', () => {
  it('keep name, message, code and stack, and whether another attempt is of use', () => {
    const thrown = Object.assign(new TypeError('no'), { code: 'E_NO' });
    const data = errorData(thrown);
    expect(errorData(thrownInThread(data, false))).toEqual(data);
    expect(thrownInThread(data, false)).not.toBeInstanceOf(UnrecoverableError);
    const final = thrownInThread(errorData(new UnrecoverableError('no use')), true);
    expect(final).toBeInstanceOf(UnrecoverableError);
    expect(errorData(final)).toMatchObject({ name: 'UnrecoverableError', code: 'JOB_FAILED' });
  });

  it('keep the reason of an abort', () => {
    for (const reason of [new JobTimeout(5), new JobCancelled(ID, 'x', 'why'), new JobInterrupted()]) {
      const back = abortReason(abortData(reason));
      expect(back.constructor).toBe(reason.constructor);
      expect({ ...back, message: back.message }).toEqual({ ...reason, message: reason.message });
    }
  });

  it('of the gateway keep their class where a program tells it apart', () => {
    expect(gatewayError(gatewayErrorData(new EnqueueUnknown(ID)))).toMatchObject({ id: ID, code: 'ENQUEUE_UNKNOWN' });
    expect(gatewayError(gatewayErrorData('text'))).toMatchObject({ message: 'text' });
  });

  it('say what to look for when a thread died', () => {
    expect(threadDied(new Error('exit code 7'))).toMatchObject({
      code: 'THREAD_DIED',
      message: expect.stringContaining('exit code 7. Only this attempt is lost; look for process.exit'),
    });
  });
});

it('piscina is asked for by name where it is missing', async () => {
  const missing = loadPiscina(() => Promise.reject(new Error("Cannot find package 'piscina'")));
  await expect(missing).rejects.toMatchObject({ code: 'NO_PISCINA' });
  await expect(missing).rejects.toThrow('npm install piscina');
});

it('the main thread is no thread of a node', () => {
  expect(threadSetup()).toBeNull();
});

/** Resolves when the main thread listens for the job, which comes over the channel. */
async function watched(main: JobListeners): Promise<void> {
  while (!main.awaited(ID)) await new Promise((resolve) => setImmediate(resolve));
}

async function gone(main: JobListeners): Promise<void> {
  while (main.has(ID)) await new Promise((resolve) => setImmediate(resolve));
}
