import { ClientProxy, type ReadPacket, type WritePacket } from '@nestjs/microservices';
import type { Clock } from '../clock.js';
import { AsyncMoment } from '../job/async-context.js';
import type { AnyJob, ArgsOfJob, EnqueueEntry } from '../job/any-job.js';
import { checkArgs } from '../job/check-args.js';
import { isJobDefinition } from '../job/define-job.js';
import {
  readEnqueueOptions,
  type EnqueueDefaults,
  type EnqueueOptions,
  type EnqueueRequest,
} from '../job/enqueue-options.js';
import { readFeedback } from '../job/feedback.js';
import type { CancelAnswer } from '../job/job-control.js';
import type { Intake, JobGateway, NewJob } from '../job/job-gateway.js';
import type { JobInterest } from '../job/job-listeners.js';
import { readJobId, readJobsQuery, readSelection, type JobSelection, type JobsQuery } from '../job/job-filter.js';
import type { RemovedJobs, RetryAnswer } from '../job/job-query.js';
import type { FeedbackRecord } from '../job/job.js';
import { readName } from '../job/read-option.js';
import type { ScheduleOptions } from '../job/schedule-options.js';
import { serialise } from '../job/serialise.js';
import type { Telemetry } from '../job/telemetry.js';
import { JobReactorError } from '../job-reactor.error.js';
import { FeedbackClient } from './feedback-client.js';
import { JobHandle, type ResultOfJob } from './job-handle.js';
import { JobIds } from './job-ids.js';
import { ScheduleClient, type Schedule } from './schedule-client.js';
import { snapshot, type FoundJobs, type JobSnapshot, type RetriedJob } from './job-snapshot.js';

interface Prepared {
  job: NewJob;
  request: EnqueueRequest;
}

/** One that is listened for. */
interface Expected extends Prepared {
  interest: JobInterest;
  /** Nobody in this process listened to its id before. */
  isNew: boolean;
}

/**
 * Enqueues jobs and asks after them. In an application it stands on the process's distributor; in a process that is only
 * a node, on the node's connections to its distributors.
 */
export class JobReactorClient extends ClientProxy {
  /** Feedbacks whose methods threw too often. */
  readonly feedbacks: FeedbackClient;
  /** Looks at schedules, pauses and removes them. */
  readonly schedules: ScheduleClient;
  readonly #gateway: JobGateway;
  readonly #jobs: EnqueueDefaults;
  readonly #clock: Clock;
  readonly #telemetry: () => Telemetry | null;
  readonly #ids = new JobIds();

