import { isInstant, type JobSpec } from '../job/job.js';
import type { ConnectedNode } from './connected-node.js';

export type Routed = Pick<JobSpec, 'name' | 'options' | 'runAt' | 'enqueuedAt'>;

/**
 * Which connected nodes a job may go to, busy or not. `notNode` is always honoured. A preferred node that is connected
 * and capable is the only choice, even if busy; others only when there is none, and never when the wish is strict.
 */
export function eligibleNodes(job: Routed, nodes: Iterable<ConnectedNode>): ConnectedNode[] {
  const { node: preferred, notNode, strictNode } = job.options;
  const capable: ConnectedNode[] = [];
  for (const node of nodes) if (node.can(job) && !notNode?.includes(node.name)) capable.push(node);
  if (!preferred) return capable;
  const wished = capable.filter((node) => preferred.includes(node.name));
  return wished.length > 0 || strictNode ? wished : capable;
}

/** The eligible node with most free slots that takes the job now; among equals the one whose last job is longest ago. */
export function selectNode(job: Routed, nodes: Iterable<ConnectedNode>, now: number): ConnectedNode | null {
  const instant = isInstant(job);
  const { node: preferred, notNode } = job.options;
  let best: ConnectedNode | null = null;
  // Most jobs have no wishes, and then no list of candidates is made.
  for (const node of preferred || notNode ? eligibleNodes(job, nodes) : nodes) {
    if (!node.hasCredit(instant, now) || !node.can(job)) continue;
    if (!best || freer(node, best, instant)) best = node;
  }
  return best;
}

function freer(a: ConnectedNode, b: ConnectedNode, instant: boolean): boolean {
  const difference = instant ? a.freeCredit - b.freeCredit : a.freeRoom - b.freeRoom;
  return difference > 0 || (difference === 0 && a.lastTurn < b.lastTurn);
}
