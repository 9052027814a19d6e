import { defineJob } from 'nestjs-job-reactor';
import type { Progress } from './catalogue.js';
import type { Entry } from './indexing.js';

/** Walks a folder and enqueues one IndexFile for every Markdown file in it; its result is how many there are. */
export const ScanFolder = defineJob<{ folder: string }, number>('scan-folder', { maxAttempts: 3, backoff: '500ms' });

export const IndexFile = defineJob<{ file: string }, Entry>('index-file', {
  maxAttempts: 5,
  backoff: '200ms',
  timeout: '30s',
  thread: true, // it parses and hashes: in the main thread it would hold up the other jobs
});

/** Periodic: tells how far the catalogue is and cancels itself once it is complete. Goes before files that waited longer. */
export const ReportProgress = defineJob<{ catalogue: string }, Progress>('report-progress', { priority: 10 });
