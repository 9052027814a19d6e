import type { Clock } from '../clock.js';
import type { Intake, NewJob } from '../job/job-gateway.js';
import type { JobListeners } from '../job/job-listeners.js';
import type { TransactionManager } from '../job/transaction-manager.js';
import { EnqueueUnknown, JobRejected } from '../job/job.errors.js';
import type { StoredJob } from '../job/job.js';
import type { WriteResult } from '../storage/job-storage.js';
import { AcceptanceCommits, type AcceptanceParts } from './acceptance-commits.js';
import { heldJob, outboxRow, type HeldJob } from './held-job.js';
import type { NodeRegistry } from './node-registry.js';
import type { Keyed } from './outbox.js';
import { JobSigning, type SigningParts } from './job-signing.js';
import { TickShare } from './tick-share.js';

export interface AcceptorParts extends SigningParts, AcceptanceParts {
  maxPending: number;
  listeners: JobListeners;
  clock: Clock;
  registry: Pick<NodeRegistry, 'size'>;
}

/** So many jobs that wait for a node in memory make the turn in which others are accepted one tick longer, */
const WAITING_PER_TICK = 128;
/** up to so many. */
const LONGEST_TURN = 16;

/** Takes jobs in: refuses what does not fit, knows repeats, and answers once the outbox has committed. */
export class JobAcceptor {
  readonly #parts: AcceptorParts;
  readonly #commits: AcceptanceCommits;
  readonly #signing: JobSigning;
  readonly #ticks: TickShare;

  constructor(parts: AcceptorParts) {
    this.#parts = parts;
    this.#commits = new AcceptanceCommits(parts);
    this.#signing = new JobSigning(parts);
    this.#ticks = new TickShare(parts.clock);
  }

