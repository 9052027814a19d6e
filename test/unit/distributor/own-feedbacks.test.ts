import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { Told } from '../../../lib/distributor/feedback-runner.js';
import { OwnFeedbacks } from '../../../lib/distributor/own-feedbacks.js';
import { isKept, type FeedbackRecord } from '../../../lib/job/feedback-record.js';
import type { JobReactorEvent } from '../../../lib/job-reactor.events.js';
import { FeedbacksInMemory, StoredFeedbacks, type FeedbackRows } from '../../../lib/storage/feedback-rows.js';
import { MemoryStorage } from '../../../lib/storage/memory-storage.js';
import { ManualClock } from '../../support/manual-clock.js';
import { sampleFeedback, sampleJob } from '../../support/sample-job.js';

interface Kept {
  clock: ManualClock;
  rows: FeedbackRows;
  end(feedback: FeedbackRecord): Promise<void>;
}

const kinds: Record<string, () => Promise<Kept>> = {
  async 'an outbox in memory'() {
    const rows = new FeedbacksInMemory();
    return { clock: new ManualClock(), rows, end: async (feedback) => rows.add(feedback) };
  },
  async 'an outbox with a storage'() {
    const clock = new ManualClock();
    const storage = new MemoryStorage(clock);
    await storage.open({ role: 'outbox', name: 'web', instance: randomUUID() });
    const rows = new StoredFeedbacks(storage, (write) => storage.commit([write]));
    const end = async (feedback: FeedbackRecord): Promise<void> => {
      await storage.commit([{ kind: 'insert', job: sampleJob({ id: feedback.jobId }) }]);
      await storage.commit([{ kind: 'delete', id: feedback.jobId, fence: 0, feedback }]);
    };
    return { clock, rows, end };
  },
};

describe.each(Object.entries(kinds))('the feedback of a job that ended in %s', (_, make) => {
  const all = { after: null, limit: 10 };

  async function cast(answers: Told[], maxDeliveries = 20) {
    const kept = await make();
    const told: number[] = [];
    const events: JobReactorEvent[] = [];
    const begun = kept.clock.now();
    const start = (): OwnFeedbacks =>
      new OwnFeedbacks({
        keeps: isKept,
        distributor: 'web',
        rows: kept.rows,
        maxDeliveries,
        clock: kept.clock,
        emit: (event) => void events.push(event),
        tell: async () => {
          told.push(kept.clock.now() - begun);
          return answers.shift() ?? 'told';
        },
      });
    const feedback = sampleFeedback(sampleJob());
    await kept.end(feedback);
    return { ...kept, told, events, start, feedback };
  }
  const failed = { failed: new Error('no') };

  it('is told again after 1 s, 2 s and 4 s when its method throws, and gone when it was heard', async () => {
    const { start, feedback, told, clock, rows } = await cast([failed, failed, failed]);
    await start().deliver(feedback);
    expect(await rows.page(all)).toMatchObject([
      { failures: 1, dueAt: clock.now() + 1_000, lastError: { message: 'no' } },
    ]);
    await clock.advanceAsync(60_000);
    expect(told).toEqual([0, 1_000, 3_000, 7_000]);
    expect(await rows.page(all)).toEqual([]);
  });

  it('is parked after maxDeliveries, and sent when somebody asks for it', async () => {
    const { start, feedback, told, events, clock, rows } = await cast([failed, failed], 2);
    const own = start();
    await own.deliver(feedback);
    await clock.advanceAsync(86_400_000);
    expect(told).toHaveLength(2);
    expect(events).toMatchObject([{ event: 'feedback parked', role: "distributor 'web'", feedback: feedback.id }]);
    const [row] = await rows.page({ ...all, dueBy: null });
    await rows.save(feedback, { failures: 0, dueAt: 0, lastError: null });
    own.again([{ ...row!, failures: 0, dueAt: 0, lastError: null }]);
    await clock.advanceAsync(0);
    expect(told).toHaveLength(3);
    expect(await rows.page(all)).toEqual([]);
  });

  it('is taken up where it was by the next process', async () => {
    const { start, feedback, told, clock, rows } = await cast([failed, failed]);
    const first = start();
    await first.deliver(feedback);
    first.stop();
    await clock.advanceAsync(500);
    const second = start();
    second.scan();
    await clock.advanceAsync(499);
    expect(told).toEqual([0]);
    await clock.advanceAsync(1);
    expect(told).toEqual([0, 1_000]);
    expect(await rows.page(all)).toMatchObject([{ failures: 2 }]);
  });

  it('stays when this instance has no method for it; what was for closures of an earlier process goes', async () => {
    const { start, feedback, events, clock, rows, end } = await cast(['undeclared', 'undeclared']);
    const own = start();
    await own.deliver(feedback);
    expect(events).toEqual([{ event: 'feedback waits', distributor: 'web', name: feedback.name }]);
    const closures = sampleFeedback(sampleJob(), { listeners: 'closures' });
    await end(closures);
    await own.deliver(closures);
    await clock.advanceAsync(86_400_000);
    expect(await rows.page(all)).toMatchObject([{ id: feedback.id, failures: 0 }]);
  });
});
