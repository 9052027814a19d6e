import type { Clock, ClockTimer } from '../clock.js';
import type { Answer, Cancelled, Message } from '../protocol/message.js';
import type { ConnectedNode } from './connected-node.js';

/** A node that has not answered by then counts as one that could not. */
const ANSWER_WITHIN = 5_000;

interface Open {
  node: ConnectedNode;
  timer: ClockTimer;
  resolve: (answer: Cancelled | Answer | null) => void;
}

/** Questions to nodes and their answers. */
export class JobRequests {
  readonly #clock: Clock;
  readonly #open = new Map<number, Open>();
  #next = 1;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Null when the node did not answer in time or was lost. */
  async cancel(node: ConnectedNode, id: string, reason: string): Promise<Cancelled | null> {
    const answer = await this.#ask(node, (request) => ({ type: 'cancel', request, id, reason }));
    return answer?.type === 'cancelled' ? answer : null;
  }

  async find(node: ConnectedNode, id: string): Promise<Answer | null> {
    const answer = await this.#ask(node, (request) => ({ type: 'query', request, find: id }));
    return answer?.type === 'answer' ? answer : null;
  }

  answered(node: ConnectedNode, answer: Cancelled | Answer): void {
    const open = this.#open.get(answer.request);
    if (open?.node === node) this.#close(answer.request, answer);
  }

  lost(node: ConnectedNode): void {
    for (const [request, open] of this.#open) if (open.node === node) this.#close(request, null);
  }

  #ask(node: ConnectedNode, message: (request: number) => Message): Promise<Cancelled | Answer | null> {
    const request = this.#next++;
    return new Promise((resolve) => {
      const timer = this.#clock.after(ANSWER_WITHIN, () => this.#close(request, null), false);
      this.#open.set(request, { node, timer, resolve });
      node.send(message(request));
    });
  }

  #close(request: number, answer: Cancelled | Answer | null): void {
    const open = this.#open.get(request);
    this.#open.delete(request);
    open?.timer.cancel();
    open?.resolve(answer);
  }
}
