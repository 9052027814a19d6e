import { expect, it } from 'vitest';
import type { ConnectedNode } from '../../../lib/distributor/connected-node.js';
import { ResultBudget } from '../../../lib/distributor/result-budget.js';
import { sampleFeedback, sampleJob } from '../../support/sample-job.js';

const MiB = 1024 * 1024;
const result = sampleFeedback(sampleJob(), { args: '', result: 'r'.repeat(MiB / 2) });

/** A node that sends as much as it has credit for. */
function aNode() {
  const granted: number[] = [MiB];
  const results = { received: 0, granted: MiB, waiting: 0 };
  const send = ({ bytes }: { bytes: number }): void => void granted.push(bytes);
  const node = { results, send } as unknown as ConnectedNode;
  const waiting: (() => void)[] = [];
  return {
    granted,
    results,
    sendAll(budget: ResultBudget): void {
      while (results.received < granted.at(-1)!) waiting.push(budget.arrived(node, result)!);
    },
    told: () => waiting.pop()!(),
    sendTooMuch: (budget: ResultBudget) => budget.arrived(node, result),
  };
}

it('one node has 8 MiB waiting at most, is granted more as they are told, and is told so seldom', () => {
  const budget = new ResultBudget();
  const one = aNode();
  one.sendAll(budget);
  expect(budget.total).toBe(8 * MiB);
  expect(one.sendTooMuch(budget)).toBeNull();
  for (let told = 0; told < 400; told++) {
    one.told();
    one.sendAll(budget);
    expect(budget.total).toBeLessThanOrEqual(8 * MiB);
    // Never so little that it would stand still.
    expect(budget.total).toBeGreaterThan(0);
  }
  expect(one.results.received).toBeGreaterThan(200 * MiB);
  // Each grant is one message for eight of these results at least.
  expect(one.granted.length).toBeLessThan(2 + 408 / 8);
});

it('of many nodes the first to come have 128 MiB waiting, the others 1 MiB each; all go on when theirs are told', () => {
  const budget = new ResultBudget();
  const nodes = Array.from({ length: 40 }, aNode);
  for (const one of nodes) one.sendAll(budget);
  expect(budget.total).toBeLessThanOrEqual(128 * MiB + 40 * MiB);
  expect(nodes.at(-1)!.results.waiting).toBe(MiB);
  const last = nodes.at(-1)!;
  for (let told = 0; told < 100; told++) {
    last.told();
    last.sendAll(budget);
    expect(last.results.waiting).toBeLessThanOrEqual(MiB);
    if (told % 2) expect(last.results.waiting).toBeGreaterThan(0);
  }
  expect(last.results.received).toBeGreaterThan(20 * MiB);
  // A node that has more than its share waits until that is told.
  expect(budget.total).toBeLessThanOrEqual(128 * MiB + 40 * MiB);
});
