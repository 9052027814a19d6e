import type { Clock, ClockTimer } from '../clock.js';
import type { FoundJob } from '../job/found-job.js';
import type { CancelAnswer } from '../job/job-control.js';
import type {
  EditOutcome,
  FoundPage,
  JobEdit,
  JobFilter,
  JobPageQuery,
  JobQueries,
  Missing,
  RemovedJobs,
  RetryAnswer,
} from '../job/job-query.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { PauseKind } from '../job/pause-book.js';
import type { FeedbackQueries, ParkedFilter, ParkedPage, ParkedPageQuery } from '../job/parked-feedback.js';
import type { Cancelled } from '../protocol/job-messages.js';
import type { Parked, ParkedAnswered, ParkedQueryKind, ParkedQueryMessage } from '../protocol/parked-messages.js';
import {
  type Answer,
  type Answered,
  type Query,
  type QueryKind,
  editMessage,
  foundFrom,
} from '../protocol/query-messages.js';
import type { Message } from '../protocol/message.js';
import type { Pauses } from '../protocol/pause-messages.js';
import type { DistributorLink } from './distributor-link.js';

/** For so long a question waits for a distributor to be there and to answer. */
const ANSWER_WITHIN = 30_000;

type End = Cancelled | Answered | ParkedAnswered;

interface Request {
  message: Extract<Message, { type: 'cancel' | 'query' | 'edit' | 'parked-query' }> | (Pauses & { request: number });
  /** Asking again after a cut would answer something else: how the first was meant is not known. */
  once: boolean;
  answers: (Answer | Parked)[];
  resolve: (end: End) => void;
  reject: (error: Error) => void;
  sentOn: DistributorLink | null;
  timer: ClockTimer;
}

/** What a node process that has no distributor of its own asks: a connected one asks all its nodes and answers. */
export class SubmitterRequests implements JobQueries, FeedbackQueries {
  readonly #instance: string;
  readonly #clock: Clock;
  readonly #links = new Set<DistributorLink>();
  readonly #requests = new Map<number, Request>();
  #next = 1;

  constructor(instance: string, clock: Clock) {
    this.#instance = instance;
    this.#clock = clock;
  }

  async cancel(id: string, reason: string): Promise<CancelAnswer> {
    const { end } = await this.#ask({ type: 'cancel', request: this.#next++, id, reason }, false);
    return end.type === 'cancelled' ? end.answer : 'unknown';
  }

  async find(id: string): Promise<FoundJob | null> {
    const { found } = await this.#query({ kind: 'find', id }, false);
    return found[0] ?? null;
  }

  async jobs(filter: JobPageQuery): Promise<FoundPage & Missing> {
    const { found, end } = await this.#query({ kind: 'jobs', filter }, false);
    return { jobs: found, after: end.after, missing: end.missing };
  }

