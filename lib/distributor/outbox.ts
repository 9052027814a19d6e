import type { Clock } from '../clock.js';
import { isKept, type FeedbackRecord } from '../job/feedback-record.js';
import type { StoredJob } from '../job/job.js';
import type { Pause } from '../job/pause-book.js';
import type { EmitEvent } from '../job-reactor.events.js';
import { FeedbacksInMemory, StoredFeedbacks, type FeedbackRows } from '../storage/feedback-rows.js';
import { GroupCommit } from '../storage/group-commit.js';
import { InsistentCommit } from '../storage/insistent-commit.js';
import type { JobPage, JobStorage, JobWrite, ScheduleRows, StorageOwner, WriteResult } from '../storage/job-storage.js';
import { claimOf, type EnlistedKeys, type KeyRows } from '../storage/key-rows.js';
import { MemoryKeys } from '../storage/memory-keys.js';
import { MemorySchedules } from '../storage/memory-schedules.js';
import { storageHealth, type StorageHealth } from '../storage/storage-health.js';
import { StorageOpening } from '../storage/storage-opening.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { TransactionManager } from '../job/transaction-manager.js';
import { EnlistedJobs, type Enlisted } from './enlisted-jobs.js';
import { fromOutboxRow, outboxRow, type HeldJob } from './held-job.js';
import { RowSeals, type Seal } from './row-seals.js';

/** Rows of one page, and about so many characters of args. */
const PAGE = 250;
const PAGE_LENGTH = 2 ** 20;

/** What became of a job that was enqueued in a transaction. */
type Told = Omit<Enlisted, 'state'>;

/** How jobs with keys come into a transaction of the caller's. */
export interface Keyed {
  enlist: NonNullable<KeyRows['enlist']>;
  now: number;
}

/** Which rows are looked at. */
export interface ListedJobs {
  name: string | undefined;
  group: string | undefined;
  after: string | null;
  limit: number;
}

export interface OutboxParts {
  distributor: string;
  instance: string;
  /** Null: jobs that no node has stored live in memory alone. */
  storage: JobStorage | null;
  dedupRetention: number;
  clock: Clock;
  emit: EmitEvent;
  /** How many nodes are connected. */
  nodes: () => number;
  seal: Seal;
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
  readonly #opening: StorageOpening | null;
  readonly #insistent: InsistentCommit | null;
  readonly #enlisted: EnlistedJobs;
  readonly #seals: RowSeals;
  readonly #schedules = new MemorySchedules(() => 'done');
  readonly #keys = new MemoryKeys(() => 'done');

