import { ChurningMap } from '../churning-map.js';
import { AsyncMoment, type AsyncContext } from './async-context.js';
import type { FeedbackRecord } from './feedback-record.js';

type Closure = (feedback: FeedbackRecord, activate: AsyncContext) => void | Promise<void>;

const asItIs: AsyncContext = (run) => run();

/** What one process wants to hear of one job: the closures of an enqueue and the promises of its handle. */
export class JobInterest {
  closures: Closure[] | null = null;
  waiting: { ended: (feedback: FeedbackRecord) => void; unavailable: (why: string) => void }[] | null = null;
  whenStored: (() => void)[] | null = null;
  progress: ((value: string) => void)[] | null = null;
  /** How many calls have registered it and not released it. */
  claims = 1;
  /** What is told of earlier runs is not for it. */
  fromRun = 1;
  isStored = false;
  /** Storage id of the node that it was sent to and that has stored it. */
  storedBy: string | null = null;
  /** That of the node that said last that it has it. */
  where: string | null = null;
  /** That of its enqueue, for the declared methods of this process. */
  moment: AsyncMoment | null = null;
  /** How it ended, for whoever asks his handle only later. Goes with the handle. */
  end: FeedbackRecord | null = null;
}

/**
 * The closures and promises of this process, by job id. An interest is registered before its job is sent, so that no
 * answer can come too early, and goes with the job's final feedback.
 */
