import type { Distributor } from './distributor/distributor.js';
import type { TelemetryFigures } from './job/telemetry.js';
import type { StorageHealth } from './storage/storage-health.js';
import type { WorkerNode } from './worker-node/worker-node.js';

/** How the roles of one `forRoot` are. Everything is in memory already: no node and no storage is asked. */
export interface ReactorHealth {
  /** Null: not in this process. */
  distributor: DistributorHealth | null;
  /** Null: not in this process. */
  node: NodeHealth | null;
}

export interface DistributorHealth {
  listens: boolean;
  /** Connected nodes. */
  nodes: number;
  /** By job name, how many connected nodes run such jobs and are not about to stop. */
  jobs: Record<string, number>;
  /** Jobs that no node has stored. */
  unconfirmed: number;
  /** Jobs that wait for a node. */
  pending: number;
  /** Milliseconds since the job was enqueued that has waited for a node longest; 0 when none waits. */
  oldest: number;
  /** Of the outbox: what its last commit came to. */
  storage: StorageHealth;
}

export interface NodeHealth {
  /** Distributors it is connected to. */
  distributors: number;
  running: number;
  /** What its last commit came to. */
  storage: StorageHealth;
}

export function reactorHealth(
  distributor: Distributor | null,
  node: WorkerNode['health'] | null,
  now: number,
): ReactorHealth {
  return {
    distributor: distributor && ofDistributor(distributor, now),
    node: node && { distributors: node.distributors, running: node.running, storage: node.storage },
  };
}

export function figuresOf({ distributor, node }: ReactorHealth): TelemetryFigures {
  return {
    backlog: distributor?.pending ?? null,
    nodes: distributor?.nodes ?? null,
    running: node?.running ?? null,
  };
}

function ofDistributor(distributor: Distributor, now: number): DistributorHealth {
  const nodes = distributor.nodes();
  const jobs: Record<string, number> = Object.create(null) as Record<string, number>;
  for (const node of nodes) {
    for (const name of node.jobs) if (node.can({ name, options: {} })) jobs[name] = (jobs[name] ?? 0) + 1;
  }
  const { listens, storage, unconfirmed, pending, oldest } = distributor.health;
  const age = oldest === null ? 0 : Math.max(0, now - oldest);
  return { listens, nodes: nodes.length, jobs, unconfirmed, pending, oldest: age, storage };
}
