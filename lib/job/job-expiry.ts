import type { ErrorData, JobOptions, StoredJob } from './job.js';

/** Whether a job's first start comes too late. What has begun once never expires, and neither does what is run again. */
export function hasExpired(job: Pick<StoredJob, 'options' | 'startedAt' | 'run'>, now: number): boolean {
  const time = expiryOf(job);
  return time !== undefined && time <= now;
}

/** When a job expires that has not begun: milliseconds since the epoch. */
export function expiryOf({
  options,
  startedAt,
  run,
}: Pick<StoredJob, 'options' | 'startedAt' | 'run'>): number | undefined {
  return startedAt === null && run === 1 ? options.expires : undefined;
}

export function expiredError({ expires }: JobOptions, where: string): ErrorData {
  const time = new Date(expires ?? 0).toISOString();
  const message = `The job had not been started by ${time}, when it expired; it waited ${where}.`;
  return { name: 'JobExpired', message, code: 'JOB_EXPIRED' };
}
