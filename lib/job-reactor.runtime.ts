import { randomUUID } from 'node:crypto';
import type { Clock, ClockTimer } from './clock.js';
import { JobReactorClient } from './client/job-reactor-client.js';
import { Distributor } from './distributor/distributor.js';
import type { DeclaredFeedbacks } from './distributor/feedback-runner.js';
import { JobReactorDistributor } from './distributor/job-reactor-distributor.js';
import type { ExploredMethods, HandlerExplorer } from './handlers/handler-explorer.js';
import type { HandlerRegistry } from './handlers/handler-registry.js';
import type { JobHandlers } from './handlers/job-handler.js';
import type { JobGateway } from './job/job-gateway.js';
import type { Telemetry } from './job/telemetry.js';
import { PRODUCTION, type Environment } from './job-reactor.environment.js';
import { JobReactorError } from './job-reactor.error.js';
import type { JobReactorEvent } from './job-reactor.events.js';
import { figuresOf, reactorHealth, type ReactorHealth } from './job-reactor.health.js';
import { JobReactorLogger } from './job-reactor.logger.js';
import type { ReadOptions } from './job-reactor.read-options.js';
import { loadTelemetry } from './telemetry/load-telemetry.js';
import { IN_PROCESS, type Address } from './transport/connection.js';
import { familyOf } from './transport/resolver.js';
import { JobReactorStrategy } from './worker-node/job-reactor.strategy.js';
import { onSignalAgain } from './worker-node/stop-signals.js';
import { ThreadPool } from './worker-node/threads/thread-pool.js';
import { WorkerNode, type WorkerNodeParts } from './worker-node/worker-node.js';

/** Milliseconds after a node's start in which the application may still say what is to happen on SIGTERM. */
const HOOKS_WITHIN = 1_000;
/** Milliseconds after an application's start in which its node is to be started as well. */
const NODE_WITHIN = 10_000;

/** The roles of one `forRoot`, built from its options and moved through the application's life. */
export class JobReactorRuntime {
  readonly client: JobReactorClient;
  readonly distributor: JobReactorDistributor | null;
  readonly strategy = new JobReactorStrategy(
    () => this.startNode(),
    () => this.stopNode(),
  );
  readonly #logger = new JobReactorLogger();
  readonly #environment: Environment;
  readonly #options: ReadOptions;
  readonly #explorer: HandlerExplorer;
  readonly #distributor: Distributor | null;
  readonly #node: WorkerNode | null;
  #explored: ExploredMethods | undefined;
  #handlers: HandlerRegistry | undefined;
  #nodeStarted = false;
  #telemetry: Telemetry | null = null;
  #reminder: ClockTimer | undefined;

