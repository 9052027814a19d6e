import type { Clock } from '../clock.js';
import type { Intake, NewJob } from '../job/job-gateway.js';
import type { JobListeners } from '../job/job-listeners.js';
import type { TransactionManager } from '../job/transaction-manager.js';
import { EnqueueUnknown, JobRejected } from '../job/job.errors.js';
import type { StoredJob } from '../job/job.js';
import { CommitInDoubt } from '../storage/commit-in-doubt.js';
import type { WriteResult } from '../storage/job-storage.js';
import type { ConnectedNode } from './connected-node.js';
import { heldJob, outboxRow, type HeldJob } from './held-job.js';
import type { HeldJobs } from './held-jobs.js';
import { JobSigning, type SigningParts } from './job-signing.js';
import type { Outbox } from './outbox.js';
import { TickShare } from './tick-share.js';

export interface AcceptorParts extends SigningParts {
  maxPending: number;
  held: HeldJobs;
  outbox: Outbox;
  listeners: JobListeners;
  /** A node that takes the job now; its credit is spent. */
  choose: (job: HeldJob) => ConnectedNode | null;
  /** A new job has the id of one that has ended, and whose id is free again. */
  reused: (id: string) => void;
  /** The job is here for good: it goes to the chosen node, or waits for one. */
  accepted: (job: HeldJob, node: ConnectedNode | null) => void;
  clock: Clock;
}

/** Takes jobs in: refuses what does not fit, knows repeats, and answers once the outbox has committed. */
export class JobAcceptor {
  readonly #parts: AcceptorParts;
  readonly #committing = new Map<string, Promise<WriteResult>>();
  /** Those whose commit gave no answer, until it is known what became of it. */
  readonly #inDoubt = new Set<string>();
  readonly #signing: JobSigning;
  readonly #ticks: TickShare;

  constructor(parts: AcceptorParts) {
    this.#parts = parts;
    this.#signing = new JobSigning(parts);
    this.#ticks = new TickShare(parts.clock);
  }