  constructor(parts: OutboxParts) {
    this.#parts = parts;
    const read = async (ids: readonly string[]): Promise<HeldJob[]> =>
      ((await parts.storage?.get(ids)) ?? []).map(fromOutboxRow);
    this.#enlisted = new EnlistedJobs({ clock: parts.clock, read });
    const { storage, distributor, instance, clock, emit } = parts;
    this.#seals = new RowSeals(parts.seal);
    // Callers in this process gain nothing from a half that is through sooner, where they can't go on meanwhile.
    const quiet = ({ kind }: JobWrite): boolean => kind === 'insert' && parts.nodes() === 0 && !storage?.commitsHere;
    this.#commit = storage && new GroupCommit(storage, clock, { quiet, before: () => this.#seals.close() });
    const role = `distributor ${distributor}`;
    const owner: StorageOwner = { role: 'outbox', name: distributor, instance };
    this.#opening = storage && new StorageOpening({ storage, owner, role, clock, emit });
    const failed = (error: unknown): void => emit({ event: 'storage failed', role, error });
    this.#insistent = this.#commit && new InsistentCommit(this.#commit, clock, failed);
    this.feedbacks = parts.storage
      ? new StoredFeedbacks(parts.storage, (write) => this.#persist(write))
      : this.#unheard;
  }

  /** Known once it is open; null where the application's own storage keeps none. */
  get schedules(): ScheduleRows | null {
    const { storage } = this.#parts;
    return storage ? (storage.schedules ?? null) : this.#schedules;
  }

  /** Known once it is open; null where the application's own storage keeps none. */
  get keys(): KeyRows | null {
    const { storage } = this.#parts;
    return storage ? (storage.keys ?? null) : this.#keys;
  }

  get durable(): boolean {
    return this.#commit !== null;
  }

  get health(): StorageHealth {
    return storageHealth(this.#parts.storage?.durable ?? false, this.#commit, this.#opening);
  }

  /** Returns the storage id, null for memory. @throws STORAGE */
  async open(): Promise<string | null> {
    return this.#opening ? (await this.#opening.open()).id : null;
  }

  /** The jobs an earlier process left, page by page: there may be more than should be in memory at once. @throws STORAGE */
  async *left(): AsyncIterable<HeldJob[]> {
    const { storage } = this.#parts;
    if (!storage || !this.#opening) return;
    // How large they are is not known before the first have been read.
    for (let [after, limit]: [JobPage['after'], number] = [null, PAGE / 10]; ;) {
      const page: StoredJob[] = await this.#opening.read(() => storage.unfinished({ after, limit }));
      yield page.map(fromOutboxRow);
      const last = page.at(-1);
      if (!last || page.length < limit) return;
      const length = page.reduce((sum, { args }) => sum + args.length, 0);
      limit = Math.ceil(PAGE * Math.min(1, (PAGE_LENGTH * page.length) / (length * PAGE + 1)));
      after = { dueAt: last.dueAt, id: last.id };
    }
  }

  /** What an earlier process, or another one, kept of pauses. @throws STORAGE */
  async pauses(): Promise<Pause[]> {
    const rows = this.#parts.storage?.pauses;
    return rows && this.#opening ? this.#opening.read(() => rows.list()) : [];
  }

  /** @throws STORAGE */
  async keepPauses(words: readonly Pause[]): Promise<void> {
    await this.#parts.storage?.pauses?.put(words);
  }

  /** @throws STORAGE */
  async rows(ids: readonly string[]): Promise<StoredJob[]> {
    return (await this.#parts.storage?.get(ids)) ?? [];
  }

  /** In id order. @throws STORAGE */
  async list({ name, after, limit }: Omit<ListedJobs, 'group'>): Promise<StoredJob[]> {
    const only = { ...(name === undefined ? {} : { name }), ...(after === null ? {} : { after }) };
    return (await this.#parts.storage?.list({ ...only, limit })) ?? [];
  }

  /** What has to be read however long the storage is away. @throws STORAGE once it is being closed */
  insist(read: (storage: JobStorage) => Promise<StoredJob[]>): Promise<StoredJob[]> {
    const { storage } = this.#parts;
    return storage && this.#insistent ? this.#insistent.read(() => read(storage)) : Promise.resolve([]);
  }

  /** What has to be done however long the storage is away. @throws STORAGE once it is being closed */
  insistOn<T>(work: () => Promise<T>): Promise<T> {
    return this.#insistent ? this.#insistent.read(work) : work();
  }

  /** Whether it is not known yet if a transaction with this job has committed. */
  looksFor(id: string): boolean {
    return this.#enlisted.has(id);
  }

  /** True when the id was given by a caller and its job has come and gone. */
  remembers(id: string): boolean {
    const until = this.#tombstones.get(id);
    return until !== undefined && until > this.#parts.clock.now();
  }

  /** One commit for all of them. Rejects when it is not known whether they are there. */
  async add(jobs: readonly HeldJob[]): Promise<WriteResult[]> {
    if (!this.#commit) return jobs.map(() => 'done');
    return this.#commit.writeMany(jobs.map((job) => this.#seals.insert(job)));
  }

  addOne(job: HeldJob): Promise<WriteResult> {
    return this.#commit?.write(this.#seals.insert(job)) ?? Promise.resolve('done');
  }

  /**
   * Within a transaction of the caller's. What `enlisted` is told comes later, when that has ended.
   * @throws {JobReactorError} INVALID_JOB
   */
  async enlist(
    jobs: readonly HeldJob[],
    manager: TransactionManager,
    told: Told,
    keyed?: Keyed,
  ): Promise<(WriteResult | { winner: string })[]> {
    const { storage } = this.#parts;
    if (!storage?.enlist) {
      const where = storage ? 'This outbox' : 'An outbox in memory';
      const why = `${where} can not be part of your transaction. Keep \`distributor.outbox\` in the PostgreSQL, MySQL or MariaDB the transaction is in.`;
      throw new JobReactorError('INVALID_JOB', why);
    }
    let changed: () => void = () => undefined;
    const rows = jobs.map(outboxRow);
    const wake = (): void => changed();
    const enlisted = keyed
      ? await keyed.enlist(manager, rows.flatMap(claimOf), rows, keyed.now, wake)
      : await storage.enlist(manager, rows, wake);
    const { results, state } = enlisted;
    const winners = 'winners' in enlisted ? (enlisted as EnlistedKeys).winners : [];
    const ids = jobs.flatMap(({ spec }, i) => (results[i] === 'done' ? [spec.id] : []));
    if (ids.length > 0) changed = this.#enlisted.watch(ids, { ...told, state });
    return results.map((result, i) => (winners[i] ? { winner: winners[i] } : result));
  }

  /** Whether a job is there after all, whose commit gave no answer: one of the two is called. */
  lookFor(id: string, found: (job: HeldJob) => void, missing: () => void): void {
    this.#enlisted.watch([id], { state: () => 'unknown', committed: found, rolledBack: missing });
  }

  /** Whether its row is there, and this outbox's. */
  async holds(id: string): Promise<boolean> {
    const rows = await this.#insistent?.read(() => this.#parts.storage!.get([id]));
    return rows?.length === 1;
  }

  /** Writes down which node it goes to, before it goes there. False when it is no longer this outbox's. */
  async assign(job: HeldJob): Promise<boolean> {
    if (!this.#commit) return true;
    const { fence } = job;
    job.fence++;
    return (await this.#persist({ kind: 'save', id: job.spec.id, fence, change: outboxRow(job) })) !== 'stale';
  }

  /**
   * Whether the word of an end is kept until it was told. Where nodes may take the rows, always: it says who ended the job,
   * should the commit of its end give no answer.
   */
  keeps(ended: FeedbackRecord): boolean {
    return isKept(ended) || this.#parts.storage?.peers !== undefined;
  }

  /**
   * A node has stored it, or it has ended; `ended` is the word of that, when it is to be heard whatever happens. Null when
   * there is nothing to wait for.
   */
  remove(job: HeldJob, ended?: FeedbackRecord): Promise<WriteResult> | null {
    const { dedupRetention, clock } = this.#parts;
    const until = job.spec.givenId ? clock.now() + dedupRetention : undefined;
    const feedback = ended && this.keeps(ended) ? ended : undefined;
    if (!this.#commit) {
      if (feedback) this.#unheard.add(feedback);
      this.#remember(job.spec.id, until);
      return null;
    }
    const removing = this.#persist({
      kind: 'delete',
      id: job.spec.id,
      fence: job.fence,
      ...(until ? { tombstoneUntil: until } : {}),
      ...(feedback ? { feedback } : {}),
    });
    return feedback ? removing.then((result) => (result === 'stale' ? this.#hasEnded(feedback) : result)) : removing;
  }

  async close(): Promise<void> {
    this.#opening?.stop();
    this.#insistent?.stop();
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

  /** Too late, unless it was done by a commit that gave no answer: then the word of it is there. */
  async #hasEnded({ id }: FeedbackRecord): Promise<WriteResult> {
    const kept = await this.insistOn(() => this.feedbacks.get([id]));
    return kept.length > 0 ? 'done' : 'stale';
  }

  #persist(write: JobWrite): Promise<WriteResult> {
    return this.#insistent!.write(write);
  }
}
