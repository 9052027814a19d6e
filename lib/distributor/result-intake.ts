import type { FeedbackRecord } from '../job/feedback-record.js';
import type { JobListeners } from '../job/job-listeners.js';
import type { Progress } from '../protocol/job-messages.js';
import type { ConnectedNode } from './connected-node.js';
import type { FeedbackRunner, Told } from './feedback-runner.js';
import type { HeldJob } from './held-job.js';
import type { HeldJobs } from './held-jobs.js';
import type { JobEndings } from './job-endings.js';
import type { JobKeys } from './job-keys.js';
import type { JobProofs } from './job-proofs.js';
import type { ResultForwarder } from './result-forwarder.js';

export interface IntakeParts {
  held: HeldJobs;
  endings: JobEndings;
  proofs: JobProofs;
  keys: JobKeys;
  runner: FeedbackRunner;
  forwarder: ResultForwarder;
  listeners: JobListeners;
  /** Its node has the job, which must not be sent again or elsewhere. */
  keeps: (node: ConnectedNode, job: HeldJob, assignment: number) => void;
}

/** What nodes have to tell of their jobs, results above all: it is admitted, and everybody who listens is told. */
export class ResultIntake {
  readonly #parts: IntakeParts;

  constructor(parts: IntakeParts) {
    this.#parts = parts;
  }

  /** @returns what its node is to be answered with; null: nothing, as it can't show that it had the job */
  take(node: ConnectedNode, feedback: FeedbackRecord): Promise<Told> | Told | null {
    const { endings, proofs, held } = this.#parts;
    const { jobId, origin } = feedback;
    const job = held.get(jobId);
    const repeat = endings.repeat(feedback, job);
    if (repeat) return repeat;
    return proofs.admits(node, { id: jobId, mac: origin.mac, origin, job }) ? this.#result(node, feedback, job) : null;
  }

  /** A job has ended: everybody who listens is told. Whoever hears of the end finds its key free. */
  tell(feedback: FeedbackRecord): Promise<Told> | Told {
    const freed = this.#parts.keys.ended(feedback);
    return freed ? freed.then(() => this.#tellAll(feedback)) : this.#tellAll(feedback);
  }

  /** Nobody answers it, and what is lost is lost. */
  progress(node: ConnectedNode, { id, mac, value }: Progress): void {
    const { proofs, listeners, forwarder, held } = this.#parts;
    if (!proofs.admits(node, { id, mac, origin: null, job: held.get(id) })) return;
    listeners.progress(id, value);
    forwarder.progress(id, value);
  }

  #result(node: ConnectedNode, feedback: FeedbackRecord, job: HeldJob | undefined): Promise<Told> | Told {
    this.#parts.endings.arrived(feedback, node, job);
    const telling = this.tell(feedback);
    if (!(telling instanceof Promise)) return this.#told(node, feedback, job, telling);
    // Telling takes its time: a job whose word that it is stored was lost must not be sent again or elsewhere meanwhile.
    if (job && feedback.final && node.durable && job.holder === node.storage)
      this.#parts.keeps(node, job, feedback.assignment);
    return telling.then((told) => this.#told(node, feedback, job, told));
  }

  #told(node: ConnectedNode, feedback: FeedbackRecord, job: HeldJob | undefined, told: Told): Promise<Told> | Told {
    return this.#parts.endings.told(feedback, node, job, told);
  }

  #tellAll(feedback: FeedbackRecord): Promise<Told> | Told {
    const { runner, forwarder } = this.#parts;
    forwarder.followed(feedback);
    const isOwn = feedback.origin.submitter === null;
    const forwarded = isOwn ? null : forwarder.result(feedback, runner.hasBegun(feedback));
    const told = runner.run(feedback);
    return forwarded ? Promise.all([told, forwarded]).then(([what]) => what) : told;
  }
}