  /** @throws {JobRejected | EnqueueUnknown} */
  accept(jobs: readonly NewJob[], submitter: string | null): Promise<Intake[]> {
    if (!this.#parts.outbox.durable) return this.#acceptInMemory(jobs, submitter);
    if (jobs.length === 1 && this.#fits(1)) return this.#acceptOne(jobs[0]!, submitter);
    return this.#acceptMany(jobs, submitter);
  }

  async #acceptMany(jobs: readonly NewJob[], submitter: string | null): Promise<Intake[]> {
    let fresh = this.#unknown(jobs);
    // One that may be there already is not refused: a refusal would say that it is not.
    if (!this.#fits(this.#notInDoubt(fresh))) {
      const known = await this.#knownBeyond(fresh);
      fresh = this.#unknown(jobs.filter(({ id }) => !known.has(id)));
      this.#refuseBeyondLimit(this.#notInDoubt(fresh));
    }
    const added = this.#commits.add(
      [...fresh.values()].map((job) => heldJob(this.#signing.sign(job, submitter, false))),
    );
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
    submitter: string | null = null,
  ): Promise<Intake[] | 'stale'> {
    const fresh = this.#unknown(jobs);
    this.#refuseBeyondLimit(fresh.size);
    const held = [...fresh.values()].map((job) => heldJob(this.#signing.sign(job, submitter)));
    let isStale = false;
    const write = async (): Promise<WriteResult[]> => {
      const results = await commit(held.map(outboxRow));
      isStale = results === 'stale';
      return results === 'stale' ? held.map(() => 'stale') : results;
    };
    // The commit has to be made for nothing new as well.
    const added =
      held.length > 0 ? this.#commits.add(held, write) : (await write(), new Map<string, Promise<WriteResult>>());
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
        const result = await (this.#commits.of(job.id) ?? added.get(job.id) ?? 'duplicate');
        return intakeOf(result, fresh.get(job.id) === job);
      }),
    );
  }

  /** One there is room for: the same with fewer promises. */
  async #acceptOne(job: NewJob, submitter: string | null): Promise<Intake[]> {
    const isFresh = isNew(job, submitter) || this.#isFresh(job);
    const adding = isFresh
      ? this.#commits.addOne(heldJob(this.#signing.sign(job, submitter, false)))
      : this.#commits.of(job.id);
    return [intakeOf(await (adding ?? 'duplicate'), isFresh)];
  }

  /** Here nothing has to be waited for, but the loop that enqueues must not be all that the process does. */
  async #acceptInMemory(jobs: readonly NewJob[], submitter: string | null): Promise<Intake[]> {
    const { held, choose } = this.#parts;
    if (!this.#fits(jobs.length)) this.#refuseBeyondLimit(this.#unknown(jobs).size);
    const answers = jobs.map((job): Intake => {
      if (!isNew(job, submitter) && !this.#isFresh(job)) return 'duplicate';
      const one = heldJob(this.#signing.sign(job, submitter, false));
      const node = choose(one);
      held.add(one);
      this.#commits.accept(one, node);
      return 'accepted';
    });
    const full = this.#ticks.took(jobs.length, this.#turn);
    if (full) await full;
    return answers;
  }

  /** Ticks. What waits for nodes that are there goes first: the longer the queue, the dearer is each job in it. */
  get #turn(): number {
    const { held, registry } = this.#parts;
    return registry.size === 0 ? 1 : Math.min(LONGEST_TURN, 1 + Math.floor(held.pending.size / WAITING_PER_TICK));
  }

  /**
   * Within a transaction of the caller's: the job is nobody's before that has committed, and gone if it rolls back.
   * @throws {JobRejected | JobReactorError}
   */
  async acceptWithin(jobs: readonly NewJob[], manager: TransactionManager, keyed?: Keyed): Promise<Intake[]> {
    const { outbox, listeners, held } = this.#parts;
    const fresh = this.#unknown(jobs);
    this.#refuseBeyondLimit(fresh.size);
    const added = [...fresh.values()].map((job) => heldJob(this.#signing.sign(job, null)));
    const hadEnded = new Set(added.flatMap(({ spec }) => (held.hasEnded(spec.id) ? [spec.id] : [])));
    const told = {
      committed: (job: HeldJob): void => this.#commits.found(job, hadEnded.has(job.spec.id)),
      rolledBack: (id: string): void => listeners.drop(id, 'its transaction was rolled back.'),
    };
    const results = await outbox.enlist(added, manager, told, keyed);
    const answers = new Map(added.map(({ spec }, i) => [spec.id, results[i]]));
    return jobs.map((job) => intakeOf(answers.get(job.id) ?? 'duplicate', fresh.get(job.id) === job));
  }

  /** True while it is not known whether the outbox has this job. */
  committing(id: string): boolean {
    return this.#commits.of(id) !== undefined;
  }

  /** Resolves when it is known of each of these whether the outbox has them. */
  settled(ids: readonly string[]): Promise<void> {
    return this.#commits.settled(ids);
  }

  /** Resolves when no enqueue waits for its commit any more. */
  idle(): Promise<void> {
    return this.#commits.idle();
  }

  /** By id; of several with one id the first. */
  #unknown(jobs: readonly NewJob[]): Map<string, NewJob> {
    const fresh = new Map<string, NewJob>();
    for (const job of jobs) if (!fresh.has(job.id) && this.#isFresh(job)) fresh.set(job.id, job);
    return fresh;
  }

  #notInDoubt(jobs: ReadonlyMap<string, NewJob>): number {
    if (!this.#commits.anyInDoubt) return jobs.size;
    return [...jobs.keys()].filter((id) => !this.#commits.inDoubt(id)).length;
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
}

/** Its id was made for this very call, so nobody has heard of it; a node may send the same enqueue twice. */
const isNew = ({ givenId }: NewJob, submitter: string | null): boolean => !givenId && submitter === null;

function intakeOf(result: WriteResult | { winner: string }, isFresh: boolean): Intake {
  if (typeof result === 'object' && 'winner' in result) return result;
  if (typeof result === 'object') throw new JobRejected('JOB_REJECTED', result.error.message, { cause: result.error });
  return result === 'done' && isFresh ? 'accepted' : 'duplicate';
}
