import { ChurningMap } from '../churning-map.js';
import { EnqueueUnknown, JobRejected } from '../job/job.errors.js';
import { CommitInDoubt } from '../storage/commit-in-doubt.js';
import type { WriteResult } from '../storage/job-storage.js';
import type { ConnectedNode } from './connected-node.js';
import type { HeldJob } from './held-job.js';
import type { HeldJobs } from './held-jobs.js';
import type { Outbox } from './outbox.js';

export interface AcceptanceParts {
  held: HeldJobs;
  outbox: Outbox;
  /** A node that takes the job now; its credit is spent. */
  choose: (job: HeldJob) => ConnectedNode | null;
  /** A new job has the id of one that has ended, and whose id is free again. */
  reused: (id: string) => void;
  /** The job is here for good: it goes to the chosen node, or waits for one. */
  accepted: (job: HeldJob, node: ConnectedNode | null) => void;
}

/**
 * The commits by which jobs come to be here. What is not known of one, as it gave no answer, is found out: the job may be
 * there all the same, and then it is to run.
 */
export class AcceptanceCommits {
  readonly #parts: AcceptanceParts;
  readonly #committing = new ChurningMap<string, Promise<WriteResult>>();
  /** Those whose commit gave no answer, until it is known what became of it. */
  readonly #inDoubt = new Set<string>();

  constructor(parts: AcceptanceParts) {
    this.#parts = parts;
  }

  /** How its commit ends; undefined when none is under way. */
  of(id: string): Promise<WriteResult> | undefined {
    return this.#committing.get(id);
  }

  get anyInDoubt(): boolean {
    return this.#inDoubt.size > 0;
  }

  inDoubt(id: string): boolean {
    return this.#inDoubt.has(id);
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

  /** A node is chosen first, so that one commit says both that the job is here and where it goes. */
  add(
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

  addOne(job: HeldJob): Promise<WriteResult> {
    const node = this.#parts.choose(job);
    this.#parts.held.add(job);
    return this.#committed(job, node, this.#parts.outbox.addOne(job));
  }

  #committed(job: HeldJob, node: ConnectedNode | null, commit: Promise<WriteResult>): Promise<WriteResult> {
    const { id } = job.spec;
    const hadEnded = job.spec.givenId && this.#parts.held.hasEnded(id);
    const result = commit.then(
      (answer) => this.#answered(job, node, answer),
      (cause: unknown) => this.#failed(job, node, cause, hadEnded),
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
  found(job: HeldJob, reuses: boolean): void {
    const { held } = this.#parts;
    const { id } = job.spec;
    const committing = this.#committing.get(id);
    // A repeat of it is on its way, and has the job if it gets there.
    if (committing) return void committing.catch(() => undefined).then(() => this.found(job, reuses));
    this.#inDoubt.delete(id);
    if (held.get(id) || (held.hasEnded(id) && !reuses)) return;
    held.add(job);
    this.accept(job, null);
  }

  accept(job: HeldJob, node: ConnectedNode | null): void {
    const { held, reused, accepted } = this.#parts;
    const { id, givenId } = job.spec;
    if (givenId && held.hasEnded(id)) reused(id);
    accepted(job, node);
  }

  #answered(job: HeldJob, node: ConnectedNode | null, result: WriteResult): WriteResult {
    if (result === 'done') this.accept(job, node);
    else this.#takeBack(job, node);
    return result;
  }

  /** @throws {JobRejected | EnqueueUnknown} */
  #failed(job: HeldJob, node: ConnectedNode | null, cause: unknown, hadEnded: boolean): never {
    const { id } = job.spec;
    this.#takeBack(job, node);
    // That this one surely failed says nothing of an earlier one with its id.
    if (this.#inDoubt.has(id)) throw new EnqueueUnknown(id, { cause });
    if (!(cause instanceof CommitInDoubt)) throw notCommitted(cause);
    // It may be there all the same, and then it is to run: once, whether it is asked for again by its id or not.
    const remembered = (job: HeldJob): HeldJob => ({
      ...job,
      place: null,
      spec: { ...job.spec, givenId: true },
      asStored: job.spec.givenId,
    });
    const found = (job: HeldJob): void => this.found(remembered(job), hadEnded);
    this.#inDoubt.add(id);
    this.#parts.outbox.lookFor(id, found, () => this.#inDoubt.delete(id));
    throw new EnqueueUnknown(id, { cause });
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
