import type { StoredJob } from '../job/job.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { Completed } from './job-completer.js';

/** What a node has to say of itself and its jobs. */
export class NodeFacts {
  readonly #node: string;
  readonly #emit: EmitEvent;
  readonly #parked = new Set<string>();

  constructor({ node, emit }: { node: string; emit: EmitEvent }) {
    this.#node = node;
    this.#emit = emit;
  }

  started(storage: string, jobs: string[], recovered: number): void {
    this.#emit({ event: 'node started', node: this.#node, storage, jobs, recovered });
  }

  /** Said once a name: such jobs wait until the node has a handler, or threads, for them, and spend no attempt. */
  parked(name: string, needsThreads: boolean): void {
    const key = `${needsThreads} ${name}`;
    if (this.#parked.has(key)) return;
    this.#parked.add(key);
    this.#emit({ event: 'job parked', node: this.#node, name, needsThreads });
  }

  /** `on`: the node whose process died. */
  crashed({ id, name }: StoredJob, { transition }: Completed, alone: boolean, on = this.#node): void {
    const { crashes } = transition.job;
    this.#emit({ event: 'job crashed', node: on, id, name, crashes, alone, final: transition.kind === 'end' });
  }

  runsAlone({ id, name, crashes }: StoredJob): void {
    this.#emit({ event: 'job runs alone', node: this.#node, id, name, crashes });
  }

  expired({ id, name }: StoredJob): void {
    this.#emit({ event: 'job expired', role: `node ${this.#node}`, id, name });
  }

  failed({ id, name, attempt }: StoredJob, error: unknown, completed: Completed | null): void {
    const willRetry = completed?.transition.kind === 'again';
    this.#emit({ event: 'job failed', node: this.#node, id, name, attempt, willRetry, error });
  }
}
