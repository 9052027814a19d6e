import type { Clock } from '../clock.js';
import { readFeedback, type Feedback } from '../job/feedback.js';
import type { JobListeners } from '../job/job-listeners.js';
import type { FeedbackRecord } from '../job/job.js';
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

/** A declared method that throws is called again after 1 s, 2 s, 4 s, 8 s; then at the node's next connection. */
const TRIES = 5;
const FIRST_WAIT = 1_000;
/** Feedback ids remembered at least, so that one sent twice runs once. */
const REMEMBERED = 50_000;

/** Runs the application's code for a feedback: this process's closures first, then the declared methods. */
export class FeedbackRunner {
  readonly #distributor: string;
  readonly #listeners: JobListeners;
  readonly #declared: DeclaredFeedbacks;
  readonly #clock: Clock;
  readonly #emit: EmitEvent;
  readonly #done = new Recent<true>(REMEMBERED);
  readonly #running = new Map<string, Promise<boolean>>();
  #opened: () => void = () => undefined;
  readonly #open = new Promise<void>((resolve) => (this.#opened = resolve));

  constructor(parts: {
    distributor: string;
    listeners: JobListeners;
    declared: DeclaredFeedbacks;
    clock: Clock;
    emit: EmitEvent;
  }) {
    this.#distributor = parts.distributor;
    this.#listeners = parts.listeners;
    this.#declared = parts.declared;
    this.#clock = parts.clock;
    this.#emit = parts.emit;
  }

  /** From now on the application is ready to be told; what came before has waited. */
  open(): void {
    this.#opened();
  }

  declares(name: string): boolean {
    return this.#declared.success(name).length > 0 || this.#declared.error(name).length > 0;
  }

  /** True when everybody has been told and the feedback can be acknowledged. One that was told before is not told again. */
  run(feedback: FeedbackRecord): Promise<boolean> {
    const key = onceKey(feedback);
    if (this.#done.has(key)) return Promise.resolve(true);
    let running = this.#running.get(key);
    if (!running) {
      running = this.#tell(feedback, key).finally(() => this.#running.delete(key));
      this.#running.set(key, running);
    }
    return running;
  }

  async #tell(feedback: FeedbackRecord, key: string): Promise<boolean> {
    await this.#open;
    // A closure that threw has run: it belongs to one call, and is not called twice.
    await this.#listeners.deliver(feedback).catch((error: unknown) => this.#failed(feedback, error));
    const succeeded =
      feedback.status === 'succeeded' || (feedback.status === 'cancelled' && feedback.side === 'success');
    const methods = succeeded ? this.#declared.success(feedback.name) : this.#declared.error(feedback.name);
    for (const method of methods) if (!(await this.#call(method, feedback))) return false;
    this.#done.set(key, true);
    return true;
  }

  async #call(method: DeclaredFeedback, record: FeedbackRecord): Promise<boolean> {
    for (let tries = 1, wait = FIRST_WAIT; ; tries++, wait *= 2) {
      try {
        await method.invoke(readFeedback(record));
        return true;
      } catch (error) {
        this.#failed(record, error);
        if (tries === TRIES) return false;
        await new Promise<void>((resolve) => void this.#clock.after(wait, resolve, false));
      }
    }
  }

  #failed({ name, jobId: id }: FeedbackRecord, error: unknown): void {
    this.#emit({ event: 'feedback failed', distributor: this.#distributor, name, id, error });
  }
}

/**
 * A job that was handed over may run its first run twice, once ending well and once ending the job: the end must not be
 * taken for a repeat of the run.
 */
function onceKey({ id, final }: FeedbackRecord): string {
  return final ? `${id} final` : id;
}
