import type { Clock, ClockTimer } from '../clock.js';
import type { FoundJob } from '../job/found-job.js';
import type { CancelAnswer } from '../job/job-control.js';
import type {
  FoundPage,
  JobFilter,
  JobPageQuery,
  JobQueries,
  Missing,
  RemovedJobs,
  RetryAnswer,
} from '../job/job-query.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { Answer, Answered, Cancelled, Message, Query } from '../protocol/message.js';
import { foundFrom } from '../protocol/query-messages.js';
import type { DistributorLink } from './distributor-link.js';

/** For so long a question waits for a distributor to be there and to answer. */
const ANSWER_WITHIN = 30_000;

interface Request {
  message: Extract<Message, { type: 'cancel' | 'query' }>;
  /** Asking again after a cut would answer something else: how the first was meant is not known. */
  once: boolean;
  found: FoundJob[];
  resolve: (end: Cancelled | Answered) => void;
  reject: (error: Error) => void;
  sentOn: DistributorLink | null;
  timer: ClockTimer;
}

/** What a node process that has no distributor of its own asks: a connected one asks all its nodes and answers. */
export class SubmitterRequests implements JobQueries {
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
  ): Promise<{ answer: RetryAnswer; told: boolean } & Missing> {
    const found = await this.find(id);
    if (found) expected(found.view.name, found.view.run + 1);
    const { end } = await this.#query({ kind: 'retry', id }, true);
    const told = end.origin?.submitter === this.#instance;
    return { answer: end.retried ?? 'unknown', told, missing: end.missing };
  }

  answered(message: Cancelled | Answer | Answered): void {
    const request = this.#requests.get(message.request);
    if (message.type === 'answer') request?.found.push(foundFrom(message));
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
      request.found.length = 0;
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
    const { found, end } = await this.#ask({ type: 'query', request: this.#next++, ...query }, once);
    if (end.type !== 'answered') throw unanswered('No distributor answered as it should.');
    return { found, end };
  }

  async #ask(message: Request['message'], once: boolean): Promise<{ found: FoundJob[]; end: Cancelled | Answered }> {
    const found: FoundJob[] = [];
    try {
      const end = await new Promise<Cancelled | Answered>((resolve, reject) => {
        const late = (): void => reject(unanswered('No distributor answered.'));
        const timer = this.#clock.after(ANSWER_WITHIN, late);
        const request: Request = { message, once, found, resolve, reject, sentOn: null, timer };
        this.#requests.set(message.request, request);
        this.#send(request);
      });
      return { found, end };
    } finally {
      this.#requests.get(message.request)?.timer.cancel();
      this.#requests.delete(message.request);
    }
  }

  #send(request: Request): void {
    const [link] = this.#links;
    if (!link) return;
    request.sentOn = link;
    // To remove a million jobs takes its time; that the distributor is alive the connection sees to.
    if (request.message.type === 'query' && request.message.kind === 'remove') request.timer.cancel();
    link.send(request.message);
  }
}

const unanswered = (message: string): JobReactorError => new JobReactorError('NOT_CONNECTED', message);

const removed = ({ removed: count, skipped, missing }: Answered): RemovedJobs => ({ removed: count, skipped, missing });
