/*
 * Checked by `tsc`, never run: the client, its handles and what comes back. An expected error that does not come is an
 * error. Imports what an application imports.
 */
import type { Observable } from 'rxjs';
import { z } from 'zod';
import {
  defineJob,
  Job,
  type ArgsOf,
  type CancelAnswer,
  type EnqueueEntry,
  type EnqueueOptions,
  type ErrorData,
  type Feedback,
  type FoundJobs,
  type JobContext,
  type JobHandle,
  type JobInfo,
  type JobReactorClient,
  type JobReactorDistributor,
  type JobReactorOptions,
  type JobSnapshot,
  type JobStatus,
  type KeyConflict,
  type KeyOptions,
  type ParkedFeedback,
  type ParkedFeedbacks,
  type RemovedJobs,
  type EditAnswer,
  type RetryAnswer,
  type ResultOf,
  type RetriedJobs,
} from '../../lib/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function same<A, B>(...proof: Equal<A, B> extends true ? [] : [never]): void;

const Resize = defineJob<{ path: string; width: number }, { bytes: number }>('image.resize');
const Mail = defineJob<{ to: string }, void>('mail.send');
const Parsed = defineJob('parsed', { schema: z.object({ count: z.string().transform(Number) }) });
declare const client: JobReactorClient;
declare const distributor: JobReactorDistributor;

export async function enqueue(): Promise<void> {
  const job = await client.enqueue(Resize, { path: 'a', width: 1 }, { after: '20s', node: 'gpu', notNode: ['web'] });
  same<typeof job, JobHandle<typeof Resize>>();
  await client.enqueue(Resize, { path: 'a', width: 1 }, { thread: true });
  // @ts-expect-error true or false
  await client.enqueue(Resize, { path: 'a', width: 1 }, { thread: 'yes' });
  const { bytes } = await job.result({ timeout: '30s' });
  same<typeof bytes, number>();
  same<Awaited<ReturnType<typeof job.cancel>>, CancelAnswer>();
  same<typeof job.progress$, Observable<unknown>>();
  await job.stored({ timeout: 5 });
  await client.enqueue(Parsed, { count: '1' });
  await client.enqueue('by.name', { anything: [1, new Date()] });
  const keyed = await client.enqueue(Resize, { path: 'a', width: 1 }, { key: 'a' });
  same<typeof keyed, JobHandle<typeof Resize>>();
  same<typeof keyed.duplicate, boolean>();
  const key: KeyOptions = { value: 'a', until: 'started', onConflict: 'replace' };
  await client.enqueue(Resize, { path: 'a', width: 1 }, { key, after: '5s' });
  await client.enqueue(Resize, { path: 'a', width: 1 }, { key: { value: 'a', until: '10m' } });
  same<typeof key.onConflict, KeyConflict | undefined>();
  // @ts-expect-error nothing of the kind
  await client.enqueue(Resize, { path: 'a', width: 1 }, { key: { value: 'a', onConflict: 'merge' } });
  // @ts-expect-error a key has a value
  await client.enqueue(Resize, { path: 'a', width: 1 }, { key: { until: 'ended' } });
  same<Awaited<ReturnType<typeof client.releaseKey>>, boolean>();
  await client.releaseKey(Resize, 'a');

  // @ts-expect-error a wrong argument
  await client.enqueue(Resize, { path: 'a', width: '1' });
  // @ts-expect-error a missing argument
  await client.enqueue(Resize, { path: 'a' });
  // @ts-expect-error an argument too many
  await client.enqueue(Resize, { path: 'a', width: 1, height: 1 });
  // @ts-expect-error no args at all
  await client.enqueue(Resize);
  // @ts-expect-error the output of the schema, where its input belongs
  await client.enqueue(Parsed, { count: 1 });
  // @ts-expect-error a misspelt option
  await client.enqueue(Resize, { path: 'a', width: 1 }, { aftr: '20s' });
  // @ts-expect-error a misspelt option, by name
  await client.enqueue('by.name', {}, { perod: '20s' });
  // @ts-expect-error an option of a wrong type
  await client.enqueue(Resize, { path: 'a', width: 1 }, { priority: 'high' });
  // @ts-expect-error not one of the two confirmations
  await client.enqueue(Resize, { path: 'a', width: 1 }, { confirm: 'done' });
  // @ts-expect-error a function can't cross the wire
  await client.enqueue(Resize, { path: 'a', width: 1 }, { backoff: (attempt: number) => attempt });
  // @ts-expect-error neither a name nor a definition
  await client.enqueue({ name: 'image.resize' }, {});
  // @ts-expect-error a misspelt option
  await job.result({ timout: 5 });
  // @ts-expect-error not a field of the result
  (await job.result()).byte;
}

