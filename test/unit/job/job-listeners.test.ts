import { describe, expect, it } from 'vitest';
import { JobListeners } from '../../../lib/job/job-listeners.js';
import type { FeedbackRecord } from '../../../lib/job/feedback-record.js';
import { sampleFeedback, sampleJob } from '../../support/sample-job.js';

const job = sampleJob();

function ofRun(run: number): FeedbackRecord {
  return sampleFeedback({ ...job, run });
}

describe('what one process wants to hear of a job', () => {
  it('that is run again is not ended by the word of an earlier run that comes late', async () => {
    const listeners = new JobListeners();
    const ends: string[] = [];
    listeners.register(job.id, 2);
    listeners.onEnd(
      job.id,
      ({ id }) => ends.push(id),
      (why) => ends.push(why),
    );
    await listeners.deliver(ofRun(1));
    expect([ends, listeners.has(job.id)]).toEqual([[], true]);
    await listeners.deliver(ofRun(2));
    expect([ends, listeners.has(job.id)]).toEqual([[`${job.id}:2`], false]);
  });

  it('stays while one of those who asked for it wants it, and goes with the last', () => {
    const listeners = new JobListeners();
    const [one, two] = [listeners.register(job.id), listeners.register(job.id)];
    expect([one.isNew, two.isNew, one.interest === two.interest]).toEqual([true, false, true]);
    listeners.release(job.id, one.interest, 'not now');
    expect(listeners.has(job.id)).toBe(true);
    listeners.release(job.id, two.interest, 'not now');
    expect(listeners.has(job.id)).toBe(false);
  });

  it('holds no progress listener that has gone', () => {
    const listeners = new JobListeners();
    const { interest } = listeners.register(job.id);
    const seen: string[] = [];
    const stop = listeners.onProgress(job.id, (value) => seen.push(`a ${value}`));
    listeners.onProgress(job.id, (value) => seen.push(`b ${value}`));
    listeners.progress(job.id, '1');
    stop();
    stop();
    listeners.progress(job.id, '2');
    expect(seen).toEqual(['a 1', 'b 1', 'b 2']);
    expect(interest.progress).toHaveLength(1);
  });
});

describe('of a job that takes no memory while it waits', () => {
  const unused = (): never => {
    throw new Error('nobody is to be told that');
  };

  it('what its handle keeps hears of the end all the same, and only what listens already is kept for itself', async () => {
    const listeners = new JobListeners();
    const { interest } = listeners.register(job.id);
    listeners.rest(job.id);
    expect(listeners.has(job.id)).toBe(true);
    await listeners.deliver(ofRun(1));
    expect([interest.end?.jobId, listeners.has(job.id)]).toEqual([job.id, false]);
  });

  it('who begins to listen later is told', async () => {
    const listeners = new JobListeners();
    const held = listeners.register(job.id);
    listeners.rest(job.id);
    const ended = new Promise((resolve) => listeners.onEnd(job.id, resolve, unused));
    listeners.rest(job.id);
    await listeners.deliver(ofRun(1));
    expect(await ended).toBe(held.interest.end);
  });

  it('a repeat of its enqueue shares it', () => {
    const listeners = new JobListeners();
    const { interest } = listeners.register(job.id);
    listeners.rest(job.id);
    expect(listeners.register(job.id)).toEqual({ interest, isNew: false });
  });
});
