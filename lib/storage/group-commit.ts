import { ChurningMap } from '../churning-map.js';
import type { Clock, ClockTimer } from '../clock.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { FeedbackRecord } from '../job/feedback-record.js';
import { CommitInDoubt } from './commit-in-doubt.js';
import type { JobStorage, JobWrite, WriteResult } from './job-storage.js';

export interface GroupCommitLimits {
  /** Writes in one commit; 1000 if not given. */
  maxWrites?: number;
  /** Characters of args, results and feedback in one commit; 4 Mi if not given. */
  maxSize?: number;
  /** Whether a write matters to its caller alone, and nothing follows from it in this process; none does if not given. */
  quiet?: (write: JobWrite) => boolean;
  /** Called before each commit: what its writes say may be completed now. */
  before?: () => void;
}

interface Entry {
  write: JobWrite;
  size: number;
  /** Entries of one writeMany share it, and one commit. */
  unit: number;
  quiet: boolean;
  /** The next write about the same job: it becomes ready when this one is through. */
  next: Entry | undefined;
  resolve(result: WriteResult): void;
  reject(error: unknown): void;
}

/**
 * Where the storage takes several commits at once, a second one is begun while one is in flight
 * - for a few writes at once: with so many in all nothing is short, and each is through sooner;
 * - else only for many: a commit costs more than its writes (64 jobs at once, on two cores with PostgreSQL beside them:
 *   14,100 a second in one commit after another, 11,500 in two at a time that are half as large);
 * - for any number where all of them are quiet: what the machine has to do is to commit, and while one half does its
 *   callers' next writes are made (64 at once: 29,000 a second in one commit after another, 36,000 in two at a time);
 * - and in any case when the one in flight takes long: it may wait for a row that somebody holds.
 */
const FEW = 32;
const MANY = 128;
/** Milliseconds. */
const LONG = 50;
/**
 * Where a commit holds up the event loop, what the one before it is answered with leaves first: it is put together at the
 * end of one tick, and written at the end of the next. Quiet writes are halved there as well, so that their callers go on
 * while the other half is committed (64 at once into SQLite: 25,000 a second and 32,000).
 */
const TICKS_OF_ANSWERS = 2;

/**
 * Gathers writes into commits: while as many are in flight as the storage gains from, everything that arrives waits and
 * goes into the next one. Writes about the same job stay in order, and are in no commit together but where the storage
 * keeps the order itself. A promise is settled strictly after its COMMIT.
 */
export class GroupCommit {
  /** How many commits and writes went to the storage so far. */
  commits = 0;
  writes = 0;
  /** Whether the last commit failed, or is in doubt. */
  failed = false;
  private ready: Entry[] = [];
  private readonly lastOfJob = new ChurningMap<string, Entry>();
  private scheduled = false;
  private answering = false;
  private inFlight = 0;
  private writesInFlight = 0;
  /** Of those that are ready or in flight: how many are not quiet. */
  private busy = 0;
  /** Looks whether a commit in flight takes long, while others wait for it. */
  private watch: ClockTimer | undefined;
  private isLong = false;
  private unit = 0;
  private waitingForIdle: (() => void)[] = [];
  private readonly maxWrites: number;
  private readonly maxSize: number;
  private readonly isQuiet: (write: JobWrite) => boolean;
  private readonly before: (() => void) | undefined;

  constructor(
    private readonly storage: JobStorage,
    private readonly clock: Clock,
    limits: GroupCommitLimits = {},
  ) {
    this.maxWrites = limits.maxWrites ?? 1000;
    this.maxSize = limits.maxSize ?? 4 * 1024 * 1024;
    this.isQuiet = limits.quiet ?? (() => false);
    this.before = limits.before;
  }

  /** @throws {JobReactorError} STORAGE when the commit this write was part of failed */
  write(write: JobWrite): Promise<WriteResult> {
    return this.add(write, ++this.unit);
  }

  /**
   * All of `writes` in one commit, whatever its size, save those that must wait for an earlier write about the same job.
   * @throws {JobReactorError} STORAGE when a commit that any of them was part of failed
   */
  writeMany(writes: readonly JobWrite[]): Promise<WriteResult[]> {
    const unit = ++this.unit;
    return Promise.all(writes.map((write) => this.add(write, unit)));
  }

  /** Resolves when nothing is queued or in flight. */
  idle(): Promise<void> {
    if (this.isIdle()) return Promise.resolve();
    return new Promise((resolve) => this.waitingForIdle.push(resolve));
  }

  private add(write: JobWrite, unit: number): Promise<WriteResult> {
    return new Promise((resolve, reject) => {
      const quiet = this.isQuiet(write);
      const entry: Entry = { write, size: sizeOf(write), unit, quiet, next: undefined, resolve, reject };
      const earlier = this.earlier(entry);
      if (earlier) earlier.next = entry;
      else this.isReady(entry);
      this.schedule();
    });
  }

  private isReady(entry: Entry): void {
    this.ready.push(entry);
    if (!entry.quiet) this.busy++;
  }

