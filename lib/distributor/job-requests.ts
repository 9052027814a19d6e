import type { Clock, ClockTimer } from '../clock.js';
import type { FoundJob } from '../job/found-job.js';
import type { FoundPage, JobEdit, JobPageQuery } from '../job/job-query.js';
import type { ParkedDone, ParkedPage, ParkedPageQuery } from '../job/parked-feedback.js';
import type { Cancelled } from '../protocol/job-messages.js';
import type { Parked, ParkedAnswered } from '../protocol/parked-messages.js';
import { type Answer, type Answered, type Query, editMessage, foundFrom } from '../protocol/query-messages.js';
import type { Message } from '../protocol/message.js';
import type { Pause } from '../job/pause-book.js';
import type { ConnectedNode } from './connected-node.js';

/** A node that has not answered by then counts as one that could not. */
const ANSWER_WITHIN = 5_000;

interface Open {
  node: ConnectedNode;
  timer: ClockTimer;
  answers: (Answer | Parked)[];
  resolve: (end: End | null) => void;
}

type End = Cancelled | Answered | ParkedAnswered;
interface Heard {
  answers: (Answer | Parked)[];
  end: End | null;
}

/** Questions to nodes and their answers. Each is null when the node did not answer in time or was lost. */
export class JobRequests {
  readonly #clock: Clock;
  readonly #open = new Map<number, Open>();
  #next = 1;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async cancel(node: ConnectedNode, id: string, reason: string): Promise<Cancelled | null> {
    const { end } = await this.#ask(node, (request) => ({ type: 'cancel', request, id, reason }));
    return end?.type === 'cancelled' ? end : null;
  }

  async find(node: ConnectedNode, id: string): Promise<{ job: FoundJob | null } | null> {
    const { found, end } = await this.#query(node, { kind: 'find', id });
    return end && { job: found[0] ?? null };
  }

  async jobs(node: ConnectedNode, filter: JobPageQuery): Promise<FoundPage | null> {
    const { found, end } = await this.#query(node, { kind: 'jobs', filter });
    return end && { jobs: found, after: end.after };
  }

  async remove(node: ConnectedNode, which: { id: string } | { filter: JobPageQuery }): Promise<Answered | null> {
    return (await this.#query(node, { kind: 'remove', ...which })).end;
  }

  async retry(node: ConnectedNode, id: string, now: boolean): Promise<Answered | null> {
    return (await this.#query(node, { kind: 'retry', id, ...(now ? { now } : {}) })).end;
  }

  async edit(node: ConnectedNode, id: string, edit: JobEdit): Promise<Answered | null> {
    const { end } = await this.#ask(node, (request) => editMessage(request, id, edit));
    return end?.type === 'answered' ? end : null;
  }

  /** True when the node has kept them. */
  async pauses(node: ConnectedNode, words: Pause[]): Promise<boolean> {
    const { end } = await this.#ask(node, (request) => ({ type: 'pauses', request, words }));
    return end?.type === 'answered';
  }

  async parked(node: ConnectedNode, filter: ParkedPageQuery): Promise<ParkedPage | null> {
    const { answers, end } = await this.#ask(node, (request) => ({
      type: 'parked-query',
      request,
      kind: 'list',
      filter,
    }));
    if (end?.type !== 'parked-answered') return null;
    return { feedbacks: answers.flatMap((one) => (one.type === 'parked' ? [one.feedback] : [])), after: end.after };
  }

  async changeParked(
    node: ConnectedNode,
    kind: 'redeliver' | 'drop',
    filter: ParkedPageQuery,
  ): Promise<ParkedDone | null> {
    const { end } = await this.#ask(node, (request) => ({ type: 'parked-query', request, kind, filter }));
    return end?.type === 'parked-answered' ? { count: end.count, after: end.after } : null;
  }

  answered(node: ConnectedNode, message: End | Answer | Parked): void {
    const open = this.#open.get(message.request);
    if (open?.node !== node) return;
    if (message.type === 'answer' || message.type === 'parked') open.answers.push(message);
    else this.#close(message.request, message);
  }

  lost(node: ConnectedNode): void {
    for (const [request, open] of this.#open) if (open.node === node) this.#close(request, null);
  }

  async #query(
    node: ConnectedNode,
    query: Omit<Query, 'type' | 'request'>,
  ): Promise<{ found: FoundJob[]; end: Answered | null }> {
    const { answers, end } = await this.#ask(node, (request) => ({ type: 'query', request, ...query }));
    const found = answers.flatMap((one) => (one.type === 'answer' ? [foundFrom(one)] : []));
    return { found, end: end?.type === 'answered' ? end : null };
  }

  #ask(node: ConnectedNode, message: (request: number) => Message): Promise<Heard> {
    const request = this.#next++;
    return new Promise((resolve) => {
      const answers: Heard['answers'] = [];
      const timer = this.#clock.after(ANSWER_WITHIN, () => this.#close(request, null), false);
      this.#open.set(request, { node, timer, answers, resolve: (end) => resolve({ answers, end }) });
      node.send(message(request));
    });
  }

  #close(request: number, end: End | null): void {
    const open = this.#open.get(request);
    this.#open.delete(request);
    open?.timer.cancel();
    open?.resolve(end);
  }
}