export async function run(): Promise<void> {
  const result = await client.run(Resize, { path: 'a', width: 1 });
  same<typeof result, { bytes: number }>();
  same<Awaited<ReturnType<typeof client.run<typeof Mail>>>, void>();
  const unknown = await client.run('by.name', {});
  same<typeof unknown, unknown>();
  // @ts-expect-error a wrong argument
  await client.run(Resize, { path: 1, width: 1 });
  // @ts-expect-error a misspelt option
  await client.run(Resize, { path: 'a', width: 1 }, { timout: '5s' });
  // @ts-expect-error a wrong kind of result
  const text: string = await client.run(Resize, { path: 'a', width: 1 });
  void text;
}

export async function enqueueMany(): Promise<void> {
  const [first, second, third] = await client.enqueueMany([
    { job: Resize, args: { path: 'a', width: 1 }, options: { after: 5 } },
    { job: Mail, args: { to: 'b' } },
    { job: 'by.name', args: 1 },
  ]);
  same<typeof first, JobHandle<typeof Resize>>();
  same<typeof second, JobHandle<typeof Mail>>();
  same<typeof third, JobHandle<'by.name'>>();
  same<Awaited<ReturnType<typeof third.result>>, unknown>();
  const many = await client.enqueueMany([1, 2].map((width) => ({ job: Resize, args: { path: 'a', width } })));
  same<Awaited<ReturnType<(typeof many)[number]['result']>>, { bytes: number }>();

  await client.enqueueMany([
    { job: Resize, args: { path: 'a', width: 1 }, options: { onSuccess: (one) => one.args.path } },
  ]);
  const list: readonly EnqueueEntry<typeof Mail>[] = [];
  same<Awaited<ReturnType<typeof client.enqueueMany<readonly (typeof Mail)[]>>>, JobHandle<typeof Mail>[]>();
  await client.enqueueMany(list);
  const mixed: EnqueueEntry[] = [{ job: Mail, args: { to: 'b' } }];
  mixed.push({ job: 'by.name', args: 1 });
  await client.enqueueMany(mixed);

  // @ts-expect-error a wrong argument
  await client.enqueueMany([{ job: Resize, args: { path: 'a', width: '1' } }]);
  await client.enqueueMany([
    { job: Resize, args: { path: 'a', width: 1 } },
    // @ts-expect-error a wrong argument of the second
    { job: Mail, args: { from: 'b' } },
  ]);
  // @ts-expect-error a misspelt option
  await client.enqueueMany([{ job: Mail, args: { to: 'b' }, options: { aftr: 1 } }]);
}

export function feedback(told: Feedback<typeof Resize>, untyped: Feedback): void {
  same<typeof told.args, { path: string; width: number }>();
  same<typeof told.job, JobInfo>();
  same<typeof told.status, 'succeeded' | 'failed' | 'cancelled' | 'dead'>();
  if (told.status === 'succeeded') {
    same<typeof told.result, { bytes: number }>();
    same<typeof told.error, null>();
  } else {
    same<typeof told.result, undefined>();
    same<typeof told.error, ErrorData>();
  }
  // @ts-expect-error the result is only there when it succeeded
  told.result.bytes;
  // @ts-expect-error the error is only there when it did not
  told.error.message;
  // @ts-expect-error no such status: only what ends a job or a run is told
  if (told.status === 'running') return;
  same<typeof untyped.args, unknown>();

  const options: EnqueueOptions<typeof Resize> = {
    onSuccess: (one) => same<typeof one, Feedback<typeof Resize>>(),
    onError: async (one) => Promise.resolve(one.error?.message),
  };
  void options;
}

export function context(ctx: JobContext<typeof Resize>, untyped: JobContext): void {
  same<typeof ctx.args, { path: string; width: number }>();
  same<typeof ctx.job, JobInfo>();
  same<typeof ctx.signal, AbortSignal>();
  same<typeof ctx.willRetry, boolean>();
  ctx.args.width += 1;
  untyped.args['anything'] = 1;
  // @ts-expect-error not an argument of this job
  ctx.args.height = 1;
  // @ts-expect-error a wrong type of an argument
  ctx.args.width = '1';
  // @ts-expect-error facts are read-only
  ctx.job = {} as JobInfo;
  // @ts-expect-error there is no such fact
  ctx.job.progress;
}

