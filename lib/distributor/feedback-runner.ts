import { ChurningMap } from '../churning-map.js';
import { readFeedback, type Feedback } from '../job/feedback.js';
import type { AsyncContext, AsyncMoment } from '../job/async-context.js';
import type { JobListeners } from '../job/job-listeners.js';
import type { FeedbackRecord } from '../job/feedback-record.js';
import type { Telemetry } from '../job/telemetry.js';
import type { EmitEvent } from '../job-reactor.events.js';
import { Recent } from '../recent.js';

/** One declared `@OnSuccessFeedback` or `@OnErrorFeedback` method. */
export interface DeclaredFeedback {
  invoke(feedback: Feedback): Promise<void>;
}

/** The declared methods of this application, by job name. */
export interface DeclaredFeedbacks {
  success(name: string): readonly DeclaredFeedback[];
  error(name: string): readonly DeclaredFeedback[];
}

/**
 * What came of telling the application.
 * - `told`: everybody has been told, and whoever keeps the feedback may forget it.
 * - `undeclared`: it is for declared methods, and this instance has none.
 * - `failed`: a method threw.
 */
export type Told = 'told' | 'undeclared' | { failed: unknown };

/** Feedback ids remembered at least, so that one sent twice runs once. */
const REMEMBERED = 50_000;

/**
 * Runs the application's code for a feedback: this process's closures first, then the declared methods. When one throws
 * the rest waits for the next delivery, in which those that had returned are not called again by this process.
 */
export class FeedbackRunner {
  readonly #distributor: string;
  readonly #instance: string;
  readonly #listeners: JobListeners;
  readonly #declared: DeclaredFeedbacks;
  readonly #emit: EmitEvent;
  readonly #done = new Recent<true>(REMEMBERED);
  readonly #telemetry: (() => Telemetry | null) | undefined;
  /** Of a feedback that failed: how many of its methods have returned, and where they are to run. */
  readonly #begun = new Recent<{ at: number; moment: AsyncMoment | null }>(REMEMBERED);
  /** How often a job was accepted by an id that had been another's; of most ids there is none. */
  readonly #reuses = new Recent<number>(REMEMBERED);
  #hasReuses = false;
  readonly #running = new ChurningMap<string, Promise<Told>>();
  #isOpen = false;
  #opened: () => void = () => undefined;
  readonly #open = new Promise<void>((resolve) => (this.#opened = resolve));

  constructor(parts: {
    distributor: string;
    instance: string;
    listeners: JobListeners;
    declared: DeclaredFeedbacks;
    emit: EmitEvent;
    telemetry?: () => Telemetry | null;
  }) {
    this.#distributor = parts.distributor;
    this.#instance = parts.instance;
    this.#listeners = parts.listeners;
    this.#declared = parts.declared;
    this.#emit = parts.emit;
    this.#telemetry = parts.telemetry;
  }

  /** From now on the application is ready to be told; what came before has waited. */
  open(): void {
    this.#isOpen = true;
    this.#opened();
  }

  /** Another job has been accepted by the id of one whose feedbacks were told. */
  reused(jobId: string): void {
    this.#hasReuses = true;
    this.#reuses.set(jobId, (this.#reuses.get(jobId) ?? 0) + 1);
  }

  declares(name: string): boolean {
    return this.#declared.success(name).length > 0 || this.#declared.error(name).length > 0;
  }

  /** True when it has failed here: its closures, and whoever else was told of it, have had it. */
  hasBegun(feedback: FeedbackRecord): boolean {
    return this.#begun.has(this.#onceKey(feedback));
  }

  /**
   * Calls the methods once; at once where nobody has to be waited for. A feedback of which everybody was told before is
   * not told again.
   */
  run(feedback: FeedbackRecord): Promise<Told> | Told {
    if (this.#isOpen && this.#running.size === 0 && this.#concernsNobody(feedback)) {
      // Nor need it be remembered: told twice, it concerns nobody again.
      void this.#listeners.deliver(feedback);
      return 'told';
    }
    const key = this.#onceKey(feedback);
    if (this.#done.has(key)) return 'told';
    let running = this.#running.get(key);
    if (!running) {
      const telemetry = this.#runsCode(feedback) ? this.#telemetry?.() : null;
      const tell = (activate?: AsyncContext): Promise<Told> => this.#tell(feedback, key, activate);
      running = (telemetry ? telemetry.feedback(feedback, tell) : tell()).finally(() => this.#running.delete(key));
      this.#running.set(key, running);
    }
    return running;
  }

  async #tell(feedback: FeedbackRecord, key: string, activate?: AsyncContext): Promise<Told> {
    await this.#open;
    const begun = this.#begun.get(key);
    const moment = begun ? begun.moment : this.#listeners.momentOf(feedback.jobId);
    // A closure that threw has run: it belongs to one call, and is not called twice.
    if (begun === undefined)
      await this.#listeners.deliver(feedback, activate)?.catch((error: unknown) => this.#failed(feedback, error));
    if (this.#isForOthers(feedback)) return 'undeclared';
    const methods = this.#methods(feedback);
    for (let at = begun?.at ?? 0; at < methods.length; at++) {
      try {
        const invoke = (): Promise<void> => methods[at]!.invoke(readFeedback(feedback));
        const active = (): Promise<void> => (activate ? activate(invoke) : invoke());
        await (moment ? moment.run(active) : active());
      } catch (error) {
        this.#failed(feedback, error);
        this.#begun.set(key, { at, moment });
        return { failed: error };
      }
    }
    this.#done.set(key, true);
    return 'told';
  }

  #methods({ name, status, side }: FeedbackRecord): readonly DeclaredFeedback[] {
    const succeeded = status === 'succeeded' || (status === 'cancelled' && side === 'success');
    return succeeded ? this.#declared.success(name) : this.#declared.error(name);
  }

  #runsCode(feedback: FeedbackRecord): boolean {
    return this.#methods(feedback).length > 0 || this.#listeners.hasClosures(feedback.jobId);
  }

  /** At most somebody waits for it, whose promise is settled at once. */
  #concernsNobody(feedback: FeedbackRecord): boolean {
    return feedback.listeners === 'none' && !this.#runsCode(feedback);
  }

  /**
   * It was kept for methods, which another instance of the application has: this one must not take it for told. What was
   * for closures went with them.
   */
  #isForOthers({ name, listeners, origin }: FeedbackRecord): boolean {
    if (listeners !== 'declared' || origin.submitter !== null || origin.instance === this.#instance) return false;
    return !this.declares(name);
  }

  #failed({ name, jobId: id }: FeedbackRecord, error: unknown): void {
    this.#emit({ event: 'feedback failed', distributor: this.#distributor, name, id, error });
  }

  /**
   * A job that was handed over may run its first run twice, once ending well and once ending the job: the end must not be
   * taken for a repeat of the run. Nor must a job be taken for an earlier one that had its id.
   */
  #onceKey({ id, jobId, final }: FeedbackRecord): string {
    const key = final ? `${id} final` : id;
    const reuses = this.#hasReuses ? this.#reuses.get(jobId) : undefined;
    return reuses === undefined ? key : `${key} ${reuses}`;
  }
}
