import type { ClockTimer } from '../clock.js';
import { nextLife } from '../job/job-life.js';
import { Recent } from '../recent.js';
import type { HeldJob } from './held-job.js';
import { PendingJobs } from './pending-jobs.js';

/** Handed-over and ended jobs remembered at least, so that an old copy that turns up late is told so. */
const REMEMBERED = 50_000;

/** Every job this distributor answers for, and where it is. */
export class HeldJobs {
  readonly pending: PendingJobs;
  readonly #jobs = new Map<string, HeldJob>();
  readonly #byHolder = new Map<string, Set<HeldJob>>();
  /** Assignment below which a copy is void; once the job has ended, that is every assignment of its life. */
  readonly #void = new Recent<number>(REMEMBERED);
  #unconfirmed = 0;

  /** `watch` is called when a job begins to wait for a node; the timer it gives goes when the job waits no more. */
  constructor(watch: (job: HeldJob) => ClockTimer | null) {
    this.pending = new PendingJobs(watch);
  }

  get size(): number {
    return this.#jobs.size;
  }

  /** Jobs that no node has stored. */
  get unconfirmed(): number {
    return this.#unconfirmed;
  }

  get(id: string): HeldJob | undefined {
    return this.#jobs.get(id);
  }

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
    if (earlier) this.remove(earlier);
    this.#jobs.set(job.spec.id, job);
    this.#unconfirmed++;
    if (job.holder !== null) this.#index(job);
  }

  /** It is to wait for a node. */
  wait(job: HeldJob): void {
    if (job.state === 'kept') this.#unconfirmed++;
    job.state = 'pending';
    this.pending.add(job);
  }

  /** It goes to this node: with a new assignment, unless it went there before. True when the assignment is new. */
  assign(job: HeldJob, holder: string, name: string): boolean {
    this.pending.remove(job.spec.id);
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
    this.pending.remove(job.spec.id);
    if (job.state === 'sent' || job.state === 'pending') this.#unconfirmed--;
    job.state = state;
  }

  /** Nothing more is to be answered for it. */
  remove(job: HeldJob): void {
    if (!this.#jobs.delete(job.spec.id)) return;
    this.pending.remove(job.spec.id);
    if (job.state === 'sent' || job.state === 'pending') this.#unconfirmed--;
    this.#unindex(job);
  }

  heldBy(storage: string): HeldJob[] {
    return [...(this.#byHolder.get(storage) ?? [])];
  }

  /** The job has its final result, in the life that this assignment belongs to. */
  ended(id: string, assignment: number): void {
    const below = nextLife(assignment);
    if (below > belowOf(this.#void.get(id))) this.#remember(id, below, true);
  }

  /** It is run again after its end: this is the first assignment of its new life. */
  revived(id: string, assignment: number): void {
    if (this.hasEnded(id) && !this.isVoid(id, assignment)) this.#remember(id, assignment, false);
  }

  hasEnded(id: string): boolean {
    return hasEnded(this.#void.get(id));
  }

  /** Whether a result with this assignment is of a life whose end is known. */
  isRepeat(id: string, assignment: number): boolean {
    const known = this.#void.get(id);
    return hasEnded(known) && nextLife(assignment) === belowOf(known);
  }

  /** Whether a copy with this assignment is void because the job went elsewhere or has ended. */
  isVoid(id: string, assignment: number): boolean {
    return assignment < belowOf(this.#void.get(id));
  }

  #index(job: HeldJob): void {
    const holder = job.holder ?? '';
    const jobs = this.#byHolder.get(holder);
    if (jobs) jobs.add(job);
    else this.#byHolder.set(holder, new Set([job]));
  }

  #unindex(job: HeldJob): void {
    if (job.holder === null) return;
    const jobs = this.#byHolder.get(job.holder);
    jobs?.delete(job);
    if (jobs?.size === 0) this.#byHolder.delete(job.holder);
  }

  #remember(id: string, below: number, ended: boolean): void {
    this.#void.set(id, below * 2 + Number(ended));
  }
}

/*
 * Assignment and end in one number: an object for each of the jobs remembered is what the garbage collector would be
 * busy with.
 */
const belowOf = (known: number | undefined): number => (known === undefined ? 0 : Math.floor(known / 2));
const hasEnded = (known: number | undefined): boolean => known !== undefined && known % 2 === 1;
