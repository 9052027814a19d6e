import { feedbackId, type FeedbackRecord } from './feedback-record.js';
import { jobView, type JobView, type StoredJob } from './job.js';
import { isFinal } from './job-status.js';

/** What `find` tells of a job, wherever it is. */
export interface FoundJob {
  view: JobView;
  args: string; // serialised
  result: string | null;
}

export function foundJob(row: StoredJob, node: string | null): FoundJob {
  return { view: jobView(row, node), args: row.args, result: row.result };
}

/** The end of a job as its kept row tells it, for who missed the word of it; null when it has not ended. */
export function endOf({ view, args, result }: FoundJob): FeedbackRecord | null {
  const { id, name, status, distributor, node, priority, run, attempt, enqueuedAt, dueAt, startedAt, failedAt } = view;
  if (!isFinal(status)) return null;
  return {
    id: feedbackId(id, run),
    jobId: id,
    name,
    origin: { distributor, instance: '', storage: null, submitter: null },
    listeners: 'none',
    assignment: 0,
    status,
    final: true,
    side: status === 'succeeded' ? 'success' : 'error',
    args,
    result,
    error: view.lastError,
    job: {
      id,
      name,
      attempt,
      run,
      node: node ?? '',
      distributor,
      priority,
      enqueuedAt,
      runAt: dueAt,
      startedAt,
      failedAt,
      lastError: view.lastError,
      period: view.options.period ?? null,
      ...(view.options.group === undefined ? {} : { group: view.options.group }),
    },
  };
}