export class JobListeners {
  readonly #interests = new ChurningMap<string, JobInterest>();
  /** Of jobs that take no memory while they wait: kept for only as long as their handles are. */
  readonly #resting = new Map<string, WeakRef<JobInterest>>();
  readonly #forgotten = new FinalizationRegistry<string>((id) => {
    if (this.#resting.get(id)?.deref() === undefined) this.#resting.delete(id);
  });
  /** Whether jobs of this name are told to methods of this process, which then run in the context of the enqueue. */
  keepsMoment: (name: string) => boolean = () => false;

  get size(): number {
    return this.#interests.size + this.#resting.size;
  }

  has(id: string): boolean {
    return this.#get(id) !== undefined;
  }

  /** Its job is to take no memory while it waits; nor does this, where nothing is listened for so far. */
  rest(id: string): void {
    const interest = this.#interests.get(id);
    if (!interest || interest.closures || interest.waiting || interest.whenStored) return;
    if (interest.progress || interest.moment) return;
    this.#interests.delete(id);
    this.#resting.set(id, new WeakRef(interest));
    this.#forgotten.register(interest, id);
  }

  /**
   * A repeat of an id shares what is there. `fromRun`: the first run that is of interest. `given`: false for an id that was
   * made just now, and can't be there.
   */
  register(id: string, fromRun = 1, given = true): { interest: JobInterest; isNew: boolean } {
    const known = given ? this.#awake(id) : undefined;
    if (known) {
      known.claims++;
      return { interest: known, isNew: false };
    }
    // Most handles are never asked anything, so an interest begins with no more than its own fields.
    const interest = new JobInterest();
    interest.fromRun = fromRun;
    this.#interests.set(id, interest);
    return { interest, isNew: true };
  }

  /** The closure runs in the AsyncLocalStorage of this call. */
  onFeedback(id: string, closure: (feedback: FeedbackRecord) => void | Promise<void>): void {
    const here = new AsyncMoment();
    const bound: Closure = (feedback, activate) => here.run(() => activate(() => closure(feedback)));
    (this.#interest(id).closures ??= []).push(bound);
  }

  onEnd(id: string, ended: (feedback: FeedbackRecord) => void, unavailable: (why: string) => void): void {
    (this.#interest(id).waiting ??= []).push({ ended, unavailable });
  }

  /** Called at once if the job is already stored. */
  onStored(id: string, stored: () => void): void {
    const interest = this.#interest(id);
    if (interest.isStored) stored();
    else (interest.whenStored ??= []).push(stored);
  }

  /** Returns what ends it. */
  onProgress(id: string, progress: (value: string) => void): () => void {
    const interest = this.#interest(id);
    (interest.progress ??= []).push(progress);
    return () => void (interest.progress = interest.progress?.filter((one) => one !== progress) ?? null);
  }

  momentOf(id: string): AsyncMoment | null {
    return this.#interests.get(id)?.moment ?? null;
  }

  /** True when code of this process is called with its feedback. */
  hasClosures(id: string): boolean {
    return this.#interests.get(id)?.closures != null;
  }

  /** True when somebody waits for the end of this job. */
  awaited(id: string): boolean {
    return this.#interests.get(id)?.waiting != null;
  }

  /** Those that somebody waits for, whose node has this storage. */
  awaitedAt(storage: string): string[] {
    return [...this.#interests].flatMap(([id, { where, waiting }]) => (waiting && where === storage ? id : []));
  }

  /** Storage id of the node that said last that it has the job; null: not known, or nobody here is interested. */
  where(id: string): string | null {
    return this.#get(id)?.where ?? null;
  }

  isAt(id: string, storage: string): void {
    const interest = this.#get(id);
    if (interest) interest.where = storage;
  }

  /** The node that was sent this job and has stored it; null: not known, or nobody here is interested. */
  storedBy(id: string): string | null {
    return this.#get(id)?.storedBy ?? null;
  }

  /** `by`: the storage id of the node, where that is certain. */
  stored(id: string, by: string | null = null): void {
    const interest = this.#get(id);
    if (!interest) return;
    if (by !== null) interest.storedBy = by;
    this.#isStored(interest);
  }

  #isStored(interest: JobInterest): void {
    if (interest.isStored) return;
    interest.isStored = true;
    const waiting = interest.whenStored ?? [];
    interest.whenStored = null;
    for (const stored of waiting) stored();
  }

  progress(id: string, value: string): void {
    for (const progress of this.#interests.get(id)?.progress ?? []) progress(value);
  }

  /**
   * The promises, and the closures one after another; null when there are none to wait for. Rejects with what a closure
   * threw, after the rest has run. `activate`: what closures run in beside their own context.
   */
  deliver(feedback: FeedbackRecord, activate = asItIs): Promise<void> | null {
    const interest = this.#get(feedback.jobId);
    if (!interest || feedback.job.run < interest.fromRun) return null;
    this.#isStored(interest);
    if (feedback.final) {
      this.#delete(feedback.jobId);
      interest.end = feedback;
      for (const { ended } of interest.waiting ?? []) ended(feedback);
    }
    return interest.closures && callAll(interest.closures, feedback, activate);
  }

  /** One of those who registered wants nothing of it after all; the others still may. */
  release(id: string, interest: JobInterest, why: string): void {
    if (--interest.claims === 0 && this.#get(id) === interest) this.drop(id, why);
  }

  /** The job was not accepted, or its result can no longer come. */
  drop(id: string, why: string): void {
    const interest = this.#get(id);
    this.#delete(id);
    for (const { unavailable } of interest?.waiting ?? []) unavailable(why);
  }

  #interest(id: string): JobInterest {
    return this.#awake(id) ?? this.register(id).interest;
  }

  #get(id: string): JobInterest | undefined {
    const interest = this.#interests.get(id);
    return interest !== undefined || this.#resting.size === 0 ? interest : this.#resting.get(id)?.deref();
  }

  /** The same, to be kept from now on. */
  #awake(id: string): JobInterest | undefined {
    const interest = this.#get(id);
    if (interest && this.#resting.delete(id)) this.#interests.set(id, interest);
    return interest;
  }

  #delete(id: string): void {
    this.#interests.delete(id);
    if (this.#resting.size > 0) this.#resting.delete(id);
  }
}

async function callAll(closures: readonly Closure[], feedback: FeedbackRecord, activate: AsyncContext): Promise<void> {
  const errors: unknown[] = [];
  for (const closure of closures) {
    try {
      await closure(feedback, activate);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}
