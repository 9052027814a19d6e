import type { Clock } from '../clock.js';
import type { Missing } from '../job/job-query.js';
import { MOST_PAUSES, PauseBook, type Pause, type PauseKind } from '../job/pause-book.js';
import type { PauseGateway } from '../job/pause-gateway.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { Pauses } from '../protocol/pause-messages.js';
import { answeredMessage } from '../protocol/query-messages.js';
import type { AskedNodes } from './asked-nodes.js';
import type { ConnectedNode } from './connected-node.js';
import type { JobRequests } from './job-requests.js';
import type { NodeRegistry } from './node-registry.js';
import type { Outbox } from './outbox.js';

export interface ClusterPausesParts {
  distributor: string;
  outbox: Pick<Outbox, 'pauses' | 'keepPauses'>;
  registry: NodeRegistry;
  asked: AskedNodes;
  requests: JobRequests;
  /** Resolves when the outbox is open. @throws STOPPED, STORAGE */
  open: () => Promise<void>;
  clock: Clock;
  emit: EmitEvent;
  /** More may be sent, or less. */
  changed: () => void;
}

/**
 * What is paused: no job of that name is sent, and to no node of that name, and the nodes start none. All that are
 * connected tell each other the last words they know, so that they stay known wherever one of them was kept.
 */
export class ClusterPauses implements PauseGateway {
  readonly #parts: ClusterPausesParts;
  readonly #book = new PauseBook();

  constructor(parts: ClusterPausesParts) {
    this.#parts = parts;
  }

  /** Once the outbox is open, before anything of it is sent. */
  async load(): Promise<void> {
    const { outbox, clock } = this.#parts;
    this.#book.merge(await outbox.pauses(), clock.now());
    this.#tell(this.#book.paused());
  }

  holds(job: string): boolean {
    return this.#book.isPaused('job', job);
  }

  async set(kind: PauseKind, name: string, paused: boolean): Promise<Missing> {
    const { open, outbox, asked, requests, clock } = this.#parts;
    await open();
    if (paused && !this.#book.admits(kind, name)) throw tooMany();
    const word = this.#book.word(kind, name, paused, clock.now());
    await outbox.keepPauses([word]);
    this.#apply(this.#book.merge([word], clock.now()));
    const silent: ConnectedNode[] = [];
    const tell = async (node: ConnectedNode): Promise<void> => {
      if (!(await requests.pauses(node, [word]))) silent.push(node);
    };
    await Promise.all(asked.about({}).map(tell));
    return { missing: asked.missing({}, silent) };
  }

  async paused(): Promise<Pause[]> {
    await this.#parts.open();
    return this.#book.paused();
  }

  joined(node: ConnectedNode): void {
    node.paused = this.#book.isPaused('node', node.name);
    const words = this.#book.all();
    if (words.length > 0) node.send({ type: 'pauses', words });
  }

  /** A node tells what it knows, or its client wants something. */
  async heard(node: ConnectedNode, { request, words }: Pauses): Promise<void> {
    const { outbox, registry, clock, emit, distributor } = this.#parts;
    try {
      if (request !== undefined) return node.send(answeredMessage(request, await this.#setAll(words)));
      const news = this.#book.merge(words, clock.now());
      if (news.length === 0) return;
      this.#apply(news);
      for (const other of registry.nodes()) if (other !== node) other.send({ type: 'pauses', words: news });
      await outbox.keepPauses(news);
    } catch (error) {
      // No answer is the honest one.
      if (!(error instanceof JobReactorError)) throw error;
      if (error.code === 'STORAGE') emit({ event: 'storage failed', role: `distributor '${distributor}'`, error });
    }
  }

  async #setAll(words: readonly Pause[]): Promise<Missing> {
    const missing = new Set<string>();
    for (const { kind, name, paused } of words)
      for (const node of (await this.set(kind, name, paused)).missing) missing.add(node);
    return { missing: [...missing].sort() };
  }

  #apply(news: readonly Pause[]): void {
    const { registry, changed } = this.#parts;
    if (news.length === 0) return;
    for (const node of registry.nodes()) node.paused = this.#book.isPaused('node', node.name);
    this.#tell(news);
    changed();
  }

  #tell(words: readonly Pause[]): void {
    const { emit, distributor } = this.#parts;
    for (const { kind, name, paused } of words)
      emit({ event: 'pause heard', role: `distributor '${distributor}'`, kind, name, paused });
  }
}

const tooMany = (): JobReactorError =>
  new JobReactorError('INVALID_QUERY', `${MOST_PAUSES} names are paused already, more can't be. Resume some of them.`);
