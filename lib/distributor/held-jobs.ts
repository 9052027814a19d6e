import { ChurningMap } from '../churning-map.js';
import { nextLife } from '../job/job-life.js';
import type { StoredJob } from '../job/job.js';
import { Recent } from '../recent.js';
import type { HeldJob } from './held-job.js';
import { HolderJobs } from './holder-jobs.js';
import { PendingJobs, type PendingParts } from './pending-jobs.js';

/** Handed-over and ended jobs remembered at least, so that an old copy that turns up late is told so. */
const REMEMBERED = 50_000;

/** Every job this distributor answers for, and where it is. */
export class HeldJobs {
  readonly pending: PendingJobs;
  readonly #jobs = new ChurningMap<string, HeldJob>();
  readonly #byHolder = new Map<string, HolderJobs>();
  /** Assignment below which a copy is void; once the job has ended, that is every assignment of its life. */
  readonly #void = new Recent<number>(REMEMBERED);
  /** Those who want to know what is removed while they read. */
  readonly #readers = new Set<Set<string>>();
  #unconfirmed = 0;

  constructor(parts: PendingParts) {
    const beyond = (job: HeldJob): void => {
      this.#jobs.delete(job.spec.id);
      this.#unconfirmed--;
      parts.beyond?.(job);
    };
    this.pending = new PendingJobs({ ...parts, beyond });
  }

  get size(): number {
    return this.#jobs.size;
  }

  /** Jobs that no node has stored. */
  get unconfirmed(): number {
    return this.#unconfirmed + this.pending.beyond;
  }

  /** The job, unless it is beyond the window: then it waits, and no more than its id is held. */
  get(id: string): HeldJob | undefined {
    return this.#jobs.get(id);
  }

  /** All but those beyond the window. */
  all(): Iterable<HeldJob> {
    return this.#jobs.values();
  }

  /** The job, if it waits for a node. */
  waiting(id: string): HeldJob | undefined {
    const job = this.#jobs.get(id);
    return job?.state === 'pending' ? job : undefined;
  }

  /** In place of what was held by its id. */
  add(job: HeldJob): void {
    const earlier = this.#jobs.get(job.spec.id);
    if (earlier) this.takeBack(earlier);
    this.#jobs.set(job.spec.id, job);
    this.#unconfirmed++;
    if (job.holder !== null) this.#index(job);
  }

  /**
   * Gives `use` those of the rows whose jobs are beyond the window at that moment. Who was sent or ended while the rows
   * were read is none of them, whatever they still say.
   */
  async beyond<T>(
    read: () => Promise<readonly StoredJob[]>,
    use: (beyond: StoredJob[], all: readonly StoredJob[]) => T,
  ): Promise<T> {
    const removed = new Set<string>();
    this.#readers.add(removed);
    try {
      const rows = await read();
      const isBeyond = ({ id, holder }: StoredJob): boolean =>
        holder === null && !this.#jobs.has(id) && !removed.has(id);
      return use(rows.filter(isBeyond), rows);
    } finally {
      this.#readers.delete(removed);
    }
  }

  /** The row of one beyond the window was read, as its turn is near; null when it is there no more. */
  arrived(id: string, job: HeldJob | null): void {
    if (!this.pending.arrived(id, job) || !job) return;
    this.#jobs.set(id, job);
    this.#unconfirmed++;
  }

  /** One beyond the window is whole again, to be ended. False when it is not there. */
  recall(job: HeldJob): boolean {
    if (!this.pending.recall(job)) return false;
    this.#jobs.set(job.spec.id, job);
    this.#unconfirmed++;
    return true;
  }

  /** It is to wait for a node. */
  wait(job: HeldJob): void {
    if (job.state === 'kept') this.#unconfirmed++;
    job.state = 'pending';
    this.pending.add(job);
  }

