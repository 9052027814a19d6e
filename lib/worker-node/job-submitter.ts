import { ChurningMap } from '../churning-map.js';
import type { Clock, ClockTimer } from '../clock.js';
import type { CancelAnswer } from '../job/job-control.js';
import type { FoundJob } from '../job/found-job.js';
import type { Intake, JobGateway, NewJob } from '../job/job-gateway.js';
import type { FeedbackQueries } from '../job/parked-feedback.js';
import type { Pause } from '../job/pause-book.js';
import type { PauseGateway } from '../job/pause-gateway.js';
import { JobListeners } from '../job/job-listeners.js';
import { EnqueueUnknown, JobRejected } from '../job/job.errors.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { Accepted, Submit } from '../protocol/job-messages.js';
import { type Result, feedbackFrom } from '../protocol/result-messages.js';
import type { Message } from '../protocol/message.js';
import type { DistributorLink } from './distributor-link.js';
import { SubmitterRequests } from './submitter-requests.js';

/** For so long an enqueue waits for a distributor to be there and to answer. */
const ANSWER_WITHIN = 30_000;
/** Enqueues that wait for an answer. */
const MAX_UNANSWERED = 100_000;

interface Submission {
  message: Submit;
  distributor: string | undefined;
  sentOn: DistributorLink | null;
  /** How often it was sent: the answer to a repeat says nothing of the first. */
  sent: number;
  timer: ClockTimer;
  answered: Promise<Intake>;
  resolve: (answer: Intake) => void;
  reject: (error: Error) => void;
}

/** The gateway of a node process that has no distributor of its own: enqueues go to a connected one and come back as results. */
export class JobSubmitter implements JobGateway {
  readonly listeners = new JobListeners();
  readonly queries: SubmitterRequests;
  readonly feedbacks: FeedbackQueries;
  readonly pauses: PauseGateway;
  readonly #node: string;
  readonly #clock: Clock;
  readonly #emit: EmitEvent;
  readonly #links = new Set<DistributorLink>();
  readonly #submissions = new ChurningMap<string, Submission>();

  constructor(node: string, instance: string, clock: Clock, emit: EmitEvent, paused: () => Pause[] = () => []) {
    this.queries = new SubmitterRequests(instance, clock);
    this.feedbacks = this.queries;
    const { queries } = this;
    this.pauses = { set: (...given) => queries.setPaused(...given), paused: async () => paused() };
    this.#node = node;
    this.#clock = clock;
    this.#emit = emit;
  }

  async accept(jobs: readonly NewJob[], distributor?: string): Promise<Intake[]> {
    if (this.#submissions.size + jobs.length > MAX_UNANSWERED) {
      throw new JobRejected('BACKLOG_FULL', `${MAX_UNANSWERED} jobs already wait for a distributor to accept them.`);
    }
    return Promise.all(jobs.map((job) => this.#submit(job, distributor)));
  }

  cancel(id: string, reason: string): Promise<CancelAnswer> {
    return this.queries.cancel(id, reason);
  }

  find(id: string): Promise<FoundJob | null> {
    return this.queries.find(id);
  }

  opened(link: DistributorLink): void {
    this.#links.add(link);
    for (const submission of this.#submissions.values()) if (!submission.sentOn) this.#send(submission);
    this.queries.opened(link);
  }

  closed(link: DistributorLink): void {
    this.#links.delete(link);
    for (const submission of this.#submissions.values()) if (submission.sentOn === link) submission.sentOn = null;
    this.queries.closed(link);
    for (const submission of this.#submissions.values()) if (!submission.sentOn) this.#send(submission);
  }

  /** What a distributor says of jobs this process submitted. */
  message(link: DistributorLink, message: Message): void {
    switch (message.type) {
      case 'accepted':
        return this.#accepted(message);
      case 'cancelled':
      case 'answer':
      case 'answered':
      case 'parked':
      case 'parked-answered':
        return this.queries.answered(message);
      case 'stored':
        return message.jobs.forEach(([id]) => this.listeners.stored(id));
      case 'progress':
        return this.listeners.progress(message.id, message.value);
      case 'result':
        return void this.#told(link, message);
      default:
        return;
    }
  }

  #accepted(message: Accepted): void {
    const submission = this.#submissions.get(message.id);
    if (!submission) return;
    if (message.error)
      submission.reject(new JobRejected('JOB_REJECTED', `${message.error.code}: ${message.error.message}`));
    else if (message.winner !== undefined) submission.resolve({ winner: message.winner });
    else submission.resolve(message.duplicate && submission.sent === 1 ? 'duplicate' : 'accepted');
  }

  /** The end of a job this process submitted: its closures run, then the distributor may forget it. */
  async #told(link: DistributorLink, message: Result): Promise<void> {
    const feedback = feedbackFrom(message);
    try {
      await this.listeners.deliver(feedback);
    } catch (error) {
      const { jobId: id, name } = feedback;
      this.#emit({ event: 'feedback failed', distributor: this.#node, id, name, error });
    }
    link.send({ type: 'result-ack', ids: [feedback.id] });
  }

  stop(): void {
    for (const [id, submission] of this.#submissions) {
      submission.reject(
        submission.sent > 0
          ? new EnqueueUnknown(id)
          : new JobRejected('STOPPED', 'The node stopped before an answer came.'),
      );
    }
    this.queries.stop();
  }

  async #submit(job: NewJob, distributor: string | undefined): Promise<Intake> {
    const known = this.#submissions.get(job.id);
    if (known) return known.answered.then(() => 'duplicate');
    const submission = this.#submission(job, distributor);
    this.#submissions.set(job.id, submission);
    this.#send(submission);
    try {
      return await submission.answered;
    } finally {
      submission.timer.cancel();
      this.#submissions.delete(job.id);
    }
  }

  #submission({ args, closures, onConflict, ...rest }: NewJob, distributor: string | undefined): Submission {
    const job = { ...rest, listeners: closures ? ('closures' as const) : ('none' as const) };
    const message: Submit = { type: 'submit', job, ...(onConflict ? { onConflict } : {}), args };
    let [resolve, reject]: [Submission['resolve'], Submission['reject']] = [() => undefined, () => undefined];
    const answered = new Promise<Intake>((...settle) => ([resolve, reject] = settle));
    const timer = this.#clock.after(ANSWER_WITHIN, () => reject(this.#unanswered(submission)));
    const submission: Submission = { message, distributor, sentOn: null, sent: 0, timer, answered, resolve, reject };
    return submission;
  }

  #unanswered(submission: Submission): Error {
    const { id } = submission.message.job;
    if (submission.sent > 0) return new EnqueueUnknown(id);
    const which = submission.distributor ? `distributor '${submission.distributor}'` : 'a distributor';
    return new JobRejected(
      'NOT_CONNECTED',
      `This node was not connected to ${which} within ${ANSWER_WITHIN / 1000} s, so job ${id} was not enqueued.`,
    );
  }

  #send(submission: Submission): void {
    for (const link of this.#links) {
      if (submission.distributor && link.distributor?.name !== submission.distributor) continue;
      submission.sentOn = link;
      submission.sent++;
      link.send(submission.message);
      return;
    }
  }
}
