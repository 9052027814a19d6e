import type { Clock } from '../clock.js';
import type { JobHandlers } from '../handlers/job-handler.js';
import type { JobDefaults } from '../job/define-job.js';
import { REMOVED } from '../job/job-control.js';
import { isKept, type FeedbackRecord } from '../job/feedback-record.js';
import type { JobChange, StoredJob } from '../job/job.js';
import { errorData } from '../job/job.errors.js';
import type { JobEdit } from '../job/job-query.js';
import type { JobOutcome } from '../job/job-outcome.js';
import {
  begin,
  cancel,
  conclude,
  crash,
  expire,
  isLastChance,
  retry,
  type RetryPolicy,
  type Transition,
  type TransitionContext,
} from '../job/job-transitions.js';
import type { JobsSettings, NodeSettings } from '../job-reactor.options.js';
import { isFinal } from '../job/job-status.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { GroupCommit } from '../storage/group-commit.js';
import { InsistentCommit } from '../storage/insistent-commit.js';
import type { JobStorage, JobWrite, WriteResult } from '../storage/job-storage.js';

const NOTHING: JobDefaults = {};
const NO_ROW: { feedback?: FeedbackRecord } = {};

export interface CompleterParts {
  node: string;
  settings: NodeSettings;
  jobs: JobsSettings;
  handlers: JobHandlers;
  storage: Pick<JobStorage, 'peers'>;
  commit: GroupCommit;
  clock: Clock;
  random: () => number;
  emit: EmitEvent;
}

/** What was committed: the transition, and its feedback when somebody is to be told. */
export interface Completed {
  transition: Transition;
  feedback: FeedbackRecord | null;
  /** The feedback has a row of its own and is resent until acknowledged. */
  kept: boolean;
}

interface CommitHow {
  /** Its row goes, whatever the settings say. */
  remove?: boolean;
  /** What is committed instead of a change that the storage can't take. */
  refused?: (error: unknown) => Promise<Completed | null>;
}

/** Commits every change of a stored job. A change with an old fence is refused, and then nothing happened. */
export class JobCompleter {
  readonly #parts: CompleterParts;
  /** Trouble with the storage is not the job's failure: an outcome is committed as soon as the storage takes it. */
  readonly #commits: InsistentCommit;
  #stopped = false;