  constructor(options: ReadOptions, explorer: HandlerExplorer, environment = PRODUCTION) {
    this.#options = options;
    this.#explorer = explorer;
    this.#environment = environment;
    const { clock } = environment;
    const transport = environment.transport(options);
    const shared = { jobs: options.jobs, instance: randomUUID(), transport, clock, emit: this.#emit };
    this.#distributor =
      options.distributor &&
      new Distributor({
        ...shared,
        settings: options.distributor,
        outbox: options.outbox === 'memory' ? null : environment.storage(options.outbox),
        ...(environment.window === undefined ? {} : { window: environment.window }),
        declared: this.#declared(),
        schedules: () => this.#explore().schedules,
        scheduled: (jobs) => environment.testing?.scheduled(jobs),
        telemetry: () => this.#telemetry,
      });
    const nodeName = options.node?.name ?? '';
    const node: WorkerNodeParts | null = options.node && {
      ...shared,
      settings: options.node,
      handlers: this.#lazyHandlers(),
      storage: environment.storage(options.storage),
      random: () => environment.random(),
      threads: this.isTest ? null : this.#threads(clock),
      awaited: (id) => this.#gateway().listeners.awaited(id),
      ...this.#addresses(),
      resolve: environment.resolve,
      around: (job, run) => this.#telemetry?.attempt(job, nodeName, run) ?? run(),
    };
    const { testing } = environment;
    this.#node = node && new WorkerNode(testing?.node(node) ?? node);
    this.distributor = this.#distributor && new JobReactorDistributor(this.#distributor);
    const gateway = this.#gateway();
    this.client = new JobReactorClient(
      testing?.gateway(gateway) ?? gateway,
      options.jobs,
      clock,
      () => this.#telemetry,
    );
  }

  /** It stands on the test kit. */
  get isTest(): boolean {
    return this.#environment.testing !== null;
  }

  get roles(): { distributor: boolean; node: boolean } {
    return { distributor: this.#distributor !== null, node: this.#node !== null };
  }

  /** From memory: nobody is asked. */
  health(): ReactorHealth {
    return reactorHealth(this.#distributor, this.#node?.health ?? null, this.#environment.clock.now());
  }

  get name(): string | undefined {
    return this.#options.name;
  }

  /** Before the application's own `onModuleInit`: from here on jobs can be enqueued. */
  async init(): Promise<void> {
    this.#telemetry = await loadTelemetry(this.#environment.clock);
    this.#telemetry?.observe(() => figuresOf(this.health()));
    const { nodeMethods, feedbackMethods, emptyParameters } = this.#explore();
    if (!this.#node && nodeMethods.length > 0 && !this.isTest) {
      this.#logger.warn(
        `${nodeMethods.join(', ')}: job methods never run in a process that has no node. Configure \`node\`, or move them to the worker.`,
      );
    }
    if (!this.#distributor && feedbackMethods.length > 0 && !this.isTest) {
      this.#logger.warn(
        `${feedbackMethods.join(', ')}: feedback methods never run in a process that has no distributor. Move them to the application.`,
      );
    }
    if (this.#node) for (const sentence of emptyParameters) this.#logger.warn(sentence);
    await this.#distributor?.open();
  }

  /** After the application's own `onApplicationBootstrap`: from here on its feedback methods may be called. */
  async start(): Promise<void> {
    // Handlers with a mistake are refused before the distributor takes its port and jobs; the node composes them again.
    if (this.#node) this.#refuseWithoutThreads(this.#explore().handlers());
    await this.#distributor?.listen();
    if (!this.isTest) return this.#warnUnstarted();
    if (this.#node) await this.startNode();
  }

  /** @throws {JobReactorError} DUPLICATE_HANDLER, CALLBACK_WITHOUT_JOB, STORAGE, … */
  async startNode(): Promise<void> {
    if (!this.#node) {
      throw new JobReactorError(
        'INVALID_OPTIONS',
        'JobReactorModule.transport() needs a `node` in the forRoot of the same application.',
      );
    }
    if (this.#nodeStarted) return;
    this.#nodeStarted = true;
    this.#handlers = this.#explore().handlers(this.strategy.config);
    this.#refuseWithoutThreads(this.#handlers);
    await this.#node.start();
    this.#reminder?.cancel();
    if (this.isTest) return;
    this.#reminder = this.#environment.clock.after(HOOKS_WITHIN, () => this.#warnWithoutHooks(), false);
  }

  async stopNode(): Promise<void> {
    this.#reminder?.cancel();
    const node = this.#node;
    if (!node || !this.#nodeStarted) return;
    // A test has no process of its own.
    if (this.isTest) return this.#stopping(node.stop());
    const deaf = onSignalAgain(this.#environment.clock, () => node.hurry());
    await node.stop().finally(deaf);
  }

  /** Before the application's own `onModuleDestroy`: running jobs still find everything they use. */
  async stop(): Promise<void> {
    await this.stopNode();
    if (this.#distributor) await this.#stopping(this.#distributor.stop());
    this.#telemetry?.stop();
  }

  #stopping(stop: Promise<void>): Promise<void> {
    return this.#environment.testing?.stopping(stop) ?? stop;
  }

  readonly #emit = (event: JobReactorEvent): void => {
    this.#logger.write(event);
    this.distributor?.tell(event);
  };

  #warnUnstarted(): void {
    const { node } = this.#options;
    if (!node || this.#nodeStarted) return;
    const warn = (): void => this.#emit({ event: 'node not started', node: node.name });
    this.#reminder = this.#environment.clock.after(NODE_WITHIN, warn, false);
  }

  /** Nest tells nobody whether `enableShutdownHooks()` was called; what it does is to listen, as others may do themselves. */
  #warnWithoutHooks(): void {
    const { node, storage } = this.#options;
    if (!node || process.listenerCount('SIGTERM') > 0) return;
    this.#emit({ event: 'no stop is heard', node: node.name, durable: storage !== 'memory' });
  }

  #explore(): ExploredMethods {
    this.#explored ??= this.#explorer.explore();
    return this.#explored;
  }

  #declared(): DeclaredFeedbacks {
    return {
      success: (name) => this.#explore().feedbacks.success.get(name) ?? [],
      error: (name) => this.#explore().feedbacks.error.get(name) ?? [],
    };
  }

  /** The handlers are composed when the node starts, with the guards and pipes the application has by then. */
  #lazyHandlers(): JobHandlers {
    return { names: () => this.#handlers?.names() ?? [], find: (name) => this.#handlers?.find(name) };
  }

  #gateway(): JobGateway {
    const gateway = this.#distributor ?? this.#node?.submitter;
    if (gateway) return gateway;
    throw new JobReactorError('INVALID_OPTIONS', 'Neither `distributor` nor `node` is configured.');
  }

  #threads(clock: Clock): ThreadPool | null {
    const { node, name = null } = this.#options;
    if (!node?.threads) return null;
    const gateway = (): JobGateway => this.#gateway();
    const parts = { node: node.name, forRoot: name, settings: node.threads, gateway, clock };
    return new ThreadPool({ ...parts, emit: this.#emit });
  }

  #refuseWithoutThreads(handlers: HandlerRegistry): void {
    const { node } = this.#options;
    if (!node || node.threads || this.isTest) return;
    const threaded = handlers.names().filter((name) => handlers.find(name)?.defaults.thread);
    if (threaded.length === 0) return;
    throw new JobReactorError(
      'INVALID_OPTIONS',
      `${threaded.join(', ')}: declared with \`thread: true\`, but node '${node.name}' has no worker threads. Give it ` +
        "`threads: { module: new URL('./worker.module.js', import.meta.url), export: 'WorkerModule' }`, or run it in the " +
        'main thread with `@Job(…, { thread: false })`.',
    );
  }

  #addresses(): Pick<WorkerNodeParts, 'addresses' | 'names'> {
    const distributors = this.#options.node?.distributors ?? [];
    // It can't be connected to before it listens.
    const own = (): Promise<Address> => (this.#distributor as Distributor).address().then(() => IN_PROCESS);
    if (distributors.length === 0) return { addresses: [own], names: [] };
    const isFixed = ({ host }: Address): boolean => familyOf(host) !== 0;
    return {
      addresses: distributors.filter(isFixed).map((address) => () => Promise.resolve(address)),
      names: distributors.filter((address) => !isFixed(address)),
    };
  }
}