  constructor(
    gateway: JobGateway,
    jobs: EnqueueDefaults,
    clock: Clock,
    telemetry: () => Telemetry | null = () => null,
  ) {
    super();
    this.#gateway = gateway;
    this.feedbacks = new FeedbackClient(gateway.feedbacks);
    this.#jobs = jobs;
    this.#clock = clock;
    this.#telemetry = telemetry;
    this.schedules = new ScheduleClient({ gateway, jobs, clock, ids: this.#ids });
  }

  /**
   * Hands over one job. Resolves when it is accepted: with a database outbox after its COMMIT, with a memory outbox as
   * soon as the distributor holds it; with `confirm: 'stored'` after the COMMIT of a node.
   * @throws {JobReactorError} INVALID_JOB, ARGS_INVALID or SERIALIZATION for a call that can never work
   * @throws {JobRejected} when it was not accepted (`code` tells why: BACKLOG_FULL, STOPPED, …)
   * @throws {EnqueueUnknown} when that can't be known; repeat it with the same id
   */
  async enqueue<D extends AnyJob>(job: D, args: ArgsOfJob<D>, options?: EnqueueOptions<D>): Promise<JobHandle<D>> {
    const [handle] = await this.#handOver([{ job, args, options } as EnqueueEntry], false);
    return handle as JobHandle<D>;
  }

  /** Hands over several jobs with one commit and one batch of frames. All are checked before the first is handed over. */
  async enqueueMany<const Jobs extends readonly AnyJob[]>(entries: {
    [K in keyof Jobs]: EnqueueEntry<Jobs[K]>;
  }): Promise<{ -readonly [K in keyof Jobs]: JobHandle<Jobs[K]> }> {
    const handles = await this.#handOver(entries as unknown as readonly EnqueueEntry[], false);
    return handles as unknown as { -readonly [K in keyof Jobs]: JobHandle<Jobs[K]> };
  }

  /** Enqueues and waits for the result; see {@link JobHandle.result} for what it throws. */
  async run<D extends AnyJob>(job: D, args: ArgsOfJob<D>, options?: EnqueueOptions<D>): Promise<ResultOfJob<D>> {
    if (options?.manager) {
      const why =
        'run() waits for a result, and with `manager` the job starts only after your transaction: enqueue it.';
      throw new JobReactorError('INVALID_JOB', why);
    }
    const [handle] = await this.#handOver([{ job, args, options } as EnqueueEntry], true);
    return (handle as JobHandle<D>).result();
  }

  /**
   * Has a job enqueued at the times of a schedule: makes that, or changes the one with its `key`. Resolves once it is
   * kept: with a database outbox after its COMMIT, with a memory outbox for as long as this process lives.
   * @throws {JobReactorError} INVALID_JOB, ARGS_INVALID, SERIALIZATION, NO_SCHEDULES, STORAGE, STOPPED
   */
  schedule<D extends AnyJob>(job: D, args: ArgsOfJob<D>, options: ScheduleOptions): Promise<Schedule> {
    return this.schedules.put(job, args, options);
  }

  /** See {@link CancelAnswer} for the four answers. */
  cancel(id: string, reason = 'cancelled by the application'): Promise<CancelAnswer> {
    return this.#gateway.cancel(id, reason);
  }

  /** What is known of a job, from whoever holds it; null when no connected node and no distributor knows the id. */
  async find(id: string): Promise<JobSnapshot | null> {
    const found = await this.#gateway.find(id);
    return found && snapshot(found);
  }

  /**
   * A page of the jobs there are: those of all connected nodes and those that wait for one. It is a picture of the
   * moment, and the jobs go on. See {@link FoundJobs} for the nodes it does not speak of.
   * @throws {JobReactorError} INVALID_QUERY; in a process that is only a node also NOT_CONNECTED, STOPPED
   */
  async jobs(query: JobsQuery = {}): Promise<FoundJobs> {
    const { jobs, after, missing } = await this.#gateway.queries.jobs(readJobsQuery(query));
    return { jobs: jobs.map(snapshot), after, missing };
  }

  /**
   * Removes one job, or all that fit, whatever their status; only those that run are left (cancel them first). Those
   * that had not ended end as `cancelled`. It can't be undone.
   * @throws {JobReactorError} INVALID_QUERY; in a process that is only a node also NOT_CONNECTED, STOPPED
   */
  async remove(which: string | JobSelection): Promise<RemovedJobs> {
    const { queries } = this.#gateway;
    if (typeof which === 'string') return queries.remove(readJobId(which, 'What remove() is about'));
    return queries.removeAll(readSelection(which));
  }

  /**
   * Runs a job again that ended as `failed`, `dead` or `cancelled` and is kept (see `jobs.retention`): now, on the node
   * that keeps it, with all its attempts and with the args its last attempt began with. Its run number rises by one.
   * @throws {JobReactorError} INVALID_QUERY; in a process that is only a node also NOT_CONNECTED, STOPPED
   */
  async retry<D extends AnyJob = string>(id: string): Promise<RetriedJob<D>> {
    const jobId = readJobId(id, 'What retry() is about');
    const { listeners, queries } = this.#gateway;
    let awaited: { name: string; interest: JobInterest } | undefined;
    const listen = (name: string, run: number): void => void (awaited = { name, ...listeners.register(jobId, run) });
    // Others may have asked for the same at this moment, and one of them got it.
    const drop = (): void => awaited && listeners.release(jobId, awaited.interest, 'it was not run again.');
    const { answer, told, missing } = await queries.retry(jobId, listen).catch((error: unknown) => {
      drop();
      throw error;
    });
    if (answer !== 'queued' || !told || !awaited) {
      drop();
      return { answer, job: null, missing };
    }
    listeners.stored(jobId);
    const { name, interest } = awaited;
    const parts = { gateway: this.#gateway, clock: this.#clock, interest };
    return { answer, job: new JobHandle<D>(jobId, name, false, parts), missing };
  }

  /**
   * Runs a job now that waits on a node for its time: deferred, retrying, snoozed, or a periodic one between two runs.
   * `queued`: that is committed. `not-final`: it runs, or its time has come, or no node has it yet; or it has failed or was
   * cancelled, see {@link retry}.
   * @throws {JobReactorError} INVALID_QUERY; in a process that is only a node also NOT_CONNECTED, STOPPED
   */
  async runNow(id: string): Promise<{ answer: RetryAnswer; missing: string[] }> {
    const jobId = readJobId(id, 'What runNow() is about');
    const { answer, missing } = await this.#gateway.queries.retry(jobId, () => undefined, true);
    return { answer, missing };
  }

  /** Part of Nest's ClientProxy; the module connects. */
  connect(): Promise<void> {
    return Promise.resolve();
  }

  /** Part of Nest's ClientProxy; the module closes. */
  close(): void {}

  unwrap<T>(): T {
    return this.#gateway as T;
  }

  /** `send(job, args)`: what the Observable gives is the job's result. To stop listening does not cancel the job. */
  protected publish(packet: ReadPacket, callback: (packet: WritePacket) => void): () => void {
    let cancelled = false;
    const answer = (packet: WritePacket): void => {
      if (!cancelled) callback(packet);
    };
    this.run(packet.pattern as AnyJob, packet.data).then(
      (response) => answer({ response, isDisposed: true }),
      (err: unknown) => answer({ err, isDisposed: true }),
    );
    return () => (cancelled = true);
  }

  /** `emit(job, args)`: what the Observable gives is the JobHandle. */
  protected async dispatchEvent<T>(packet: ReadPacket): Promise<T> {
    return (await this.enqueue(packet.pattern as AnyJob, packet.data)) as T;
  }

  /** `awaited`: somebody waits for the result already, so it is to survive a lost connection. */
  async #handOver(entries: readonly EnqueueEntry[], awaited: boolean): Promise<JobHandle[]> {
    const prepared = entries.map((entry) => this.#prepare(entry, awaited));
    for (const { job, args } of entries) if (isJobDefinition(job) && job.schema) await checkArgs(job, args);
    const expected = prepared.map((one) => this.#listen(one));
    const accept = (): Promise<Intake[]> => this.#accept(expected);
    const telemetry = this.#telemetry();
    const jobs = telemetry && expected.map(({ job }) => job);
    const answers = await (jobs ? telemetry.enqueue(jobs, accept) : accept()).catch((error: unknown) => {
      for (const { job, isNew } of expected) if (isNew) this.#gateway.listeners.drop(job.id, 'it was not accepted.');
      throw error;
    });
    for (const [index, one] of expected.entries()) if (answers[index] === 'duplicate') await this.#dropIfEnded(one);
    const handles = expected.map(({ job, interest }, index) => {
      const parts = { gateway: this.#gateway, clock: this.#clock, interest };
      return new JobHandle(job.id, job.name, answers[index] === 'duplicate', parts);
    });
    const confirmed = handles.filter((_, index) => expected[index]?.request.confirm === 'stored');
    if (confirmed.length > 0) await Promise.all(confirmed.map((handle) => handle.stored()));
    return handles;
  }

  #prepare({ job, args, options }: EnqueueEntry, awaited: boolean): Prepared {
    const definition = isJobDefinition(job) ? job : undefined;
    const name = definition ? definition.name : readName(job, 'The job', 'INVALID_JOB');
    const now = this.#clock.now();
    const request = readEnqueueOptions(options as EnqueueOptions | undefined, definition, now, this.#jobs);
    return {
      request,
      job: {
        id: request.id ?? this.#ids.next(now),
        name,
        args: serialise(args, 'args'),
        options: request.options,
        priority: request.priority,
        enqueuedAt: now,
        runAt: request.runAt,
        givenId: request.id !== undefined,
        closures: awaited || request.onSuccess !== undefined || request.onError !== undefined,
      },
    };
  }

  /** Before the job is sent: no answer can come too early. */
  #listen({ job, request }: Prepared): Expected {
    const { listeners } = this.#gateway;
    const { interest, isNew } = listeners.register(job.id);
    if (isNew && listeners.keepsMoment(job.name)) interest.moment = new AsyncMoment();
    const { onSuccess, onError } = request;
    if (onSuccess || onError) {
      listeners.onFeedback(job.id, async (record) => {
        const closure = isSuccess(record) ? onSuccess : onError;
        await closure?.(readFeedback(record));
      });
    }
    return { job, request, interest, isNew };
  }

  #accept(prepared: readonly Expected[]): Promise<Intake[]> {
    const jobs = prepared.map(({ job }) => job);
    const distributor = prepared.find(({ request }) => request.distributor)?.request.distributor;
    const manager = prepared[0]?.request.manager;
    if (prepared.some(({ request }) => request.manager !== manager)) {
      return refused('Jobs enqueued together need the same `manager`, or none has one.');
    }
    if (!manager) return this.#gateway.accept(jobs, distributor);
    if (this.#gateway.acceptWithin) return this.#gateway.acceptWithin(jobs, manager);
    return refused(
      '`manager` needs a distributor in this process, with its outbox in the database of the transaction.',
    );
  }

  /** A repeat of a job that has ended: no feedback will come, and its result is asked for when somebody wants it. */
  async #dropIfEnded({ job: { id }, isNew }: Expected): Promise<void> {
    if (!isNew) return;
    const found = await this.#gateway.find(id);
    if (!found || found.view.finishedAt !== null) this.#gateway.listeners.drop(id, 'it had ended before.');
    else if (found.view.node !== null) this.#gateway.listeners.stored(id);
  }
}

function refused(why: string): Promise<never> {
  return Promise.reject(new JobReactorError('INVALID_JOB', why));
}

function isSuccess({ status, side }: FeedbackRecord): boolean {
  return status === 'succeeded' || (status === 'cancelled' && side === 'success');
}
