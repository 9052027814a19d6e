import type { CancelAnswer } from '../job/job-control.js';
import type { FoundJob, NewJob } from '../job/job-gateway.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { Cancel, Query, Submit } from '../protocol/message.js';
import type { ConnectedNode } from './connected-node.js';

/** What the application itself may ask of the distributor. */
export interface Asked {
  accept(jobs: readonly NewJob[], submitter: string): Promise<('accepted' | 'duplicate')[]>;
  cancel(id: string, reason: string): Promise<CancelAnswer>;
  find(id: string): Promise<FoundJob | null>;
}

/** The same asked by a node, and answered over its connection. */
export class NodeRequests {
  readonly #asked: Asked;

  constructor(asked: Asked) {
    this.#asked = asked;
  }

  async submit(node: ConnectedNode, { job, args }: Submit): Promise<void> {
    const { listeners, ...rest } = job;
    try {
      const closures = listeners === 'closures';
      const [answer] = await this.#asked.accept([{ ...rest, args, closures }], node.instance);
      node.send({ type: 'accepted', id: job.id, ...(answer === 'duplicate' ? { duplicate: true } : {}) });
    } catch (error) {
      const code = error instanceof JobReactorError ? error.code : 'JOB_REJECTED';
      // No answer is the honest one: the node asks again, with the same id.
      if (code === 'ENQUEUE_UNKNOWN') return;
      const message = error instanceof Error ? error.message : String(error);
      node.send({ type: 'accepted', id: job.id, error: { code, message } });
    }
  }

  async cancel(node: ConnectedNode, { request, id, reason }: Cancel): Promise<void> {
    const answer = await this.#asked.cancel(id, reason);
    node.send({ type: 'cancelled', request, id, answer });
  }

  async query(node: ConnectedNode, { request, find }: Query): Promise<void> {
    const found = await this.#asked.find(find);
    const { view, args, result } = found ?? { view: null, args: '', result: null };
    node.send({ type: 'answer', request, job: view, args, result: result ?? '' });
  }
}
