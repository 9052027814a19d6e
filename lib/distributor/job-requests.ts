import type { Clock, ClockTimer } from '../clock.js';
import type { FoundJob } from '../job/found-job.js';
import type { FoundPage, JobPageQuery } from '../job/job-query.js';
import type { Answer, Answered, Cancelled, Message, Query } from '../protocol/message.js';
import { foundFrom } from '../protocol/query-messages.js';
import type { ConnectedNode } from './connected-node.js';

/** A node that has not answered by then counts as one that could not. */
const ANSWER_WITHIN = 5_000;

interface Open {
  node: ConnectedNode;
  timer: ClockTimer;
  found: FoundJob[];
  resolve: (end: Cancelled | Answered | null) => void;
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

  async retry(node: ConnectedNode, id: string): Promise<Answered | null> {
    return (await this.#query(node, { kind: 'retry', id })).end;
  }

  answered(node: ConnectedNode, message: Cancelled | Answer | Answered): void {
    const open = this.#open.get(message.request);
    if (open?.node !== node) return;
    if (message.type === 'answer') open.found.push(foundFrom(message));
    else this.#close(message.request, message);
  }

  lost(node: ConnectedNode): void {
    for (const [request, open] of this.#open) if (open.node === node) this.#close(request, null);
  }

  async #query(
    node: ConnectedNode,
    query: Omit<Query, 'type' | 'request'>,
  ): Promise<{ found: FoundJob[]; end: Answered | null }> {
    const { found, end } = await this.#ask(node, (request) => ({ type: 'query', request, ...query }));
    return { found, end: end?.type === 'answered' ? end : null };
  }

  #ask(
    node: ConnectedNode,
    message: (request: number) => Message,
  ): Promise<{ found: FoundJob[]; end: Cancelled | Answered | null }> {
    const request = this.#next++;
    return new Promise((resolve) => {
      const found: FoundJob[] = [];
      const timer = this.#clock.after(ANSWER_WITHIN, () => this.#close(request, null), false);
      this.#open.set(request, { node, timer, found, resolve: (end) => resolve({ found, end }) });
      node.send(message(request));
    });
  }

  #close(request: number, end: Cancelled | Answered | null): void {
    const open = this.#open.get(request);
    this.#open.delete(request);
    open?.timer.cancel();
    open?.resolve(end);
  }
}
