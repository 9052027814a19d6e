import { randomUUID } from 'node:crypto';
import { expect, it } from 'vitest';
import { FeedbackRunner, type DeclaredFeedback } from '../../../lib/distributor/feedback-runner.js';
import { JobListeners } from '../../../lib/job/job-listeners.js';
import type { FeedbackRecord } from '../../../lib/job/feedback-record.js';
import { sampleFeedback, sampleJob } from '../../support/sample-job.js';

const INSTANCE = randomUUID();

/** An application with these methods; what they and its closures are told is in `heard`. */
function application(methods: Record<string, () => void | Promise<void>>) {
  const heard: string[] = [];
  const listeners = new JobListeners();
  const declared = Object.entries(methods).map(([name, method]): DeclaredFeedback => ({
    invoke: async () => {
      heard.push(name);
      await method();
    },
  }));
  const runner = new FeedbackRunner({
    distributor: 'web',
    instance: INSTANCE,
    listeners,
    declared: { success: () => declared, error: () => [] },
    emit: ({ event }) => void heard.push(event),
  });
  runner.open();
  return { runner, heard, listeners };
}

const feedback = (fields: Partial<FeedbackRecord> = {}, instance: string = INSTANCE): FeedbackRecord => {
  const origin = { distributor: 'web', instance, storage: null, submitter: null };
  return { ...sampleFeedback(sampleJob({ origin })), ...fields };
};

const nothing = (): void => undefined;
const fails = (): never => {
  throw new Error('no');
};

it('calls each method once and in order, however often the feedback comes', async () => {
  const { runner, heard } = application({ first: nothing, second: nothing });
  const one = feedback();
  expect(await Promise.all([runner.run(one), runner.run(one)])).toEqual(['told', 'told']);
  expect(await runner.run(one)).toBe('told');
  expect(heard).toEqual(['first', 'second']);
});

it('does not call again what had returned when another threw, nor any closure', async () => {
  let broken = true;
  const second = (): void => (broken ? fails() : undefined);
  const { runner, heard, listeners } = application({ first: nothing, second, third: nothing });
  const run = feedback({ final: false });
  listeners.onFeedback(run.jobId, () => void heard.push('closure'));
  expect(await runner.run(run)).toEqual({ failed: new Error('no') });
  expect(runner.hasBegun(run)).toBe(true);
  expect(await runner.run(run)).toEqual({ failed: new Error('no') });
  broken = false;
  expect(await runner.run(run)).toBe('told');
  expect(heard.join(', ')).toBe('closure, first, second, feedback failed, second, feedback failed, second, third');
});

it('a closure that throws has been told', async () => {
  const { runner, heard, listeners } = application({});
  const one = feedback({ listeners: 'closures' });
  listeners.onFeedback(one.jobId, fails);
  expect(await runner.run(one)).toBe('told');
  expect(heard).toEqual(['feedback failed']);
});

it('says when it has no method for what another instance had one for, and never takes that for told', async () => {
  const { runner } = application({});
  const theirs = feedback({}, randomUUID());
  expect(await runner.run(theirs)).toBe('undeclared');
  expect(await runner.run(theirs)).toBe('undeclared');
  // Closures went with their process; what nobody listens to, or a node's closures wait for, is not for methods either.
  expect(await runner.run(feedback({ listeners: 'closures' }, randomUUID()))).toBe('told');
  expect(await runner.run(feedback({ listeners: 'none' }, randomUUID()))).toBe('told');
  const origin = { ...theirs.origin, submitter: randomUUID() };
  expect(await runner.run(feedback({ origin, listeners: 'closures' }))).toBe('told');
});

it('one that has methods for the other side is not the wrong one', async () => {
  const { runner, heard } = application({ success: nothing });
  expect(await runner.run(feedback({ status: 'failed', side: 'error' }, randomUUID()))).toBe('told');
  expect(heard).toEqual([]);
});
