import { randomUUID } from 'node:crypto';
import { feedbackId, type FeedbackRecord } from '../../lib/job/feedback-record.js';
import { jobInfo, newStoredJob, type StoredJob } from '../../lib/job/job.js';

/** A queued job with every field set, due at 1000. */
export function sampleJob(fields: Partial<StoredJob> = {}): StoredJob {
  const spec = {
    id: randomUUID(),
    name: 'sample.job',
    args: '{"n":1}',
    options: {},
    priority: 0,
    enqueuedAt: 500,
    runAt: 1000,
    origin: { distributor: 'web', instance: randomUUID(), storage: null, submitter: randomUUID() },
    listeners: 'none' as const,
    givenId: false,
  };
  return { ...newStoredJob(spec, 1), ...fields };
}

export function sampleFeedback(job: StoredJob, fields: Partial<FeedbackRecord> = {}): FeedbackRecord {
  return {
    id: feedbackId(job.id, job.run),
    jobId: job.id,
    name: job.name,
    origin: job.origin,
    listeners: 'declared',
    assignment: job.assignment,
    status: 'succeeded',
    final: true,
    side: 'success',
    args: job.args,
    result: '{"ok":true}',
    error: null,
    job: jobInfo(job, 'sample-node'),
    ...fields,
  };
}
