import { ChurningMap } from '../churning-map.js';
import type { ClockTimer } from '../clock.js';
import type { FeedbackRecord } from '../job/feedback-record.js';
import type { JobOrigin, JobSpec } from '../job/job.js';
import { type Result, resultMessage } from '../protocol/result-messages.js';
import type { TimerQueue } from '../timer-queue.js';
import type { ConnectedNode } from './connected-node.js';
import type { NodeRegistry } from './node-registry.js';

/** For so long a result waits for the node that submitted its job and is not connected; then its closures are gone with their process. */
const ORPHANED_AFTER = 30_000;

/** Jobs that others than their submitters want to hear of. */
const MOST_FOLLOWED = 10_000;

interface Forward {
  message: Result;
  submitter: string;
  told: Promise<void>;
  done: () => void;
  /** Rings when its submitter was away for too long; null while it is connected. */
  orphaned: ClockTimer | null;
}

/** Brings what happens to a job that a node submitted back to that node. */
export class ResultForwarder {
  readonly #registry: NodeRegistry;
  readonly #timers: TimerQueue;
  readonly #forwards = new ChurningMap<string, Forward>();
  readonly #submitted = new ChurningMap<string, string>();
  readonly #followers = new Map<string, Set<string>>();

  constructor(registry: NodeRegistry, timers: TimerQueue) {
    this.#registry = registry;
    this.#timers = timers;
  }

  stored({ id, origin }: JobSpec, assignment: number): void {
    if (origin.submitter === null) return;
    this.#submitted.set(id, origin.submitter);
    this.#registry.byInstance(origin.submitter)?.send({ type: 'stored', jobs: [[id, assignment]] });
  }

  /** A job that has ended, and whose word was passed on, runs again. */
  retried(id: string, { submitter }: JobOrigin): void {
    if (submitter !== null) this.#submitted.set(id, submitter);
  }

  /** A submitter whose own job was not enqueued, as this one has its key: it is told as long as it is here. */
  follow(id: string, submitter: string): void {
    const submitters = this.#followers.get(id) ?? new Set();
    this.#followers.set(id, submitters.add(submitter));
    if (this.#followers.size <= MOST_FOLLOWED) return;
    const [oldest] = this.#followers.keys();
    if (oldest !== undefined) this.#followers.delete(oldest);
  }

  followed(feedback: FeedbackRecord): void {
    if (this.#followers.size === 0) return;
    const { jobId, final } = feedback;
    const { mac: _, ...origin } = feedback.origin;
    for (const submitter of this.#followers.get(jobId) ?? []) {
      if (submitter !== origin.submitter)
        this.#registry.byInstance(submitter)?.send(resultMessage({ ...feedback, origin }));
    }
    if (final) this.#followers.delete(jobId);
  }

  progress(id: string, value: string): void {
    const submitter = this.#submitted.get(id);
    const node = submitter === undefined ? undefined : this.#registry.byInstance(submitter);
    if (node && !node.connection.congested) node.send({ type: 'progress', id, value });
  }

  /**
   * Resolves when the submitter has been told or is gone for good; null when there is nothing to wait for. `again`: it was brought here
   * before, and others could not be told.
   */
  result(feedback: FeedbackRecord, again: boolean): Promise<void> | null {
    const { submitter } = feedback.origin;
    // Also brought once more, over another connection, while its submitter has not answered yet.
    const waiting = this.#forwards.get(feedback.id);
    if (again || waiting) return waiting?.told ?? null;
    if (feedback.final) this.#submitted.delete(feedback.jobId);
    if (submitter === null) return null;
    // The MAC is for the node that runs the job; a later run is none of the submitter's.
    const { mac: _, ...origin } = feedback.origin;
    const message = resultMessage({ ...feedback, origin });
    const node = this.#registry.byInstance(submitter);
    node?.send(message);
    if (feedback.listeners !== 'closures') return null;
    let done: () => void = () => undefined;
    const told = new Promise<void>((resolve) => (done = resolve));
    const forward: Forward = { message, submitter, told, done, orphaned: null };
    this.#forwards.set(feedback.id, forward);
    if (!node) this.#await(forward);
    return told;
  }

  /** Only the node it went to can say so. */
  acknowledged(ids: readonly string[], by: ConnectedNode): void {
    for (const id of ids) if (this.#forwards.get(id)?.submitter === by.instance) this.#done(id);
  }

  joined(node: ConnectedNode): void {
    for (const forward of this.#of(node)) {
      forward.orphaned?.cancel();
      forward.orphaned = null;
      node.send(forward.message);
    }
  }

  lost(node: ConnectedNode): void {
    for (const forward of this.#of(node)) this.#await(forward);
  }

  *#of({ instance }: ConnectedNode): Iterable<Forward> {
    for (const forward of this.#forwards.values()) if (forward.submitter === instance) yield forward;
  }

  #await(forward: Forward): void {
    forward.orphaned ??= this.#timers.after(ORPHANED_AFTER, () => this.#done(forward.message.feedback.id));
  }

  #done(id: string): void {
    const forward = this.#forwards.get(id);
    if (!forward) return;
    this.#forwards.delete(id);
    forward.orphaned?.cancel();
    forward.done();
  }
}
