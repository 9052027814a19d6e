import { systemClock } from './clock.js';
import { JobReactorClient } from './client/job-reactor-client.js';
import type { ReadOptions } from './job-reactor.read-options.js';
import { openPort } from './worker-node/threads/this-thread.js';
import { ThreadGateway } from './worker-node/threads/thread-gateway.js';

/**
 * What a `forRoot` is in a worker thread of a node: no socket, no storage, no roles; only a client, which asks the main
 * thread.
 */
export class ThreadRuntime {
  readonly client: JobReactorClient;
  readonly distributor = null;
  readonly isTest = false;
  readonly name: string | undefined;
  readonly #gateway: ThreadGateway;

  constructor({ name, jobs }: ReadOptions) {
    this.name = name;
    this.#gateway = new ThreadGateway(openPort({ kind: 'client', forRoot: name ?? null }));
    this.client = new JobReactorClient(this.#gateway, jobs, systemClock);
  }

  async init(): Promise<void> {}

  async start(): Promise<void> {}

  async stopNode(): Promise<void> {}

  /** Before the module's own `onModuleDestroy`, as in the main thread: the job that ran has ended. */
  async stop(): Promise<void> {
    this.#gateway.close();
  }
}
