import type { FeedbackRecord } from '../job/feedback-record.js';
import { FIRST_RESULTS, resultBytes } from '../protocol/result-messages.js';
import type { ConnectedNode } from './connected-node.js';

const MiB = 1024 * 1024;
/** Bytes of results that one node may have waiting here for the application's code. */
const PER_NODE = 8 * MiB;
/** And all nodes together; where there are more each may have no more than it begins with. */
const ALL_NODES = 128 * MiB;

/**
 * The bytes of results that wait for the application's code. When they are many the nodes are granted no more, and keep
 * theirs: nothing is dropped, and no connection is held up for it.
 */
export class ResultBudget {
  #total = 0;

  get total(): number {
    return this.#total;
  }

  /**
   * Counts one that arrived; null when it came without credit, else what is to be called when the application's code has
   * run, or it is not kept.
   */
  arrived(node: ConnectedNode, feedback: FeedbackRecord): (() => void) | null {
    const { results } = node;
    if (results.received >= results.granted) return null;
    const bytes = resultBytes(feedback);
    results.received += bytes;
    results.waiting += bytes;
    this.#total += bytes;
    this.#grant(node);
    return () => this.#done(node, bytes);
  }

  #done(node: ConnectedNode, bytes: number): void {
    this.#total -= bytes;
    node.results.waiting -= bytes;
    this.#grant(node);
  }

  #grant(node: ConnectedNode): void {
    const { results } = node;
    const allowed = this.#total > ALL_NODES ? FIRST_RESULTS : PER_NODE;
    const granted = results.received + Math.max(0, allowed - results.waiting);
    // Seldom enough to cost nothing; a node with nothing waiting here always has half of it at least.
    if (granted - results.granted < allowed / 2) return;
    results.granted = granted;
    node.send({ type: 'result-credit', bytes: granted });
  }
}
