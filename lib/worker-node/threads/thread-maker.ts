import type { Piscina } from 'piscina';
import type { JobGateway } from '../../job/job-gateway.js';
import type { EmitEvent } from '../../job-reactor.events.js';
import type { ThreadSettings } from '../../job-reactor.options.js';
import { ClientBridge, refusingGateway } from './client-bridge.js';
import { loadPiscina } from './load-piscina.js';
import { PoolThread, type ThreadEvents } from './pool-thread.js';
import { announcementIn } from './this-thread.js';
import { MARK, type Announcement, type ThreadOutcome, type ThreadSetup, type ThreadTask } from './thread-messages.js';

export interface ThreadMakerParts {
  node: string;
  /** Name of the `forRoot` that has the node. */
  forRoot: string | null;
  settings: ThreadSettings;
  /** What the clients in the threads stand on. Asked for once there is a thread. */
  gateway: () => JobGateway;
  emit: EmitEvent;
}

export interface ThreadMakerEvents extends Omit<ThreadEvents, 'log'> {
  made(thread: PoolThread): void;
  /** A thread died while it had no attempt. */
  died(error: unknown): void;
}

/** Piscina as the pool uses it: makes threads, replaces dead ones, gives a task to the thread that was chosen, kills. */
export class ThreadMaker {
  readonly #parts: ThreadMakerParts;
  readonly #events: ThreadMakerEvents;
  #pool: Piscina | undefined;
  #chosen: symbol | undefined;
  #stopped = false;

  constructor(parts: ThreadMakerParts, events: ThreadMakerEvents) {
    this.#parts = parts;
    this.#events = events;
  }

  /** @throws {JobReactorError} NO_PISCINA */
  async start(): Promise<void> {
    const { settings, node, forRoot } = this.#parts;
    const pools = await loadPiscina();
    if (this.#stopped) return;
    const setup: ThreadSetup = { node, forRoot, module: settings.module, export: settings.export };
    const chosen = pools.queueOptionsSymbol;
    this.#chosen = chosen;
    this.#pool = new pools({
      filename: new URL('./job-thread.js', import.meta.url).href,
      name: 'run',
      minThreads: settings.size,
      maxThreads: settings.size,
      concurrentTasksPerWorker: 1,
      // The other ways stop the event loop of an idle thread: its timers and connections would stand still.
      atomics: 'disabled',
      idleTimeout: Infinity,
      recordTiming: false,
      workerData: { [MARK]: setup },
      resourceLimits: settings.resourceLimits,
      ...(settings.execArgv ? { execArgv: settings.execArgv } : {}),
      loadBalancer: (task, threads) => {
        const wanted = (task as unknown as Record<symbol, { thread: number } | undefined>)[chosen]?.thread;
        return threads.find(({ id }) => id === wanted) ?? null;
      },
    });
    this.#pool.on('message', (message: unknown) => {
      const announcement = announcementIn(message);
      if (announcement) this.#announced(announcement);
    });
    this.#pool.on('error', (error: unknown) => this.#events.died(error));
  }

  /** @throws whatever took the thread down, or its being killed */
  async run(thread: PoolThread, task: ThreadTask, kill: AbortSignal): Promise<ThreadOutcome> {
    // Under its symbol, which is not sent along, the load balancer finds which thread is meant.
    const directed = { ...task, [this.#chosen as symbol]: { thread: thread.id } };
    return (await this.#pool!.run(directed, { signal: kill })) as ThreadOutcome;
  }

  /** Piscina ends a thread when the task it has is aborted, whatever it is doing, and replaces it. */
  kill(thread: PoolThread): void {
    const kill = new AbortController();
    this.run(thread, {} as ThreadTask, kill.signal).catch(() => undefined);
    kill.abort();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#pool?.destroy();
  }

  #announced(announcement: Announcement): void {
    const { forRoot, gateway, node, emit } = this.#parts;
    if (announcement.kind === 'client') {
      const own = announcement.forRoot === forRoot;
      const asked = own ? gateway() : refusingGateway(announcement.forRoot, node);
      new ClientBridge(announcement.port, asked).serve();
      return;
    }
    const thread = new PoolThread(announcement.thread, announcement.port, {
      ...this.#events,
      log: ({ level, context, message, stack }) =>
        emit({ event: 'thread log', node, level, context, message, ...(stack === undefined ? {} : { stack }) }),
    });
    this.#events.made(thread);
  }
}
