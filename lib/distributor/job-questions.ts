import type { CancelAnswer } from '../job/job-control.js';
import { endOf, foundJob, type FoundJob } from '../job/found-job.js';
import type { JobListeners } from '../job/job-listeners.js';
import type { StoredJob } from '../job/job.js';
import type { ConnectedNode } from './connected-node.js';
import { outboxRow, type HeldJob } from './held-job.js';
import type { HeldJobs } from './held-jobs.js';
import type { JobRequests } from './job-requests.js';
import type { NodeRegistry } from './node-registry.js';

export interface QuestionParts {
  held: HeldJobs;
  registry: NodeRegistry;
  listeners: JobListeners;
  requests: JobRequests;
  /** Resolves when a job that was about to be sent is on the wire. */
  sent: (id: string) => Promise<void>;
  /** The row of a job that waits beyond the window, null when it does not. @throws STORAGE */
  beyond: (id: string) => Promise<StoredJob | null>;
}

/** Storages whose node is away, and cancels kept for them. */
const MAX_AWAY = 1_000;
const MAX_KEPT = 100_000;

/** Cancel and find for jobs that are, or may be, on a node. */
export class JobQuestions {
  readonly #parts: QuestionParts;
  readonly #requests: JobRequests;
  /** Durable storages whose node was lost, with the cancels that wait for it. */
  readonly #away = new Map<string, Map<string, string>>();
  /** Ids of the jobs that a cancel is kept for; some may have been delivered. */
  readonly #kept = new Set<string>();

  constructor(parts: QuestionParts) {
    this.#parts = parts;
    this.#requests = parts.requests;
  }

  /** This node confirmed the job. */
  seen(id: string, node: ConnectedNode): void {
    this.#parts.listeners.isAt(id, node.storage);
    if (this.#kept.size === 0 || !this.#kept.has(id)) return;
    // It was kept for a node that is gone, whose jobs this one has taken over.
    this.#kept.delete(id);
    for (const cancels of this.#away.values()) {
      const reason = cancels.get(id);
      if (cancels.delete(id) && reason !== undefined) void this.#requests.cancel(node, id, reason);
    }
  }

  async cancel(id: string, reason: string): Promise<CancelAnswer> {
    const { held, registry, sent } = this.#parts;
    if (held.hasEnded(id)) return 'already-final';
    await sent(id);
    const storage = held.get(id)?.holder ?? this.#parts.listeners.where(id);
    const holder = storage === undefined || storage === null ? undefined : registry.byStorage(storage);
    if (storage && !holder) return this.#keepCancel([storage], id, reason);
    const nodes = holder ? [holder] : [...registry.nodes()];
    const ask = (asked: ConnectedNode[]) => Promise.all(asked.map((node) => this.#requests.cancel(node, id, reason)));
    const answers = await ask(nodes);
    if (holder && answers[0]?.answer === 'unknown') {
      const others = this.#others(holder);
      nodes.push(...others);
      answers.push(...(await ask(others)));
    }
    const told = answers.map((answer) => answer?.answer);
    for (const answer of ['cancelled', 'already-final', 'pending'] as const) if (told.includes(answer)) return answer;
    // Its node had it and has it no more: it ended, and only the word of it is still on its way.
    const state = held.get(id)?.state;
    const wasThere = holder !== undefined && told[0] === 'unknown' && state !== 'sent' && state !== 'pending';
    if (held.hasEnded(id) || wasThere) return 'already-final';
    const silent = nodes.filter((_, index) => answers[index] === null).map((node) => node.storage);
    const away = [...silent, ...(holder ? [] : this.#away.keys())];
    return away.length > 0 ? this.#keepCancel(away, id, reason) : 'unknown';
  }

  /** @throws STORAGE */
  async find(id: string): Promise<FoundJob | null> {
    const { held, registry, beyond } = this.#parts;
    const row = await beyond(id);
    if (row) return foundJob(row, null);
    const job = held.get(id);
    const storage = job?.holder ?? this.#parts.listeners.where(id);
    const holder = storage ? registry.byStorage(storage) : undefined;
    const nodes = job?.state === 'pending' ? [] : holder ? [holder] : [...registry.nodes()];
    const ask = (asked: ConnectedNode[]) => Promise.all(asked.map((node) => this.#requests.find(node, id)));
    const answers = await ask(nodes);
    if (holder && answers[0] && !answers[0].job) answers.push(...(await ask(this.#others(holder))));
    const found = answers.find((answer) => answer?.job);
    if (found?.job) return found.job;
    if (!job || held.hasEnded(id)) return null;
    // Its node had it and has it no more: it ended, and only the word of it is still on its way.
    const wasStored = job.state === 'kept' || job.state === 'confirmed';
    if (wasStored && answers.some((answer) => answer)) return null;
    return foundJob(outboxRow(job), null);
  }

  /** The reason of a cancel that is kept for the node the job was sent to. */
  keptCancel(job: HeldJob): string | undefined {
    return job.holder === null ? undefined : this.#away.get(job.holder)?.get(job.spec.id);
  }

  /** Delivers the cancels that were kept for it, and asks for results that came to their end unheard. */
  joined(node: ConnectedNode): void {
    const cancels = this.#away.get(node.storage) ?? [];
    this.#away.delete(node.storage);
    for (const [id, reason] of cancels) void this.#requests.cancel(node, id, reason);
    for (const id of this.#parts.listeners.awaitedAt(node.storage)) void this.#askAgain(node, id);
  }

  lost(node: ConnectedNode): void {
    if (!node.durable || this.#away.has(node.storage)) return;
    this.#away.set(node.storage, new Map());
    if (this.#away.size <= MAX_AWAY) return;
    const [oldest] = this.#away.keys();
    if (oldest !== undefined) this.#away.delete(oldest);
  }

  async #askAgain(node: ConnectedNode, id: string): Promise<void> {
    const answer = await this.#requests.find(node, id);
    const end = answer?.job && endOf(answer.job);
    if (!answer || (answer.job && !end) || !this.#parts.listeners.awaited(id)) return;
    // The node's own report of the end comes before its answer; who still waits then has missed it for good.
    if (end) return void this.#parts.listeners.deliver(end)?.catch(() => undefined);
    this.#parts.listeners.drop(
      id,
      'it ended while its node was not connected, and nobody had asked to keep its result.',
    );
  }

  /** A job of a shared database may be with another node than the one that confirmed it. */
  #others(holder: ConnectedNode): ConnectedNode[] {
    if (holder.database === undefined) return [];
    return [...this.#parts.registry.nodes()].filter((node) => node !== holder && node.database === holder.database);
  }

  #keepCancel(storages: string[], id: string, reason: string): CancelAnswer {
    if (this.#kept.size >= MAX_KEPT) this.#kept.clear();
    this.#kept.add(id);
    for (const storage of storages) {
      const cancels = this.#away.get(storage);
      if (cancels) cancels.set(id, reason);
      else this.#away.set(storage, new Map([[id, reason]]));
    }
    return 'pending';
  }
}
