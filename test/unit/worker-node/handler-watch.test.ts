import { expect, it } from 'vitest';
import type { JobReactorEvent } from '../../../lib/job-reactor.events.js';
import { HandlerWatch } from '../../../lib/worker-node/handler-watch.js';
import { ManualClock } from '../../support/manual-clock.js';
import { sampleJob } from '../../support/sample-job.js';

function watching() {
  const clock = new ManualClock();
  const events: JobReactorEvent[] = [];
  const watch = new HandlerWatch({ node: 'one', clock, emit: (event) => events.push(event) });
  return { clock, events, watch };
}

it('a handler that goes on 5 s after its attempt is told of, and once more when it returns at last', async () => {
  const { clock, events, watch } = watching();
  const [job, other] = [sampleJob({ name: 'work', attempt: 2 }), sampleJob({ name: 'other', attempt: 1 })];
  let end = (): void => {};
  watch.left(job, new Promise<void>((resolve) => (end = resolve)));
  clock.advance(4_999);
  expect(events).toEqual([]);
  clock.advance(1);
  const stuck = { node: 'one', id: job.id, name: 'work', attempt: 2, milliseconds: 5_000, stuck: 1 };
  expect(events).toEqual([{ event: 'job stuck', ...stuck }]);
  watch.left(other, new Promise(() => {}));
  clock.advance(5_000);
  expect(events.at(-1)).toMatchObject({ event: 'job stuck', id: other.id, stuck: 2 });
  end();
  await Promise.resolve();
  await Promise.resolve();
  expect(events.at(-1)).toEqual({ event: 'job came back', ...stuck, milliseconds: 10_000, stuck: 1 });
});

it('one that heeds its signal is not', async () => {
  const { clock, events, watch } = watching();
  watch.left(sampleJob(), Promise.reject(new Error('aborted')));
  await Promise.resolve();
  await Promise.resolve();
  clock.advance(60_000);
  expect(events).toEqual([]);
  expect(clock.pending).toBe(0);
});

it('an event loop that stood still for 5 s is told of, with what ran, and an idle node has no timer', () => {
  const { clock, events, watch } = watching();
  const [long, quick] = [sampleJob({ name: 'long' }), sampleJob({ name: 'quick' })];
  watch.began(long);
  for (let second = 0; second < 10; second++) clock.advance(1_000);
  expect(events).toEqual([]);
  watch.began(quick);
  watch.ended(quick); // in the very turn that blocked
  clock.stall(7_000);
  expect(events).toEqual([{ event: 'node stood still', node: 'one', milliseconds: 6_000, jobs: ['long', 'quick'] }]);
  watch.ended(long);
  clock.advance(1_000);
  expect(clock.pending).toBe(0);
});
