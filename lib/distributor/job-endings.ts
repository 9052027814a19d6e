import { ChurningMap } from '../churning-map.js';
import type { Clock, ClockTimer } from '../clock.js';
import { cancel, expire, type Transition } from '../job/job-transitions.js';
import type { FeedbackRecord } from '../job/feedback-record.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { EmitEvent } from '../job-reactor.events.js';
import { TimerQueue } from '../timer-queue.js';
import type { ConnectedNode } from './connected-node.js';
import type { Told } from './feedback-runner.js';
import { outboxRow, type HeldJob } from './held-job.js';
import type { HeldJobs } from './held-jobs.js';
import type { NodeRegistry } from './node-registry.js';
import type { WriteResult } from '../storage/job-storage.js';
import type { Outbox } from './outbox.js';

export interface EndingParts {
  distributor: string;
  clock: Clock;
  emit: EmitEvent;
  held: HeldJobs;
  outbox: Outbox;
  registry: NodeRegistry;
  /** Resolves when it has been told once, whatever came of it. */
  tell: (feedback: FeedbackRecord) => Promise<void>;
  /** It is kept here, and was told in vain. */
  toldInVain: (feedback: FeedbackRecord, error: unknown) => Promise<void>;
}

/** Jobs that the distributor need not hold any more: they have ended on a node, or here, where they waited for one. */
export class JobEndings {
  readonly #parts: EndingParts;
  readonly #expiries: TimerQueue;
  /** Whose rows are being deleted; whether they were this outbox's. */
  readonly #leaving = new ChurningMap<string, Promise<boolean>>();

  constructor(parts: EndingParts) {
    this.#parts = parts;
    this.#expiries = new TimerQueue(parts.clock, 'wall', false);
  }

