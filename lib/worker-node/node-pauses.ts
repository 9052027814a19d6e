import type { Clock } from '../clock.js';
import { PauseBook, type Pause } from '../job/pause-book.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { Pauses } from '../protocol/pause-messages.js';
import { answeredMessage } from '../protocol/query-messages.js';
import type { JobStorage } from '../storage/job-storage.js';
import type { DistributorLink } from './distributor-link.js';
import type { GatedJob, StartGate } from './start-gate.js';

export interface NodePausesParts {
  node: string;
  storage: Pick<JobStorage, 'pauses'>;
  clock: Clock;
  emit: EmitEvent;
  /** Tells all distributors but this one. */
  tell: (words: readonly Pause[], but: DistributorLink) => void;
}

/**
 * What is paused, as far as this node has heard: nothing of it starts, and what runs ends as it would. It is kept with the
 * node's jobs, so that they wait on after a restart when no application is there to say so.
 */
export class NodePauses implements StartGate {
  readonly #parts: NodePausesParts;
  readonly #book = new PauseBook();
  #changed: () => void = () => undefined;

  constructor(parts: NodePausesParts) {
    this.#parts = parts;
  }

  /** Once the storage is open, before anything starts. */
  async load(): Promise<void> {
    const { storage, clock } = this.#parts;
    this.#book.merge((await storage.pauses?.list()) ?? [], clock.now());
    this.#tell(this.#book.paused());
  }

  admits({ name, group }: GatedJob): boolean {
    const isPaused = this.#book.isPaused('job', name) || (group !== '' && this.#book.isPaused('group', group));
    return !isPaused && !this.isPaused;
  }

  /** Nothing at all starts on this node. */
  get isPaused(): boolean {
    return this.#book.isPaused('node', this.#parts.node);
  }

  ended(): void {}

  attach(changed: () => void): void {
    this.#changed = changed;
  }

  paused(): Pause[] {
    return this.#book.paused();
  }

  /** A distributor may have begun anew, and not know what this node does. */
  opened(link: DistributorLink): void {
    const words = this.#book.all();
    if (words.length > 0) link.send({ type: 'pauses', words });
  }

  async heard(link: DistributorLink, { request, words }: Pauses): Promise<void> {
    const { node, storage, clock, emit, tell } = this.#parts;
    const news = this.#book.merge(words, clock.now());
    if (news.length > 0) {
      this.#tell(news);
      this.#changed();
      tell(news, link);
    }
    try {
      await storage.pauses?.put(request === undefined ? news : words);
      if (request !== undefined) link.send(answeredMessage(request));
    } catch (error) {
      // It holds all the same, as long as this process lives; who asked hears nothing, which says so.
      emit({ event: 'storage failed', role: `node '${node}'`, error });
    }
  }

  #tell(words: readonly Pause[]): void {
    const { node, emit } = this.#parts;
    for (const { kind, name, paused } of words)
      emit({ event: 'pause heard', role: `node '${node}'`, kind, name, paused });
  }
}
