/*
 * Checked by `tsc`, never run: the test kit. An expected error that does not come is an error.
 */
import { defineJob, type JobInfo } from '../../lib/index.js';
import {
  JobReactorTestingModule,
  type EnqueuedJob,
  type JobReactorTesting,
  type TestAttempt,
} from '../../lib/testing/job-reactor-testing.module.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function same<A, B>(...proof: Equal<A, B> extends true ? [] : [never]): void;

const Resize = defineJob<{ path: string; size: { width: number; height: number }; at?: Date }, { bytes: number }>(
  'resize',
);
declare const kit: JobReactorTesting;
class Jobs {
  constructor(readonly name: string) {}
}

export async function testing(): Promise<void> {
  JobReactorTestingModule.forRoot({ mode: 'inline', now: 0, jobs: { maxAttempts: 1 } });
  JobReactorTestingModule.forApplication({ with: kit });
  // @ts-expect-error there are two modes
  JobReactorTestingModule.forRoot({ mode: 'fast' });

  const found = kit.expectEnqueued(Resize, { size: { width: 1 } }, { times: 1 });
  same<typeof found, EnqueuedJob<typeof Resize>>();
  same<typeof found.args.size.width, number>();
  kit.expectEnqueued(Resize, { at: new Date(0) });
  // @ts-expect-error a width is a number
  kit.expectEnqueued(Resize, { size: { width: '1' } });
  // @ts-expect-error no such arg
  kit.expectNotEnqueued(Resize, { depth: 1 });
  kit.expectEnqueued('anything', { of: 'any shape' });

  const run = await kit.runJob(Resize, { path: 'a', size: { width: 1, height: 1 } }, { attempt: 2 });
  same<typeof run.result, { bytes: number }>();
  same<typeof run.args.path, string>();
  same<typeof run.progress, unknown[]>();
  same<typeof run.job, JobInfo>();
  // @ts-expect-error args are whole here
  await kit.runJob(Resize, { path: 'a' });
  const ofClass = await kit.runJob(Jobs, { anything: 1 });
  same<typeof ofClass.result, unknown>();

  same<Awaited<ReturnType<typeof kit.drain>>, TestAttempt[]>();
  same<Awaited<ReturnType<typeof kit.runNext>>, TestAttempt | null>();
}