  constructor(parts: CompleterParts) {
    this.#parts = parts;
    this.#commits = new InsistentCommit(parts.commit, parts.clock, (error) =>
      parts.emit({ event: 'storage failed', role: `node ${parts.node}`, error }),
    );
  }

  /** The job as its attempt begins, or null when it is no longer there to be run. */
  begin(job: StoredJob): Promise<StoredJob | null> {
    const started = this.begun(job);
    const write: JobWrite = { kind: 'start', id: job.id, fence: job.fence, change: started };
    return this.#commits.write(write, (result) => (accepted(result) ? started : null));
  }

  /** The same of one whose first commit is still to come, and will say so. */
  begun(job: StoredJob): StoredJob {
    return begin(job, this.#parts.clock.now());
  }

  /**
   * Null when the job was cancelled or taken away meanwhile: the outcome is void. An outcome that the storage does not
   * take fails the job, with the storage's reason.
   */
  complete(job: StoredJob, outcome: JobOutcome, settled: () => boolean): Promise<Completed | null> {
    const refused = (thrown: unknown): Promise<Completed | null> => {
      const { args } = job;
      const failed: JobOutcome = { kind: 'failed', error: errorData(thrown), thrown, unrecoverable: true, args };
      return this.#commit(job, conclude(job, failed, this.#context(job)), settled);
    };
    return this.#commit(job, conclude(job, outcome, this.#context(job)), settled, { refused });
  }

  cancel(job: StoredJob, reason: string, settled: () => boolean): Promise<Completed | null> {
    const { clock, node } = this.#parts;
    return this.#commit(job, cancel(job, reason, 'success', { now: clock.now(), node }), settled);
  }

  /** A job that was running when the process of this node died. */
  crash(job: StoredJob, node = this.#parts.node): Promise<Completed | null> {
    const { maxCrashes } = this.#parts.settings;
    return this.#commit(job, crash(job, maxCrashes, { ...this.#context(job), node }), () => false);
  }

  /** A job that was not started in time. */
  expire(job: StoredJob, settled: () => boolean): Promise<Completed | null> {
    const { node } = this.#parts;
    return this.#commit(job, expire(job, this.#context(job), `on node ${node}`), settled);
  }

  /** A job that has ended, as it is to run again; null when it is no longer as it was. */
  retry(job: StoredJob): Promise<StoredJob | null> {
    const again = retry(job, this.#parts.clock.now());
    const write: JobWrite = { kind: 'save', id: job.id, fence: job.fence, change: changeOf(again) };
    return this.#commits.write(write, (result) => (accepted(result) ? again : null));
  }

  /** A job that waits for its time, as it is due now; null when it is no longer as it was. */
  advance(job: StoredJob): Promise<StoredJob | null> {
    return this.amend(job, { dueAt: this.#parts.clock.now() });
  }

  /** A job that waits for its time, with other args or another time; null when it is no longer as it was. */
  amend(job: StoredJob, change: Omit<JobEdit, 'name'>): Promise<StoredJob | null> {
    const amended: StoredJob = { ...job, ...change, fence: job.fence + 1 };
    const write: JobWrite = { kind: 'save', id: job.id, fence: job.fence, change: changeOf(amended) };
    return this.#commits.write(write, (result) => (accepted(result) ? amended : null));
  }

  /** Whatever its status, its row goes. One that had not ended ends as `cancelled`. */
  remove(job: StoredJob, settled: () => boolean): Promise<Completed | null> {
    const { clock, node } = this.#parts;
    if (!isFinal(job.status)) {
      const end = cancel(job, REMOVED, 'success', { now: clock.now(), node });
      return this.#commit(job, end, settled, { remove: true });
    }
    const { id, fence } = job;
    return this.#commits.write({ kind: 'delete', id, fence, ...this.#tombstone(job, false) }, (result) =>
      accepted(result) ? { transition: { kind: 'end', job }, feedback: null, kept: false } : null,
    );
  }

  /** A copy that is void: it goes without a word. */
  async drop(job: { id: string; fence: number }): Promise<void> {
    await this.#commits.write({ kind: 'delete', id: job.id, fence: job.fence }, () => undefined);
  }

  policy(job: StoredJob): RetryPolicy {
    const { own, handler, application, node } = this.#said(job);
    // A number meant for jobs that run once must not end a periodic one.
    const general = job.options.period === undefined ? node.maxAttempts : undefined;
    return {
      maxAttempts: firstDefined(own.maxAttempts, handler.maxAttempts, application.maxAttempts, general),
      backoff: own.backoff ?? handler.backoff ?? application.backoff ?? node.backoff,
    };
  }

  #context(job: StoredJob): TransitionContext {
    const { node, clock, random } = this.#parts;
    const policy = (): RetryPolicy => this.policy(job);
    return { now: clock.now(), node, random, policy };
  }

  /** Whether its next attempt is to have the node to itself. */
  isLastChance(job: StoredJob): boolean {
    return job.crashes > 0 && isLastChance(job, this.#parts.settings.maxCrashes, this.policy(job));
  }

  timeout(job: StoredJob): number | undefined {
    const { options } = job;
    const { handlers, jobs } = this.#parts;
    const said = options.timeout ?? handlers.find(job.name)?.defaults.timeout;
    return said ?? options.defaults?.timeout ?? jobs.defaults.timeout;
  }

  /** Whether it runs in a worker thread; what the application's definition says of it does not count. */
  thread(job: StoredJob): boolean {
    return (
      job.options.thread ??
      this.#parts.handlers.find(job.name)?.defaults.thread ??
      this.#parts.jobs.defaults.thread ??
      false
    );
  }

  /** Who may say how a job is tried, the first word first: its enqueue, `@Job`, the application, the node's forRoot. */
  #said({ name, options }: StoredJob): Record<'own' | 'handler' | 'application' | 'node', JobDefaults> {
    const { handlers, jobs } = this.#parts;
    return {
      own: options,
      handler: handlers.find(name)?.defaults ?? NOTHING,
      application: options.defaults ?? NOTHING,
      node: jobs.defaults,
    };
  }

  /** Commits are no longer repeated after a storage failure. */
  stop(): void {
    this.#stopped = true;
    this.#commits.stop();
  }

  #commit(
    before: StoredJob,
    transition: Transition,
    settled: () => boolean,
    { remove = false, refused }: CommitHow = {},
  ): Promise<Completed | null> {
    const { job, feedback = null } = transition;
    // While the distributor may send the job again its feedback row also stands for "this id has ended here".
    const kept = feedback !== null && (isKept(feedback) || (feedback.final && !settled()));
    const row = kept ? { feedback } : NO_ROW;
    const write: JobWrite =
      transition.kind === 'end' && (remove || this.#removes(job))
        ? { kind: 'delete', id: job.id, fence: before.fence, ...row, ...this.#tombstone(job, settled()) }
        : { kind: 'save', id: job.id, fence: before.fence, change: changeOf(job), ...row };
    return this.#commits.write<Completed | null>(write, (result) => {
      if (typeof result === 'object' && refused && !this.#stopped) return refused(result.error);
      return accepted(result) ? { transition, feedback, kept } : null;
    });
  }

  #removes(job: StoredJob): boolean {
    const { removeSucceeded, removeCancelled, removeFailed } = this.#parts.jobs;
    if (job.status === 'succeeded') return removeSucceeded;
    return job.status === 'cancelled' ? removeCancelled : removeFailed;
  }

  /**
   * An outbox of its own remembers the id too, from the hand-over, and then takes another job by it: that one is not to be
   * taken for a repeat here. In a database that outbox and node share nobody else remembers it.
   */
  #tombstone({ givenId, enqueuedAt }: StoredJob, settled: boolean): { tombstoneUntil?: number } {
    if (!givenId) return {};
    const { clock, jobs, storage } = this.#parts;
    const now = clock.now();
    const until = (settled && !storage.peers ? enqueuedAt : now) + jobs.dedupRetention;
    return until > now ? { tombstoneUntil: until } : {};
  }
}

function accepted(result: WriteResult): boolean {
  if (typeof result === 'object') throw result.error;
  return result === 'done';
}

function firstDefined<T>(...values: (T | undefined)[]): T | undefined {
  return values.find((value) => value !== undefined);
}

function changeOf(job: StoredJob): JobChange {
  const { assignment, holder, fence, status, run, attempt, crashes, dueAt, args } = job;
  const { startedAt, failedAt, finishedAt, lastError, result } = job;
  return {
    assignment,
    holder,
    fence,
    status,
    run,
    attempt,
    crashes,
    dueAt,
    args,
    startedAt,
    failedAt,
    finishedAt,
    lastError,
    result,
  };
}