  /** What a result that came once more is answered with; null when it is none. */
  repeat({ jobId, assignment }: FeedbackRecord, job: HeldJob | undefined): Promise<Told> | Told | null {
    if (!this.#parts.held.isRepeat(jobId, assignment, job)) return null;
    // Who brings it may forget that the job has ended once the outbox can't send it again; if it ended here.
    return this.#leaving.get(jobId)?.then((ours) => (ours ? 'told' : { failed: notEnded(jobId) })) ?? 'told';
  }

  /** A result came, and is to be told now. `job`: what is held of it. */
  arrived({ final }: FeedbackRecord, by: ConnectedNode, job: HeldJob | undefined): void {
    // A node without a storage may be gone before it is told; what has ended must not begin anew for that.
    if (job && final && !by.durable) this.#parts.held.confirm(job, 'ended');
  }

  /** It was told, or in vain. @returns what its node is to be answered with */
  told(feedback: FeedbackRecord, by: ConnectedNode, job: HeldJob | undefined, told: Told): Promise<Told> | Told {
    const { held } = this.#parts;
    const { jobId, final, assignment } = feedback;
    const here = job && final && !by.durable;
    if (here && typeof told === 'object') return this.#keep(job, feedback, told.failed);
    if (here && told === 'undeclared') held.confirm(job, 'kept');
    if (told !== 'told' || !final) return told;
    held.ended(jobId, Math.max(assignment, job?.assignment ?? 0), job);
    return (job && this.#end(job, by)?.then(() => told)) ?? told;
  }

  /**
   * A job that waits for a node. Null: others have it by now, who can tell.
   * @throws STORAGE when the outbox fails and is being closed
   */
  async cancel(job: HeldJob, reason: string): Promise<'cancelled' | null> {
    const { clock, distributor } = this.#parts;
    const context = { now: clock.now(), node: distributor };
    return (await this.#endHere(job, cancel(outboxRow(job), reason, 'success', context))) ? 'cancelled' : null;
  }

  /** A cancel that was kept for the node a job went to holds for the job, wherever it would go next. */
  givenUp(job: HeldJob, reason: string | undefined): boolean {
    if (reason !== undefined) void this.cancel(job, reason).catch(() => undefined);
    return reason !== undefined;
  }

  /** Ends it when it has waited for a node until it expired; to be cancelled when it waits no more. */
  watch(job: HeldJob): ClockTimer | null {
    const { expires } = job.spec.options;
    return expires === undefined
      ? null
      : this.#expiries.at(expires, () => void this.expire(job).catch(() => undefined));
  }

  /** One that has waited until it expired. */
  async expire(job: HeldJob): Promise<void> {
    const { clock, distributor, held, emit } = this.#parts;
    const { id, name } = job.spec;
    if (held.waiting(id) !== job) return;
    const where = `for a node at distributor ${distributor}`;
    emit({ event: 'job expired', role: `distributor ${distributor}`, id, name });
    await this.#endHere(job, expire(outboxRow(job), { now: clock.now(), node: distributor }, where));
  }

  /** Its node keeps it from now on, or it has ended; null when that is done at once. */
  letGo(job: HeldJob): Promise<void> | null {
    const { held } = this.#parts;
    // Its row is being deleted already; a second delete might meet the row of another job by its id.
    const leaving = job.state === 'confirmed' ? this.#leaving.get(job.spec.id) : undefined;
    if (leaving) return leaving.then(() => undefined);
    held.confirm(job, 'confirmed');
    const removing = this.#remove(job);
    if (!removing) held.remove(job);
    return removing && removing.catch(() => undefined).then(() => held.remove(job));
  }

  /** Runs at that time of day or later, as long as jobs may end here. */
  at(time: number, run: () => void): ClockTimer {
    return this.#expiries.at(time, run);
  }

  stop(): void {
    this.#expiries.stop();
  }

  /** The first result that was accepted is final: a copy elsewhere is void. */
  #end(job: HeldJob, by: ConnectedNode): Promise<void> | null {
    const { id } = job.spec;
    const { held, registry } = this.#parts;
    const holder = job.holder === null ? undefined : registry.byStorage(job.holder);
    if (holder && holder !== by) holder.send({ type: 'refuse', id, assignment: job.assignment, code: 'SUPERSEDED' });
    // It may have been let go of while the application was told, and another job may have its id by now.
    return held.get(id) === job ? this.letGo(job) : null;
  }

  /**
   * The result of a job on a node without a storage could not be told: it is kept here, as that node may be gone before
   * it can be, and the job would begin anew.
   */
  async #keep(job: HeldJob, feedback: FeedbackRecord, error: unknown): Promise<'told'> {
    const { held, toldInVain } = this.#parts;
    held.ended(job.spec.id, Math.max(feedback.assignment, job.assignment));
    await this.#remove(job, feedback);
    held.remove(job);
    await toldInVain(feedback, error);
    return 'told';
  }

  /** Nobody is told of an end that is not committed: after a crash it would not have happened. False: its row is another's. */
  async #endHere(job: HeldJob, { feedback }: Transition): Promise<boolean> {
    const { held, tell } = this.#parts;
    const { id } = job.spec;
    held.confirm(job, 'confirmed');
    held.ended(id, job.assignment);
    // A node or another instance took it while this process stood still, or heard no answer: it ends there.
    if ((await this.#remove(job, feedback)) === 'stale') {
      held.reused(id);
      held.remove(job);
      return false;
    }
    if (feedback) await tell(feedback);
    held.remove(job);
    return true;
  }

  #remove(job: HeldJob, ended?: FeedbackRecord): Promise<WriteResult> | null {
    const { id } = job.spec;
    const removing = this.#parts.outbox.remove(job, ended);
    if (removing) {
      const leaving = removing.then((result) => result !== 'stale').catch(() => true);
      this.#leaving.set(id, leaving);
      void leaving.then(() => this.#leaving.delete(id));
    }
    return removing;
  }
}

const notEnded = (id: string): JobReactorError =>
  new JobReactorError('STORAGE', `Job ${id} was to end here, and others have it: its result is to come again.`);
