import type { EmitEvent } from '../job-reactor.events.js';
import type { Cancel, Query } from '../protocol/message.js';
import type { DistributorLink } from './distributor-link.js';
import type { Completed } from './job-completer.js';
import type { JobControl } from './job-control.js';

export interface AnswerParts {
  node: string;
  control: JobControl;
  emit: EmitEvent;
  /** Resolves when a job that is on its way into the storage has arrived; at once for any other. */
  arrived: (id: string) => Promise<unknown>;
  /** A job was cancelled: its feedback is to be reported. */
  cancelled: (completed: Completed) => void;
  /** A void copy was dropped. */
  dropped: () => void;
}

/**
 * Answers what a distributor asks or says about one job. When the storage fails there is no answer: the distributor
 * then counts this node as one that could not tell.
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
      if (completed) this.#parts.cancelled(completed);
      link.send({ type: 'cancelled', request, id, answer });
    });
  }

  query(link: DistributorLink, { request, find }: Query): Promise<void> {
    return this.#unlessStorageFails(async () => {
      await this.#parts.arrived(find);
      const found = await this.#parts.control.find(find);
      const { view, args, result } = found ?? { view: null, args: '', result: null };
      link.send({ type: 'answer', request, job: view, args, result: result ?? '' });
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

  async #unlessStorageFails(answer: () => Promise<void>): Promise<void> {
    try {
      await answer();
    } catch (error) {
      this.#parts.emit({ event: 'storage failed', role: `node ${this.#parts.node}`, error });
    }
  }
}