  /** The write that this one has to wait for, as it is about the same job. */
  private earlier(entry: Entry): Entry | undefined {
    const id = this.storage.inOrder ? undefined : jobOf(entry.write);
    if (id === undefined) return undefined;
    const earlier = this.lastOfJob.get(id);
    this.lastOfJob.set(id, entry);
    return earlier;
  }

  // Always at the end of the tick, also after a commit: those who waited for it write again in this very tick.
  private schedule(): void {
    if (this.scheduled || this.answering || this.ready.length === 0 || this.inFlight >= this.atOnce) return;
    if (!this.isWorth) return this.look();
    this.scheduled = true;
    this.clock.endOfTick(() => {
      this.scheduled = false;
      while (this.ready.length > 0 && this.inFlight < this.atOnce && this.isWorth) void this.commitNext();
      if (this.ready.length > 0) this.schedule();
    });
  }

  /** Lets the answers to a commit leave before the next one. */
  private answer(ticks = TICKS_OF_ANSWERS): void {
    this.answering = true;
    this.clock.endOfTick(() => {
      if (ticks > 1) return this.answer(ticks - 1);
      this.answering = false;
      this.schedule();
    });
  }

  /** Whether what is ready is to go beside what is in flight. */
  private get isWorth(): boolean {
    const { length } = this.ready;
    if (this.inFlight === 0 || length >= MANY || this.isLong) return true;
    return this.busy === 0 || this.writesInFlight + length <= FEW;
  }

  private look(): void {
    if (this.watch) return;
    const seen = this.commits;
    const ring = (): void => {
      this.watch = undefined;
      this.isLong = this.commits === seen;
      this.schedule();
    };
    this.watch = this.clock.after(LONG, ring, false);
  }

  private async commitNext(): Promise<void> {
    const group = this.takeGroup();
    this.inFlight++;
    this.writesInFlight += group.length;
    this.isLong = false;
    this.commits++;
    this.writes += group.length;
    try {
      this.before?.();
      const results = await this.storage.commit(group.map((entry) => entry.write));
      this.failed = false;
      group.forEach((entry, i) => entry.resolve(results[i] ?? { error: new Error('The storage gave no result.') }));
    } catch (error) {
      const failure = asStorageError(error);
      this.failed = true;
      for (const entry of group) entry.reject(failure);
    }
    this.inFlight--;
    this.writesInFlight -= group.length;
    for (const entry of group) this.release(entry);
    if (this.storage.commitsHere) this.answer();
    this.schedule();
    if (this.isIdle()) for (const resolve of this.waitingForIdle.splice(0)) resolve();
  }

  private takeGroup(): Entry[] {
    let size = 0;
    let end = 0;
    const maxWrites = Math.min(this.maxWrites, Math.ceil(this.ready.length / this.shares));
    while (end < this.ready.length) {
      const unitEnd = this.endOfUnit(end);
      let unitSize = 0;
      for (let i = end; i < unitEnd; i++) unitSize += this.ready[i]!.size;
      if (end > 0 && (unitEnd > maxWrites || size + unitSize > this.maxSize)) break;
      size += unitSize;
      end = unitEnd;
    }
    return this.ready.splice(0, end);
  }

  /** Over how many commits what is ready is spread. */
  private get shares(): number {
    const { length } = this.ready;
    if (this.busy === 0 && length > FEW && this.storage.commitsHere) return 2;
    return length >= 2 * MANY || (this.busy === 0 && length > FEW) ? this.atOnce - this.inFlight : 1;
  }

  private endOfUnit(start: number): number {
    const { unit } = this.ready[start]!;
    let end = start + 1;
    while (end < this.ready.length && this.ready[end]!.unit === unit) end++;
    return end;
  }

  private release(entry: Entry): void {
    if (!entry.quiet) this.busy--;
    if (entry.next) return this.isReady(entry.next);
    const id = this.storage.inOrder ? undefined : jobOf(entry.write);
    if (id !== undefined) this.lastOfJob.delete(id);
  }

  private get atOnce(): number {
    return this.storage.commitsAtOnce ?? 1;
  }

  private isIdle(): boolean {
    return this.inFlight === 0 && this.ready.length === 0;
  }
}

/** The job whose writes must stay in order; forgets are about feedback and may share a commit with anything. */
function jobOf(write: JobWrite): string | undefined {
  if (write.kind === 'forget-feedback') return undefined;
  if (write.kind === 'save-delivery') return write.jobId;
  return 'job' in write ? write.job.id : write.id;
}

function sizeOf(write: JobWrite): number {
  switch (write.kind) {
    case 'insert':
      return write.job.args.length;
    case 'save':
      return write.change.args.length + (write.change.result?.length ?? 0) + feedbackSize(write.feedback);
    case 'delete':
      return feedbackSize(write.feedback);
    default:
      return 0;
  }
}

const feedbackSize = (feedback: FeedbackRecord | undefined): number =>
  feedback ? feedback.args.length + (feedback.result?.length ?? 0) : 0;

/** A storage that does not say what has happened has said nothing. */
const asStorageError = (cause: unknown): JobReactorError =>
  cause instanceof JobReactorError ? cause : new CommitInDoubt('The storage failed to commit.', { cause });
