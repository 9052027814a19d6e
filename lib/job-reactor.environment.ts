import { systemClock, type Clock } from './clock.js';
import type { JobGateway, NewJob } from './job/job-gateway.js';
import type { ReadOptions } from './job-reactor.read-options.js';
import { createStorage } from './storage/create-storage.js';
import type { JobStorage } from './storage/job-storage.js';
import type { StorageOption } from './storage/storage-option.js';
import type { Transport } from './transport/connection.js';
import { withInProcess } from './transport/in-process.js';
import { systemResolve, type Resolve } from './transport/resolver.js';
import { tcpTransport } from './transport/tcp-transport.js';
import type { WorkerNodeParts } from './worker-node/worker-node.js';

/** What the roles of a process stand on beside their options. The test kit hands in another. */
export interface Environment {
  readonly clock: Clock;
  random(): number;
  transport(options: ReadOptions): Transport;
  readonly resolve: Resolve;
  storage(option: StorageOption): JobStorage;
  /** How many jobs that wait a distributor holds whole beside their rows; the default is its own. */
  readonly window?: number;
  /** Null in production. */
  readonly testing: TestingHooks | null;
}

/**
 * Where the test kit gets between the parts. With it a node starts with its application, several `forRoot` without a
 * name may be in one container, and nobody is warned of what a test leaves out.
 */
export interface TestingHooks {
  node(parts: WorkerNodeParts): WorkerNodeParts;
  gateway(gateway: JobGateway): JobGateway;
  /** Schedules have enqueued these. */
  scheduled(jobs: readonly NewJob[]): void;
  /** Time stands still in a test; a stop has to end all the same. */
  stopping(stop: Promise<void>): Promise<void>;
}

export const PRODUCTION: Environment = {
  clock: systemClock,
  random: Math.random,
  transport({ distributor, node }) {
    const listenTls = distributor?.tls ?? null;
    const connectTls = node?.tls ?? null;
    const limits = distributor && {
      connections: distributor.maxNodes,
      connectionsPerAddress: distributor.maxNodesPerAddress,
    };
    const tcp = tcpTransport({ clock: systemClock, ...(limits ? { limits } : {}), listenTls, connectTls });
    return withInProcess(tcp, systemClock);
  },
  resolve: systemResolve,
  storage: (option) => createStorage(option, systemClock),
  testing: null,
};
