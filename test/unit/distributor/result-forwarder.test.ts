import { expect, it } from 'vitest';
import type { ConnectedNode } from '../../../lib/distributor/connected-node.js';
import type { NodeRegistry } from '../../../lib/distributor/node-registry.js';
import { ResultForwarder } from '../../../lib/distributor/result-forwarder.js';
import { TimerQueue } from '../../../lib/timer-queue.js';
import { ManualClock } from '../../support/manual-clock.js';
import { sampleFeedback, sampleJob } from '../../support/sample-job.js';

function forwarder() {
  const clock = new ManualClock();
  const nodes = new Map<string, ConnectedNode>();
  const registry = { byInstance: (instance: string) => nodes.get(instance) } as unknown as NodeRegistry;
  const forwards = new ResultForwarder(registry, new TimerQueue(clock, 'monotonic'));
  const sent: string[] = [];
  const node = (instance: string): ConnectedNode =>
    ({ instance, send: ({ type }: { type: string }) => sent.push(type) }) as unknown as ConnectedNode;
  return {
    sent,
    join(instance: string): ConnectedNode {
      nodes.set(instance, node(instance));
      forwards.joined(nodes.get(instance)!);
      return nodes.get(instance)!;
    },
    leave(instance: string): void {
      const left = nodes.get(instance)!;
      nodes.delete(instance);
      forwards.lost(left);
    },
    async pass(seconds: number): Promise<void> {
      clock.advance(seconds * 1_000);
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    },
    /** A result for a submitter, and whether it has been taken care of. */
    result(submitter: string, id: string) {
      const job = sampleJob({ id });
      const origin = { ...job.origin, submitter };
      const feedback = sampleFeedback(job, { origin, listeners: 'closures', final: true });
      const state = { done: false, acknowledge: (by: ConnectedNode) => forwards.acknowledged([feedback.id], by) };
      void forwards.result(feedback, false)!.then(() => (state.done = true));
      return state;
    },
  };
}

const A = '018f0000-0000-7000-8000-00000000000a';

it('waits for the word of its submitter for as long as that is connected', async () => {
  const { join, result, pass } = forwarder();
  const [one, other] = [join('one'), join('other')];
  const state = result('one', A);
  await pass(3_600);
  state.acknowledge(other);
  await pass(0);
  expect(state.done).toBe(false);
  state.acknowledge(one);
  await pass(0);
  expect(state.done).toBe(true);
});

it('is given up 30 s after its submitter was lost, whenever that is, and sent again when it comes back before', async () => {
  const { join, leave, result, pass, sent } = forwarder();
  join('one');
  const state = result('one', A);
  // Not as old as the result is, but as long as it is away.
  await pass(3_600);
  leave('one');
  await pass(29);
  expect(state.done).toBe(false);
  join('one');
  expect(sent).toEqual(['result', 'result']);
  await pass(60);
  expect(state.done).toBe(false);
  leave('one');
  await pass(29);
  expect(state.done).toBe(false);
  await pass(1);
  expect(state.done).toBe(true);
  join('one');
  expect(sent).toHaveLength(2);
});

it('is given up after 30 s when its submitter is not there to begin with', async () => {
  const { join, leave, result, pass } = forwarder();
  join('other');
  const state = result('gone', A);
  leave('other');
  await pass(29);
  expect(state.done).toBe(false);
  await pass(1);
  expect(state.done).toBe(true);
});

it('is one, however often it is brought before its submitter has answered', async () => {
  const { join, result, pass, sent } = forwarder();
  const one = join('one');
  const brought = [result('one', A), result('one', A), result('one', A)];
  await pass(0);
  brought[0]!.acknowledge(one);
  await pass(0);
  expect(brought.map(({ done }) => done)).toEqual([true, true, true]);
  expect(sent).toEqual(['result']);
});
