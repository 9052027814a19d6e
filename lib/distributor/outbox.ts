import type { Clock } from '../clock.js';
import type { FeedbackRecord } from '../job/job.js';
import type { EmitEvent } from '../job-reactor.events.js';
import { FeedbacksInMemory, StoredFeedbacks, type FeedbackRows } from '../storage/feedback-rows.js';
import { GroupCommit } from '../storage/group-commit.js';
import type { JobStorage, JobWrite, WriteResult } from '../storage/job-storage.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { TransactionManager } from '../job/transaction-manager.js';
import { EnlistedJobs, type Enlisted } from './enlisted-jobs.js';
import { fromOutboxRow, outboxRow, type HeldJob } from './held-job.js';

const PAGE = 1_000;
const FIRST_RETRY = 100;
const LONGEST_RETRY = 5_000;

/** What became of a job that was enqueued in a transaction. */
type Told = Omit<Enlisted, 'state'>;

export interface OutboxParts {
  distributor: string;
  instance: string;
  /** Null: jobs that no node has stored live in memory alone. */
  storage: JobStorage | null;
  dedupRetention: number;
  clock: Clock;
  emit: EmitEvent;
}

/** Where jobs live until a node has stored them. Without a storage every answer is immediate. */
export class Outbox {
  readonly #parts: OutboxParts;
  /** The ends of jobs that came to their end while they waited, until they are heard. */
  readonly feedbacks: FeedbackRows;
  readonly #commit: GroupCommit | null;
  readonly #unheard = new FeedbacksInMemory();
  /** Ids given by callers, while there is no storage to keep them; in the order in which they expire. */
  readonly #tombstones = new Map<string, number>();
  readonly #enlisted: EnlistedJobs;
  #stopped = false;

  constructor(parts: OutboxParts) {
    this.#parts = parts;
    const read = async (ids: readonly string[]): Promise<HeldJob[]> =>
      ((await parts.storage?.get(ids)) ?? []).map(fromOutboxRow);
    this.#enlisted = new EnlistedJobs({ clock: parts.clock, read });
    this.#commit = parts.storage && new GroupCommit(parts.storage, parts.clock);
    this.feedbacks = parts.storage
      ? new StoredFeedbacks(parts.storage, (write) => this.#persist(write))
      : this.#unheard;
  }

  get durable(): boolean {
    return this.#commit !== null;
  }

  /** Returns the storage id (null for memory) and the jobs an earlier process left. @throws STORAGE */
  async open(): Promise<{ id: string | null; left: HeldJob[] }> {
    const { storage, distributor, instance } = this.#parts;
    if (!storage) return { id: null, left: [] };
    const { id } = await storage.open({ role: 'outbox', name: distributor, instance });
    return { id, left: await this.#left(storage) };
  }

  /** True when the id was given by a caller and its job has come and gone. */
  remembers(id: string): boolean {
    const until = this.#tombstones.get(id);
    return until !== undefined && until > this.#parts.clock.now();
  }

  /** One commit for all of them. Rejects when it is not known whether they are there. */
  async add(jobs: readonly HeldJob[]): Promise<WriteResult[]> {
    if (!this.#commit) return jobs.map(() => 'done');
    return this.#commit.writeMany(jobs.map((job) => ({ kind: 'insert', job: outboxRow(job) })));
  }

  /**
   * Within a transaction of the caller's. What `enlisted` is told comes later, when that has ended.
   * @throws {JobReactorError} INVALID_JOB
   */
  async enlist(jobs: readonly HeldJob[], manager: TransactionManager, told: Told): Promise<WriteResult[]> {
    const { storage } = this.#parts;
    if (!storage?.enlist) {
      const where = storage ? 'This outbox' : 'An outbox in memory';
      const why = `${where} can not be part of your transaction. Keep \`distributor.outbox\` in the PostgreSQL, MySQL or MariaDB the transaction is in.`;
      throw new JobReactorError('INVALID_JOB', why);
    }
    let changed: () => void = () => undefined;
    const { results, state } = await storage.enlist(manager, jobs.map(outboxRow), () => changed());
    const ids = jobs.flatMap(({ spec }, i) => (results[i] === 'done' ? [spec.id] : []));
    if (ids.length > 0) changed = this.#enlisted.watch(ids, { ...told, state });
    return results;
  }

  /** Writes down which node it goes to, before it goes there. False when it is no longer this outbox's. */
  async assign(job: HeldJob): Promise<boolean> {
    if (!this.#commit) return true;
    const { fence } = job;
    job.fence++;
    return (await this.#persist({ kind: 'save', id: job.spec.id, fence, change: outboxRow(job) })) !== 'stale';
  }

  /**
   * A node has stored it, or it has ended; `ended` is the word of that, when it is to be heard whatever happens. Null when
   * there is nothing to wait for.
   */
  remove(job: HeldJob, ended?: FeedbackRecord): Promise<unknown> | null {
    const { dedupRetention, clock } = this.#parts;
    const until = job.spec.givenId ? clock.now() + dedupRetention : undefined;
    const feedback = ended && ended.listeners !== 'none' ? ended : undefined;
    if (!this.#commit) {
      if (feedback) this.#unheard.add(feedback);
      this.#remember(job.spec.id, until);
      return null;
    }
    return this.#persist({
      kind: 'delete',
      id: job.spec.id,
      fence: job.fence,
      ...(until ? { tombstoneUntil: until } : {}),
      ...(feedback ? { feedback } : {}),
    });
  }

  async close(): Promise<void> {
    this.#stopped = true;
    this.#enlisted.stop();
    await this.#commit?.idle();
    await this.#parts.storage?.close();
  }

  #remember(id: string, until: number | undefined): void {
    if (until === undefined) return;
    for (const [old, expires] of this.#tombstones) {
      if (expires > this.#parts.clock.now()) break;
      this.#tombstones.delete(old);
    }
    this.#tombstones.set(id, until);
  }

  async #left(storage: JobStorage): Promise<HeldJob[]> {
    const left: HeldJob[] = [];
    for (let after: { dueAt: number; id: string } | null = null; ;) {
      const page = await storage.unfinished({ after, limit: PAGE });
      left.push(...page.map(fromOutboxRow));
      const last = page.at(-1);
      if (!last || page.length < PAGE) return left;
      after = { dueAt: last.dueAt, id: last.id };
    }
  }

  async #persist(write: JobWrite): Promise<WriteResult> {
    for (let wait = FIRST_RETRY; ; wait = Math.min(wait * 2, LONGEST_RETRY)) {
      try {
        return await this.#commit!.write(write);
      } catch (error) {
        this.#parts.emit({ event: 'storage failed', role: `distributor ${this.#parts.distributor}`, error });
        if (this.#stopped) throw error;
        await new Promise<void>((resolve) => void this.#parts.clock.after(wait, resolve));
      }
    }
  }
}
