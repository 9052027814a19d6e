import { defineJob } from 'nestjs-job-reactor';
import { z } from 'zod';

/** Checked in `enqueue()`: what an HTTP client sends wrongly is refused before it becomes a job. */
const args = z.object({ title: z.string().min(1), rows: z.int().min(1).max(1_000_000) });

export interface Report {
  title: string;
  rows: number;
  sum: number;
}

export const MakeReport = defineJob<typeof args, Report>('make-report', {
  schema: args,
  maxAttempts: 3,
  backoff: '1s',
  timeout: '5m',
});
