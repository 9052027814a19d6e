import type { JobOrigin, Listeners } from '../../lib/job/job.js';
import type { JobMessage } from '../../lib/protocol/job-messages.js';
import type { Result } from '../../lib/protocol/result-messages.js';

/** What a node called `one` says at the end of a job that it was sent by a distributor called `web`. */
export function resultByHand(
  { job, assignment }: JobMessage,
  result: unknown,
  { origin = job.origin, listeners }: { origin?: JobOrigin; listeners: Listeners },
): Result {
  const { id, name, priority, enqueuedAt, runAt } = job;
  const info = { id, name, attempt: 1, run: 1, node: 'one', distributor: 'web', priority, enqueuedAt, runAt };
  return {
    type: 'result',
    feedback: {
      id: `${id}:1`,
      jobId: id,
      name,
      origin,
      listeners,
      assignment,
      status: 'succeeded',
      final: true,
      side: 'success',
      error: null,
      job: { ...info, startedAt: null, failedAt: null, lastError: null, period: null },
    },
    args: '{}',
    result: JSON.stringify(result),
  };
}
