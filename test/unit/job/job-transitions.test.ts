import { describe, expect, it } from 'vitest';
import { isLastChance } from '../../../lib/job/job-transitions.js';
import { sampleJob } from '../../support/sample-job.js';

describe('the next attempt is the last chance of a job', () => {
  const policy = (maxAttempts: number | null | undefined = undefined) => ({ maxAttempts, backoff: undefined });

  it('when it was there at crashes, and one more would be as many as it may have', () => {
    expect(isLastChance(sampleJob({ crashes: 1, attempt: 1 }), 3, policy())).toBe(false);
    expect(isLastChance(sampleJob({ crashes: 2, attempt: 2 }), 3, policy())).toBe(true);
    expect(isLastChance(sampleJob({ crashes: 2, attempt: 2 }), 4, policy())).toBe(false);
    expect(isLastChance(sampleJob({ crashes: 5, attempt: 5 }), 4, policy())).toBe(true);
  });

  it('when it was there at a crash and it is its last attempt', () => {
    expect(isLastChance(sampleJob({ crashes: 1, attempt: 1 }), 3, policy(2))).toBe(true);
    expect(isLastChance(sampleJob({ crashes: 1, attempt: 1 }), 3, policy(3))).toBe(false);
    expect(isLastChance(sampleJob({ crashes: 1, attempt: 9 }), 3, policy(null))).toBe(false);
  });

  it('never when it has not met a crash: with maxCrashes 1, or one attempt, a node would run one job at a time', () => {
    expect(isLastChance(sampleJob(), 1, policy())).toBe(false);
    expect(isLastChance(sampleJob(), 3, policy(1))).toBe(false);
  });
});
