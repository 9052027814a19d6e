import type { EmitEvent } from '../job-reactor.events.js';
import type { StoredJob } from '../job/job.js';
import type { Cancel } from '../protocol/job-messages.js';
import { type ParkedQueryMessage, parkedAnswered } from '../protocol/parked-messages.js';
import {
  type Edit,
  type Query,
  answeredMessage,
  answerMessage,
  editFrom,
  type AnsweredFacts,
} from '../protocol/query-messages.js';
import type { ParkedFeedbacks } from '../storage/parked-feedbacks.js';
import type { DistributorLink } from './distributor-link.js';
import type { JobClearing, Removed } from './job-clearing.js';
import type { Completed } from './job-completer.js';
import type { JobControl } from './job-control.js';

export interface AnswerParts {
  node: string;
  control: JobControl;
  clearing: JobClearing;
  parked: ParkedFeedbacks;
  emit: EmitEvent;
  /** Resolves when a job that is on its way into the storage has arrived; at once for any other. Without an id: all. */
  arrived: (id?: string) => Promise<unknown>;
  /** A job was cancelled or removed: its feedback is to be reported. */
  ended: (completed: Completed) => void;
  /** A job that had ended is to run again. */
  retried: (job: StoredJob) => void;
  /** A void copy was dropped. */
  dropped: () => void;
}

/**
 * Answers what a distributor asks or says about jobs. When the storage fails there is no answer: the distributor then
 * counts this node as one that could not tell.
 */
export class JobAnswers {
  readonly #parts: AnswerParts;

  constructor(parts: AnswerParts) {
    this.#parts = parts;
  }

  cancel(link: DistributorLink, { request, id, reason }: Cancel): Promise<void> {
    return this.#unlessStorageFails(async () => {
      await this.#parts.arrived(id);
      const { answer, completed } = await this.#parts.control.cancel(id, reason);
      if (completed) this.#parts.ended(completed);
      link.send({ type: 'cancelled', request, id, answer });
    });
  }

  query(link: DistributorLink, query: Query | ParkedQueryMessage): Promise<void> {
    if (query.type === 'parked-query') return this.#parked(link, query);
    return this.#unlessStorageFails(async () => {
      await this.#parts.arrived(query.id);
      const facts = await this.#answer(link, query);
      link.send(answeredMessage(query.request, facts));
    });
  }

  edit(link: DistributorLink, edit: Edit): Promise<void> {
    const { request, id } = edit;
    return this.#unlessStorageFails(async () => {
      await this.#parts.arrived(id);
      const edited = await this.#parts.control.edit(id, editFrom(edit));
      link.send(answeredMessage(request, { edited }));
    });
  }

  settled(ids: readonly string[]): void {
    this.#parts.control.settled(ids);
  }

  superseded(id: string): Promise<void> {
    return this.#unlessStorageFails(async () => {
      if (await this.#parts.control.supersede(id)) this.#parts.dropped();
    });
  }

  /** Sends what is found, and gives what is to be said at the end. */
  async #answer(link: DistributorLink, { request, kind, id, filter, now }: Query): Promise<Partial<AnsweredFacts>> {
    const { control, clearing } = this.#parts;
    if (kind === 'jobs' && filter) {
      const { jobs, after } = await clearing.page(filter);
      for (const job of jobs) link.send(answerMessage(request, job));
      return { after };
    }
    if (kind === 'remove' && filter) return this.#removed(await clearing.removePage(filter));
    if (id === undefined) return {};
    if (kind === 'remove') return this.#removed(await clearing.remove(id));
    if (kind === 'retry' && now) return { retried: await control.runNow(id), origin: null };
    if (kind === 'retry') return this.#retry(id);
    const found = await control.find(id);
    if (found) link.send(answerMessage(request, found));
    return {};
  }

  #parked(link: DistributorLink, { request, kind, filter }: ParkedQueryMessage): Promise<void> {
    const { parked } = this.#parts;
    return this.#unlessStorageFails(async () => {
      if (kind !== 'list') return link.send(parkedAnswered(request, await parked[kind](filter)));
      const { feedbacks, after } = await parked.page(filter);
      for (const feedback of feedbacks) link.send({ type: 'parked', request, feedback });
      link.send(parkedAnswered(request, { after }));
    });
  }

  #removed<T extends Removed>({ ended, ...facts }: T): Omit<T, 'ended'> {
    for (const completed of ended) this.#parts.ended(completed);
    return facts;
  }

  async #retry(id: string): Promise<Partial<AnsweredFacts>> {
    const { answer, job } = await this.#parts.control.retry(id);
    if (job) this.#parts.retried(job);
    return { retried: answer, origin: job?.origin ?? null };
  }

  async #unlessStorageFails(answer: () => Promise<void>): Promise<void> {
    try {
      await answer();
    } catch (error) {
      this.#parts.emit({ event: 'storage failed', role: `node ${this.#parts.node}`, error });
    }
  }
}