export async function looking(): Promise<void> {
  const found = await client.find('id');
  same<typeof found, JobSnapshot | null>();
  if (found) same<typeof found.status, JobStatus>();
  const page = await client.jobs({ name: Resize, status: ['failed', 'dead'], node: null, limit: 5, after: null });
  same<typeof page, FoundJobs>();
  same<typeof page.jobs, JobSnapshot[]>();
  await client.jobs({ after: page.after, node: ['a', 'b'], status: 'queued', name: 'by.name' });
  same<Awaited<ReturnType<typeof client.remove>>, RemovedJobs>();
  await client.remove('id');
  await client.remove({ name: Mail, status: ['failed'] });
  const retriedJobs: RetriedJobs = await client.retryAll({ name: Mail, status: ['failed', 'dead'] });
  void retriedJobs.missing;
  const { answer, job } = await client.retry<typeof Resize>('id');
  same<typeof answer, RetryAnswer>();
  same<typeof job, JobHandle<typeof Resize> | null>();
  if (job) same<Awaited<ReturnType<typeof job.result>>, { bytes: number }>();
  const untyped = await client.retry('id');
  if (untyped.job) same<Awaited<ReturnType<typeof untyped.job.result>>, unknown>();
  same<Awaited<ReturnType<typeof client.pause>>, { missing: string[] }>();
  await client.pause({ job: Resize });
  await client.pause({ job: 'by.name' });
  await client.resume({ node: 'gpu' });
  same<
    Awaited<ReturnType<typeof client.paused>>,
    ({ job: string; since: number } | { group: string; since: number } | { node: string; since: number })[]
  >();
  await client.pause({ group: 'tenant' });
  await client.enqueue(Resize, { path: 'a', width: 1 }, { group: 'tenant' });
  // @ts-expect-error one of the three
  await client.pause({ job: Resize, node: 'gpu' });
  // @ts-expect-error one of the three
  await client.pause({ group: 'tenant', job: Resize });
  // @ts-expect-error one of the three
  await client.pause({});
  same<Awaited<ReturnType<typeof client.edit>>, { answer: EditAnswer; missing: string[] }>();
  await client.edit(Resize, 'id', { args: { path: 'a', width: 1 }, after: '1h' });
  await client.edit('by.name', 'id', { args: { anything: 1 }, runAt: new Date() });
  // @ts-expect-error not the args of this job
  await client.edit(Resize, 'id', { args: { path: 'a' } });
  // @ts-expect-error there is no such option
  await client.edit(Resize, 'id', { priority: 1 });
  await client.enqueue(Resize, { path: 'a', width: 1 }, { expires: new Date() });
  const parked = await client.feedbacks.parked({ name: Resize, node: ['a'], limit: 5, after: null });
  same<typeof parked, ParkedFeedbacks>();
  same<(typeof parked.feedbacks)[number], ParkedFeedback>();
  same<Awaited<ReturnType<typeof client.feedbacks.redeliver>>, { redelivered: number; missing: string[] }>();
  await client.feedbacks.redeliver({ name: 'by.name', node: null });
  same<Awaited<ReturnType<typeof client.feedbacks.drop>>, { dropped: number; missing: string[] }>();
  await client.feedbacks.drop('id');
  // @ts-expect-error a feedback has no such condition
  await client.feedbacks.drop({ status: 'failed' });
  // @ts-expect-error a status that is none
  await client.jobs({ status: 'waiting' });
  // @ts-expect-error a misspelt condition
  await client.jobs({ state: 'failed' });
  // @ts-expect-error remove has no pages
  await client.remove({ status: 'failed', limit: 5 });
  // @ts-expect-error one id at a time
  await client.retry(['id']);
  same<ArgsOf<typeof Parsed>, { count: number }>();
  same<ResultOf<typeof Mail>, void>();
  distributor.on('node joined', ({ node }) => node.name);
  // @ts-expect-error a misspelt event
  distributor.on('node join', () => undefined);
}

export class Handlers {
  @Job(Mail, { timeout: '5s' }) async nothing() {
    await Promise.resolve();
  }
  // @ts-expect-error a priority counts where the job is enqueued
  @Job(Mail, { priority: 5 }) priority() {}
  // @ts-expect-error a misspelt setting, by name
  @Job('by.name', { maxAttemps: 5 }) byName() {}
}

const distributors = [{ host: 'a', port: 1 }];
export const options: JobReactorOptions[] = [
  {
    node: { name: 'a', storage: { type: 'sqlite', database: 'a.sqlite' }, distributors, concurrency: 4 },
    jobs: { backoff: (attempt, error) => attempt * error.message.length },
  },
  // @ts-expect-error a misspelt role
  { distributer: { name: 'web', port: 0 } },
  // @ts-expect-error a misspelt option of a node
  { node: { name: 'a', storage: 'memory', concurency: 1 } },
  // @ts-expect-error a misspelt option of the jobs
  { distributor: { name: 'web', port: 0 }, jobs: { maxAttemps: 1 } },
  // @ts-expect-error a misspelt option of the retention
  { distributor: { name: 'web', port: 0 }, jobs: { retention: { keepFailed: true } } },
  // @ts-expect-error not a storage
  { node: { name: 'a', storage: 'disk' } },
];
