import { expect, it } from 'vitest';
import { HeldJobs } from '../../../lib/distributor/held-jobs.js';
import { JobAcceptor, type AcceptorParts } from '../../../lib/distributor/job-acceptor.js';
import type { NewJob } from '../../../lib/job/job-gateway.js';
import { sampleJob } from '../../support/sample-job.js';

const newJob = (): NewJob => ({ ...sampleJob(), closures: false });

/** In memory, with so many nodes, none of which takes anything, and a clock whose ticks the test ends. */
function acceptor(nodes: number) {
  const held = new HeldJobs({ watch: () => null });
  let ending: (() => void)[] = [];
  const parts = {
    held,
    outbox: { durable: false, remembers: () => false },
    registry: { size: nodes },
    clock: { endOfTick: (run: () => void) => void ending.push(run) },
    maxPending: Infinity,
    choose: () => null,
    accepted: held.wait.bind(held),
    origin: () => sampleJob().origin,
    mac: () => undefined,
    declares: () => false,
  } as unknown as AcceptorParts;
  const tick = async (): Promise<void> => {
    const due = ending;
    ending = [];
    for (const run of due) run();
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  const jobs = new JobAcceptor(parts);
  return { accept: (count: number) => jobs.accept(Array.from({ length: count }, newJob), null), tick, held };
}

/** How many ticks end before what has been accepted is answered. */
async function ticksUntil(answer: Promise<unknown>, tick: () => Promise<void>): Promise<number> {
  let isAnswered = false;
  void answer.then(() => (isAnswered = true));
  for (let ticks = 0; ticks < 100; ticks++) {
    await tick();
    if (isAnswered) return ticks + 1;
  }
  throw new Error('it was not answered');
}

it('who enqueues more than a few jobs in one go waits for the event loop, and no longer while no node is there', async () => {
  const { accept, tick, held } = acceptor(0);
  await accept(64);
  expect(await ticksUntil(accept(1), tick)).toBe(1);
  expect(await ticksUntil(accept(10_000), tick)).toBe(1);
  expect(await ticksUntil(accept(65), tick)).toBe(1);
  expect(held.pending.size).toBe(10_130);
});

it('the more jobs wait for the nodes that are there, the longer', async () => {
  const { accept, tick } = acceptor(1);
  expect(await ticksUntil(accept(128), tick)).toBe(2);
  expect(await ticksUntil(accept(128), tick)).toBe(3);
  await tick();
  expect(await ticksUntil(accept(10_000), tick)).toBe(16);
  const few = acceptor(1);
  await few.accept(64);
});