  /** @throws {JobRejected | EnqueueUnknown} */
  async accept(jobs: readonly NewJob[], submitter: string | null): Promise<Intake[]> {
    if (!this.#parts.outbox.durable) return this.#acceptInMemory(jobs, submitter);
    if (jobs.length === 1 && this.#fits(1)) return [await this.#acceptOne(jobs[0]!, submitter)];
    let fresh = this.#unknown(jobs);
    // One that may be there already is not refused: a refusal would say that it is not.
    if (!this.#fits(this.#notInDoubt(fresh))) {
      const known = await this.#knownBeyond(fresh);
      fresh = this.#unknown(jobs.filter(({ id }) => !known.has(id)));
      this.#refuseBeyondLimit(this.#notInDoubt(fresh));
    }
    const added = this.#add([...fresh.values()].map((job) => heldJob(this.#signing.sign(job, submitter))));
    return this.#answers(jobs, fresh, added);
  }

  /**
   * By a commit that is more than theirs, which inserts those that are new; `stale`: it wrote nothing, and they are not
   * accepted.
   * @throws {JobRejected | EnqueueUnknown}
   */
  async acceptWith(
    jobs: readonly NewJob[],
    commit: (rows: StoredJob[]) => Promise<WriteResult[] | 'stale'>,
  ): Promise<Intake[] | 'stale'> {
    const fresh = this.#unknown(jobs);
    this.#refuseBeyondLimit(fresh.size);
    const held = [...fresh.values()].map((job) => heldJob(this.#signing.sign(job, null)));
    let isStale = false;
    const write = async (): Promise<WriteResult[]> => {
      const results = await commit(held.map(outboxRow));
      isStale = results === 'stale';
      return results === 'stale' ? held.map(() => 'stale') : results;
    };
    // The commit has to be made for nothing new as well.
    const added = held.length > 0 ? this.#add(held, write) : (await write(), new Map<string, Promise<WriteResult>>());
    const answers = await this.#answers(jobs, fresh, added);
    return isStale ? 'stale' : answers;
  }

  #answers(
    jobs: readonly NewJob[],
    fresh: ReadonlyMap<string, NewJob>,
    added: ReadonlyMap<string, Promise<WriteResult>>,
  ): Promise<Intake[]> {
    return Promise.all(
      jobs.map(async (job) => {
        const result = await (this.#committing.get(job.id) ?? added.get(job.id) ?? 'duplicate');
        return intakeOf(result, fresh.get(job.id) === job);
      }),
    );
  }

  /** One there is room for: the same with fewer promises. */
  async #acceptOne(job: NewJob, submitter: string | null): Promise<Intake> {
    const isFresh = this.#isFresh(job);
    const adding = isFresh ? this.#addOne(heldJob(this.#signing.sign(job, submitter))) : this.#committing.get(job.id);
    return intakeOf(await (adding ?? 'duplicate'), isFresh);
  }

  /** Here nothing has to be waited for, but the loop that enqueues must not be all that the process does. */
  async #acceptInMemory(jobs: readonly NewJob[], submitter: string | null): Promise<Intake[]> {
    const { held, choose } = this.#parts;
    this.#refuseBeyondLimit(jobs.length === 1 ? Number(this.#isFresh(jobs[0]!)) : this.#unknown(jobs).size);
    const answers = jobs.map((job): Intake => {
      if (!this.#isFresh(job)) return 'duplicate';
      const one = heldJob(this.#signing.sign(job, submitter));
      const node = choose(one);
      held.add(one);
      this.#accepted(one, node);
      return 'accepted';
    });
    const full = this.#ticks.took(jobs.length);
    if (full) await full;
    return answers;
  }

  /**
   * Within a transaction of the caller's: the job is nobody's before that has committed, and gone if it rolls back.
   * @throws {JobRejected | JobReactorError}
   */
  async acceptWithin(jobs: readonly NewJob[], manager: TransactionManager): Promise<Intake[]> {
    const { outbox, listeners } = this.#parts;
    const fresh = this.#unknown(jobs);
    this.#refuseBeyondLimit(fresh.size);
    const added = [...fresh.values()].map((job) => heldJob(this.#signing.sign(job, null)));
    const hadEnded = this.#ended(added);
    const results = await outbox.enlist(added, manager, {
      committed: (job) => this.#found(job, hadEnded.has(job.spec.id)),
      rolledBack: (id) => listeners.drop(id, 'its transaction was rolled back.'),
    });
    const answers = new Map(added.map(({ spec }, i) => [spec.id, results[i]]));
    return jobs.map((job) => intakeOf(answers.get(job.id) ?? 'duplicate', fresh.get(job.id) === job));
  }

  /** True while it is not known whether the outbox has this job. */
  committing(id: string): boolean {
    return this.#committing.has(id);
  }

  /** Resolves when it is known of each of these whether the outbox has them. */
  async settled(ids: readonly string[]): Promise<void> {
    const open = ids.flatMap((id) => this.#committing.get(id) ?? []);
    if (open.length > 0) await Promise.allSettled(open);
  }

  /** Resolves when no enqueue waits for its commit any more. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#committing.values());
  }

  /** By id; of several with one id the first. */
  #unknown(jobs: readonly NewJob[]): Map<string, NewJob> {
    const fresh = new Map<string, NewJob>();
    for (const job of jobs) if (!fresh.has(job.id) && this.#isFresh(job)) fresh.set(job.id, job);
    return fresh;
  }

  #notInDoubt(jobs: ReadonlyMap<string, NewJob>): number {
    if (this.#inDoubt.size === 0) return jobs.size;
    return [...jobs.keys()].filter((id) => !this.#inDoubt.has(id)).length;
  }

  /** Ids that callers gave whose jobs are there, no more than an id in memory. @throws {EnqueueUnknown} */
  async #knownBeyond(jobs: ReadonlyMap<string, NewJob>): Promise<Set<string>> {
    const { held, outbox } = this.#parts;
    const given = [...jobs.values()].flatMap(({ id, givenId }) => (givenId ? [id] : []));
    if (given.length === 0 || held.pending.beyond === 0) return new Set();
    try {
      return new Set((await outbox.rows(given)).map(({ id }) => id));
    } catch (cause) {
      throw new EnqueueUnknown(given[0]!, { cause });
    }
  }

  #isFresh({ id }: NewJob): boolean {
    return !this.#parts.held.get(id) && !this.#parts.outbox.remembers(id);
  }

  #fits(more: number): boolean {
    const { held, maxPending } = this.#parts;
    return more === 0 || held.unconfirmed + more <= maxPending;
  }

  #refuseBeyondLimit(more: number): void {
    const { held, maxPending } = this.#parts;
    if (this.#fits(more)) return;
    const why = `${held.unconfirmed} jobs wait for a node and maxPending is ${maxPending}`;
    throw new JobRejected(
      'BACKLOG_FULL',
      `${why}: start more nodes, enqueue later, or raise \`distributor.maxPending\`.`,
    );
  }

  /** A node is chosen first, so that one commit says both that the job is here and where it goes. */
  #add(
    jobs: HeldJob[],
    write = (): Promise<WriteResult[]> => this.#parts.outbox.add(jobs),
  ): Map<string, Promise<WriteResult>> {
    const { held } = this.#parts;
    const chosen = jobs.map((job) => {
      const node = this.#parts.choose(job);
      held.add(job);
      return node;
    });
    const commit = write();
    const result = (index: number): Promise<WriteResult> => commit.then((results) => results[index]!);
    return new Map(jobs.map((job, index) => [job.spec.id, this.#committed(job, chosen[index] ?? null, result(index))]));
  }

  #addOne(job: HeldJob): Promise<WriteResult> {
    const node = this.#parts.choose(job);
    this.#parts.held.add(job);
    return this.#committed(job, node, this.#parts.outbox.addOne(job));
  }

  #committed(job: HeldJob, node: ConnectedNode | null, commit: Promise<WriteResult>): Promise<WriteResult> {
    const { id } = job.spec;
    const hadEnded = this.#parts.held.hasEnded(id);
    const result = commit.then(
      (answer) => this.#answered(job, node, answer),
      (cause: unknown) => {
        this.#takeBack(job, node);
        // That this one surely failed says nothing of an earlier one with its id.
        if (this.#inDoubt.has(id)) throw new EnqueueUnknown(id, { cause });
        if (!(cause instanceof CommitInDoubt)) throw notCommitted(cause);
        // It may be there all the same, and then it is to run: once, whether it is asked for again by its id or not.
        const remembered = (job: HeldJob): HeldJob => ({
          ...job,
          spec: { ...job.spec, givenId: true },
          asStored: job.spec.givenId,
        });
        const found = (job: HeldJob): void => this.#found(remembered(job), hadEnded);
        this.#inDoubt.add(id);
        this.#parts.outbox.lookFor(id, found, () => this.#inDoubt.delete(id));
        throw new EnqueueUnknown(id, { cause });
      },
    );
    this.#committing.set(id, result);
    const known = (): void => {
      // Once it waits beyond the window a repeat of it may be on its way already.
      if (this.#committing.get(id) === result) this.#committing.delete(id);
    };
    result.then(known, known);
    return result;
  }

  /** In the outbox, by a connection that saw it there. `reuses`: a job with its id had ended before it was enqueued. */
  #found(job: HeldJob, reuses: boolean): void {
    const { held } = this.#parts;
    const { id } = job.spec;
    const committing = this.#committing.get(id);
    // A repeat of it is on its way, and has the job if it gets there.
    if (committing) return void committing.catch(() => undefined).then(() => this.#found(job, reuses));
    this.#inDoubt.delete(id);
    if (held.get(id) || (held.hasEnded(id) && !reuses)) return;
    held.add(job);
    this.#accepted(job, null);
  }

  #accepted(job: HeldJob, node: ConnectedNode | null): void {
    const { held, reused, accepted } = this.#parts;
    if (held.hasEnded(job.spec.id)) reused(job.spec.id);
    accepted(job, node);
  }

  #ended(jobs: readonly HeldJob[]): Set<string> {
    return new Set(jobs.flatMap(({ spec }) => (this.#parts.held.hasEnded(spec.id) ? [spec.id] : [])));
  }

  #answered(job: HeldJob, node: ConnectedNode | null, result: WriteResult): WriteResult {
    if (result === 'done') this.#accepted(job, node);
    else this.#takeBack(job, node);
    return result;
  }

  #takeBack(job: HeldJob, node: ConnectedNode | null): void {
    node?.giveBack(job.spec);
    this.#parts.held.takeBack(job);
  }
}

function notCommitted(cause: unknown): JobRejected {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new JobRejected('STORAGE', `The job was not enqueued. ${why}`, { cause });
}

function intakeOf(result: WriteResult, isFresh: boolean): Intake {
  if (typeof result === 'object') throw new JobRejected('JOB_REJECTED', result.error.message, { cause: result.error });
  return result === 'done' && isFresh ? 'accepted' : 'duplicate';
}
