import { ClientProxy, type ReadPacket, type WritePacket } from '@nestjs/microservices';
import type { Clock } from '../clock.js';
import type { AnyJob, ArgsOfJob, EnqueueEntry } from '../job/any-job.js';
import type { EnqueueDefaults, EnqueueOptions } from '../job/enqueue-options.js';
import type { CancelAnswer } from '../job/job-control.js';
import type { JobGateway } from '../job/job-gateway.js';
import type { JobInterest } from '../job/job-listeners.js';
import {
  readJobId,
  readJobsQuery,
  readRetrySelection,
  readSelection,
  type JobSelection,
  type JobsQuery,
} from '../job/job-filter.js';
import { isJobDefinition } from '../job/define-job.js';
import { readKeyValue } from '../job/job-key.js';
import type { PauseGateway } from '../job/pause-gateway.js';
import type { EditAnswer, RemovedJobs, RetryAnswer } from '../job/job-query.js';
import { readName } from '../job/read-option.js';
import type { ScheduleOptions } from '../job/schedule-options.js';
import type { Telemetry } from '../job/telemetry.js';
import { JobReactorError } from '../job-reactor.error.js';
import { FeedbackClient } from './feedback-client.js';
import { JobEnqueuer } from './job-enqueuer.js';
import { readEdit, type EditOptions } from './edit-options.js';
import { JobHandle, type ResultOfJob } from './job-handle.js';
import { JobIds } from './job-ids.js';
import { retryJobs, type RetriedJobs } from './retry-jobs.js';
import { ScheduleClient, type Schedule } from './schedule-client.js';
import { pausedName, readPauseTarget, type PausedName, type PauseTarget } from './pause-target.js';
import { snapshot, type FoundJobs, type JobSnapshot, type RetriedJob } from './job-snapshot.js';

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
  readonly #enqueuer: JobEnqueuer;
  readonly #clock: Clock;

  constructor(
    gateway: JobGateway,
    jobs: EnqueueDefaults,
    clock: Clock,
    telemetry: () => Telemetry | null = () => null,
  ) {
    super();
    this.#gateway = gateway;
    this.feedbacks = new FeedbackClient(gateway.feedbacks);
    this.#clock = clock;
    const ids = new JobIds();
    this.#enqueuer = new JobEnqueuer({ gateway, jobs, clock, ids, telemetry });
    this.schedules = new ScheduleClient({ gateway, jobs, clock, ids });
  }

  /**
   * Hands over one job. Resolves when it is accepted: with a database outbox after its COMMIT, with a memory outbox as
   * soon as the distributor holds it; with `confirm: 'stored'` after the COMMIT of a node.
   * @throws {JobReactorError} INVALID_JOB, ARGS_INVALID or SERIALIZATION for a call that can never work
   * @throws {JobRejected} when it was not accepted (`code` tells why: BACKLOG_FULL, STOPPED, …)
   * @throws {EnqueueUnknown} when that can't be known; repeat it with the same id
   */
  enqueue<D extends AnyJob>(job: D, args: ArgsOfJob<D>, options?: EnqueueOptions<D>): Promise<JobHandle<D>> {
    return this.#enqueuer.handOverOne({ job, args, options } as EnqueueEntry, false) as Promise<JobHandle<D>>;
  }

  /** Hands over several jobs with one commit and one batch of frames. All are checked before the first is handed over. */
  async enqueueMany<const Jobs extends readonly AnyJob[]>(entries: {
    [K in keyof Jobs]: EnqueueEntry<Jobs[K]>;
  }): Promise<{ -readonly [K in keyof Jobs]: JobHandle<Jobs[K]> }> {
    const handles = await this.#enqueuer.handOver(entries as unknown as readonly EnqueueEntry[], false);
    return handles as unknown as { -readonly [K in keyof Jobs]: JobHandle<Jobs[K]> };
  }

  /** Enqueues and waits for the result; see {@link JobHandle.result} for what it throws. */
  async run<D extends AnyJob>(job: D, args: ArgsOfJob<D>, options?: EnqueueOptions<D>): Promise<ResultOfJob<D>> {
    if (options?.manager) {
      const why =
        'run() waits for a result, and with `manager` the job starts only after your transaction: enqueue it.';
      throw new JobReactorError('INVALID_JOB', why);
    }
    const handle = await this.#enqueuer.handOverOne({ job, args, options } as EnqueueEntry, true);
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
   * {@link retry} for all that fit: by default those that failed or are dead; `status` may also say `cancelled`.
   * @throws {JobReactorError} INVALID_QUERY; in a process that is only a node also NOT_CONNECTED, STOPPED
   */
  async retryAll(which: JobSelection): Promise<RetriedJobs> {
    return retryJobs(this.#gateway.queries, readRetrySelection(which));
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

  /**
   * Changes a job that waits on a node for its time: its args, or when it is due. Attempts, `expires` and whoever awaits
   * it stay as they are. `job` is its definition or name, and has to be that of the job.
   * @throws {JobReactorError} INVALID_JOB, ARGS_INVALID, SERIALIZATION for a change that can't be right; INVALID_QUERY for
   * an id that is none, or of a job of another name; in a process that is only a node also NOT_CONNECTED, STOPPED
   */
  async edit<D extends AnyJob>(
    job: D,
    id: string,
    change: EditOptions<D>,
  ): Promise<{ answer: EditAnswer; missing: string[] }> {
    const jobId = readJobId(id, 'What edit() is about');
    const edit = await readEdit(job, change, this.#clock.now());
    const { answer, missing } = await this.#gateway.queries.edit(jobId, edit);
    if (answer !== 'other-job') return { answer, missing };
    throw new JobReactorError('INVALID_QUERY', `Job ${jobId} is no '${edit.name}'. Nothing was changed.`);
  }

  /**
   * Starts no more jobs of a name or of a group, or none on the nodes of a name, until {@link resume}. What runs ends as it would; a
   * retry waits. Jobs are accepted all the same, and wait. It holds over restarts where outbox or nodes have a database.
   * When it has resolved nothing of it starts any more, but for the nodes in `missing`, which have not confirmed it: they
   * are away, and hear of it when they are back.
   * @throws {JobReactorError} INVALID_QUERY, STORAGE, STOPPED; in a process that is only a node also NOT_CONNECTED
   */
  pause(what: PauseTarget): Promise<{ missing: string[] }> {
    return this.#setPaused('pause()', what, true);
  }

  /** Takes back {@link pause}: what waited starts, in its order. Throws the same. */
  resume(what: PauseTarget): Promise<{ missing: string[] }> {
    return this.#setPaused('resume()', what, false);
  }

  /** What is paused, as far as this process has heard, the longest first. @throws {JobReactorError} STORAGE, STOPPED */
  async paused(): Promise<PausedName[]> {
    return (await this.#pauses('paused()').paused()).map(pausedName);
  }

  /**
   * Frees a key by hand, whichever job has it: of one that is lost with the disk of its node, and never comes to its end.
   * The job goes on if it is there after all. False: no job had the key. In the application, not in a process that is only
   * a node.
   * @throws {JobReactorError} INVALID_JOB, INVALID_QUERY, STORAGE, STOPPED
   */
  async releaseKey(job: AnyJob, key: string): Promise<boolean> {
    const { keys } = this.#gateway;
    if (!keys) throw new JobReactorError('INVALID_QUERY', 'releaseKey() needs a distributor in this process.');
    const name = isJobDefinition(job) ? job.name : readName(job, 'The job', 'INVALID_JOB');
    return keys.release({ name, value: readKeyValue(key, 'The key of releaseKey()') });
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

  async #setPaused(method: string, what: PauseTarget, paused: boolean): Promise<{ missing: string[] }> {
    const { kind, name } = readPauseTarget(what, method);
    const { missing } = await this.#pauses(method).set(kind, name, paused);
    return { missing };
  }

  #pauses(method: string): PauseGateway {
    if (this.#gateway.pauses) return this.#gateway.pauses;
    throw new JobReactorError(
      'INVALID_QUERY',
      `${method} does not work in a worker thread. Call it in the main thread.`,
    );
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
}