  async remove(id: string): Promise<RemovedJobs> {
    return removed((await this.#query({ kind: 'remove', id }, true)).end);
  }

  async removeAll(filter: JobFilter): Promise<RemovedJobs> {
    const page = { ...filter, after: null, limit: 1000 };
    return removed((await this.#query({ kind: 'remove', filter: page }, true)).end);
  }

  async retry(
    id: string,
    expected: (name: string, run: number) => void,
    now = false,
  ): Promise<{ answer: RetryAnswer; told: boolean } & Missing> {
    const found = now ? null : await this.find(id);
    if (found) expected(found.view.name, found.view.run + 1);
    const { end } = await this.#query({ kind: 'retry', id, ...(now ? { now } : {}) }, true);
    const told = end.origin?.submitter === this.#instance;
    return { answer: end.retried ?? 'unknown', told, missing: end.missing };
  }

  async edit(id: string, edit: JobEdit): Promise<{ answer: EditOutcome } & Missing> {
    const { end } = await this.#ask(editMessage(this.#next++, id, edit), true);
    if (end.type !== 'answered') throw unanswered('No distributor answered as it should.');
    return { answer: end.edited ?? 'unknown', missing: end.missing };
  }

  /** The distributor finds the moment for it. */
  async setPaused(kind: PauseKind, name: string, paused: boolean): Promise<Missing> {
    const words = [{ kind, name, paused, changedAt: this.#clock.now() }];
    const { end } = await this.#ask({ type: 'pauses', request: this.#next++, words }, false);
    if (end.type !== 'answered') throw unanswered('No distributor answered as it should.');
    return { missing: end.missing };
  }

  async parked(filter: ParkedPageQuery): Promise<ParkedPage & Missing> {
    const { answers, end } = await this.#parked('list', filter);
    const feedbacks = answers.flatMap((one) => (one.type === 'parked' ? [one.feedback] : []));
    return { feedbacks, after: end.after, missing: end.missing };
  }

  async redeliver(filter: ParkedFilter): Promise<{ count: number } & Missing> {
    const { count, missing } = (await this.#parked('redeliver', { ...filter, after: null, limit: 1000 })).end;
    return { count, missing };
  }

  async drop(filter: ParkedFilter): Promise<{ count: number } & Missing> {
    const { count, missing } = (await this.#parked('drop', { ...filter, after: null, limit: 1000 })).end;
    return { count, missing };
  }

  answered(message: End | Answer | Parked): void {
    const request = this.#requests.get(message.request);
    if (message.type === 'answer' || message.type === 'parked') request?.answers.push(message);
    else request?.resolve(message);
  }

  opened(link: DistributorLink): void {
    this.#links.add(link);
    for (const request of this.#requests.values()) if (!request.sentOn) this.#send(request);
  }

  closed(link: DistributorLink): void {
    this.#links.delete(link);
    for (const request of this.#requests.values()) {
      if (request.sentOn !== link) continue;
      request.sentOn = null;
      request.answers.length = 0;
      if (request.once)
        request.reject(unanswered('The connection was lost before the answer came. Look, then ask again.'));
      else this.#send(request);
    }
  }

  stop(): void {
    const stopped = new JobReactorError('STOPPED', 'The node stopped before an answer came.');
    for (const request of this.#requests.values()) request.reject(stopped);
  }

  async #query(query: Omit<Query, 'type' | 'request'>, once: boolean): Promise<{ found: FoundJob[]; end: Answered }> {
    const { answers, end } = await this.#ask({ type: 'query', request: this.#next++, ...query }, once);
    const found = answers.flatMap((one) => (one.type === 'answer' ? [foundFrom(one)] : []));
    if (end.type !== 'answered') throw unanswered('No distributor answered as it should.');
    return { found, end };
  }

  async #parked(
    kind: ParkedQueryKind,
    filter: ParkedPageQuery,
  ): Promise<{ answers: Request['answers']; end: ParkedAnswered }> {
    const message: ParkedQueryMessage = { type: 'parked-query', request: this.#next++, kind, filter };
    const { answers, end } = await this.#ask(message, kind !== 'list');
    if (end.type !== 'parked-answered') throw unanswered('No distributor answered as it should.');
    return { answers, end };
  }

  async #ask(message: Request['message'], once: boolean): Promise<{ answers: Request['answers']; end: End }> {
    const answers: Request['answers'] = [];
    try {
      const end = await new Promise<End>((resolve, reject) => {
        const late = (): void => reject(unanswered('No distributor answered.'));
        const timer = this.#clock.after(ANSWER_WITHIN, late);
        const request: Request = { message, once, answers, resolve, reject, sentOn: null, timer };
        this.#requests.set(message.request, request);
        this.#send(request);
      });
      return { answers, end };
    } finally {
      this.#requests.get(message.request)?.timer.cancel();
      this.#requests.delete(message.request);
    }
  }

  #send(request: Request): void {
    const [link] = this.#links;
    if (!link) return;
    request.sentOn = link;
    // To change a million jobs takes its time; that the distributor is alive the connection sees to.
    const { message } = request;
    if ('kind' in message && takesItsTime.has(message.kind)) request.timer.cancel();
    link.send(message);
  }
}

/** Of many at once. */
const takesItsTime = new Set<QueryKind | ParkedQueryKind>(['remove', 'redeliver', 'drop']);

const unanswered = (message: string): JobReactorError => new JobReactorError('NOT_CONNECTED', message);

const removed = ({ removed: count, skipped, missing }: Answered): RemovedJobs => ({ removed: count, skipped, missing });