  /** It goes to this node: with a new assignment, unless it went there before. True when the assignment is new. */
  assign(job: HeldJob, holder: string, name: string): boolean {
    this.pending.remove(job, true);
    const again = job.holder === holder;
    if (!again) {
      this.#unindex(job);
      job.assignment++;
      job.holder = holder;
      this.#index(job);
      if (job.assignment > 1) this.#remember(job.spec.id, job.assignment, false);
    }
    job.holderName = name;
    job.state = 'sent';
    return !again;
  }

  /** Its node did not take it: the next send is a new assignment, also to that same node. */
  refused(job: HeldJob): void {
    this.#unindex(job);
    job.holder = null;
    this.wait(job);
  }

  confirm(job: HeldJob, state: 'kept' | 'ended' | 'confirmed'): void {
    this.pending.remove(job);
    if (job.state === 'sent' || job.state === 'pending') this.#unconfirmed--;
    job.state = state;
  }

  /** Nothing more is to be answered for it. */
  remove(job: HeldJob): void {
    if (this.#readers.size > 0) for (const removed of this.#readers) removed.add(job.spec.id);
    this.takeBack(job);
  }

  /** It never was one, or no more than a repeat of one that is there. By its id another may be held by now: that one stays. */
  takeBack(job: HeldJob): void {
    if (this.#jobs.get(job.spec.id) !== job) return;
    this.#jobs.delete(job.spec.id);
    this.pending.remove(job);
    if (job.state === 'sent' || job.state === 'pending') this.#unconfirmed--;
    this.#unindex(job);
  }

  heldBy(storage: string): HeldJob[] {
    return this.#byHolder.get(storage)?.list() ?? [];
  }

  /** The job has its final result, in the life that this assignment belongs to. `job`: what is held of it. */
  ended(id: string, assignment: number, job?: HeldJob): void {
    const below = nextLife(assignment);
    // Of an id that was made for this job nothing later can be known.
    if ((job && !job.spec.givenId) || below > belowOf(this.#void.get(id))) this.#remember(id, below, true);
  }

  /** It is run again after its end: this is the first assignment of its new life. */
  revived(id: string, assignment: number): void {
    if (this.hasEnded(id) && !this.isVoid(id, assignment)) this.#remember(id, assignment, false);
  }

  /** Another job has been accepted by the id of one that had ended: nothing that was known of the id says anything of it. */
  reused(id: string): void {
    this.#remember(id, 0, false);
  }

  hasEnded(id: string): boolean {
    return hasEnded(this.#void.get(id));
  }

  /** Whether a result with this assignment is of a life whose end is known. `job`: what is held of it. */
  isRepeat(id: string, assignment: number, job?: HeldJob): boolean {
    if (job && isOpen(job)) return false;
    const known = this.#void.get(id);
    return hasEnded(known) && nextLife(assignment) === belowOf(known);
  }

  /** Whether a copy with this assignment is void because the job went elsewhere or has ended. */
  isVoid(id: string, assignment: number): boolean {
    return assignment < belowOf(this.#void.get(id));
  }

  #index(job: HeldJob): void {
    const holder = job.holder ?? '';
    let jobs = this.#byHolder.get(holder);
    if (!jobs) this.#byHolder.set(holder, (jobs = new HolderJobs()));
    jobs.add(job);
  }

  #unindex(job: HeldJob): void {
    if (job.holder === null) return;
    const jobs = this.#byHolder.get(job.holder);
    if (jobs?.remove(job) && jobs.size === 0) this.#byHolder.delete(job.holder);
  }

  #remember(id: string, below: number, ended: boolean): void {
    this.#void.set(id, below * 2 + Number(ended));
  }
}

/** Its id was made for it, and no end of it has come. */
const isOpen = ({ state, spec }: HeldJob): boolean => !spec.givenId && state !== 'confirmed' && state !== 'ended';

/*
 * Assignment and end in one number: an object for each of the jobs remembered is what the garbage collector would be
 * busy with.
 */
const belowOf = (known: number | undefined): number => (known === undefined ? 0 : Math.floor(known / 2));
const hasEnded = (known: number | undefined): boolean => known !== undefined && known % 2 === 1;
