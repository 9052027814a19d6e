import { AsyncLocalStorage } from 'node:async_hooks';
import { systemClock } from '../clock.js';
import type { JobHandler } from '../handlers/job-handler.js';
import { deserialise } from '../job/serialise.js';
import type { Intake, JobGateway, NewJob } from '../job/job-gateway.js';
import type { JobOutcome } from '../job/job-outcome.js';
import type { StoredJob } from '../job/job.js';
import type { Environment, TestingHooks } from '../job-reactor.environment.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { JobStorage } from '../storage/job-storage.js';
import { MemoryStorage } from '../storage/memory-storage.js';
import type { Transport } from '../transport/connection.js';
import type { WorkerNodeParts } from '../worker-node/worker-node.js';
import { afterTransaction, isOpen } from './callers-commit.js';
import { EnqueuedJobs } from './enqueued-jobs.js';
import { ManualClock, settled } from './manual-clock.js';
import { TestGate } from './test-gate.js';
import { TestNetwork } from './test-network.js';

export type TestingMode = 'inline' | 'manual';

/** One attempt that ran, and how it ended. */
export interface TestAttempt {
  id: string;
  name: string;
  /** 1 for the first attempt of a run. */
  attempt: number;
  /** 1, and one more for each further run of a periodic job. */
  run: number;
  status: 'succeeded' | 'failed' | 'cancelled' | 'snoozed' | 'interrupted';
  /** What the handler returned. */
  result: unknown;
  /** What was thrown, itself and not as data; undefined when nothing was. */
  error: unknown;
}

/**
 * What the roles of a test stand on: one clock that is moved by hand, a network without sockets, memory for every storage,
 * and a gate before each attempt. Everything else is the product's own.
 *
 * Besides handlers, feedback code and the clock, whatever goes on is promises and pipes; so once the event loop has
 * turned, all that can happen by itself has happened. That is what `quiet` waits for.
 */
export class TestBench implements Environment, TestingHooks {
  readonly clock: ManualClock;
  readonly enqueued = new EnqueuedJobs();
  readonly attempts: TestAttempt[] = [];
  readonly testing = this;
  readonly gate: TestGate;
  readonly network: TestNetwork;
  isStarted = false;
  readonly #patience: number;
  readonly #handlers = new Set<WorkerNodeParts['handlers']>();
  readonly #gateways = new Set<JobGateway>();
  readonly #inAttempt = new AsyncLocalStorage<string>();
  #waiting = new Set<() => void>();

  constructor(mode: TestingMode, now: number | undefined, patience: number) {
    this.clock = new ManualClock(now === undefined ? {} : { now });
    this.#patience = patience;
    const changed = (): void => this.#changed();
    this.gate = new TestGate(mode === 'inline', changed);
    this.network = new TestNetwork(this.clock, changed);
  }

  // What the roles ask for

  /** Jitter has a middle value, so that a retry's time can be told. */
  random(): number {
    return 0.5;
  }

  transport(): Transport {
    return this.network.transport;
  }

  /** Every host is this test. */
  readonly resolve = async (): Promise<string[]> => ['127.0.0.1'];

  storage(): JobStorage {
    return new MemoryStorage(this.clock);
  }

  node(parts: WorkerNodeParts): WorkerNodeParts {
    const { handlers } = parts;
    this.#handlers.add(handlers);
    return {
      ...parts,
      settings: { ...parts.settings, threads: null },
      handlers: { names: () => handlers.names(), find: (name) => inMainThread(handlers.find(name)) },
      gates: [this.gate],
      around: (job, run) => this.#attempt(job, () => parts.around?.(job, run) ?? run()),
    };
  }

  gateway(real: JobGateway): JobGateway {
    this.#gateways.add(real);
    return {
      listeners: real.listeners,
      queries: real.queries,
      feedbacks: real.feedbacks,
      ...(real.schedules ? { schedules: real.schedules } : {}),
      ...(real.pauses ? { pauses: real.pauses } : {}),
      ...(real.keys ? { keys: real.keys } : {}),
      cancel: (id, reason) => real.cancel(id, reason),
      find: (id) => real.find(id),
      accept: (jobs, distributor) => this.#accept(real, jobs, distributor),
      acceptWithin: (jobs, manager) => {
        const accept = (): Promise<Intake[]> => this.#accept(real, jobs);
        if (!isOpen(manager)) return accept();
        // Told as accepted, and there once the transaction has committed: as with an outbox in its database.
        afterTransaction(manager, () => void accept().catch(() => undefined));
        return Promise.resolve(jobs.map((): Intake => 'accepted'));
      },
    };
  }

  scheduled(jobs: readonly NewJob[]): void {
    for (const job of jobs) this.enqueued.add(job);
  }

  async stopping(stop: Promise<void>): Promise<void> {
    const progress = { over: false };
    const { open } = this.gate;
    this.gate.open = false;
    const end = stop.finally(() => (progress.over = true));
    end.catch(() => undefined);
    while (!progress.over) {
      await this.quiet();
      const due = this.clock.nextDue;
      if (!progress.over && due !== null) this.clock.advance(due - this.clock.monotonic());
    }
    this.gate.open = open;
    return end;
  }

  // What the test asks for

  handlerNames(): string[] {
    return [...new Set([...this.#handlers].flatMap((handlers) => handlers.names()))];
  }

  findHandler(name: string): JobHandler | undefined {
    for (const handlers of this.#handlers) {
      const handler = handlers.find(name);
      if (handler) return inMainThread(handler);
    }
    return undefined;
  }

  /** Lets all happen that happens by itself. */
  async quiet(): Promise<void> {
    for (let turn = 0; turn < 2; turn++) await settled();
  }

  /** Resolves once these jobs, or all, neither run nor have their feedback told. @throws TEST_STUCK */
  async ended(ids: ReadonlySet<string> | null, except: ReadonlySet<string> = new Set()): Promise<void> {
    const busy = (id: string): boolean => (ids === null || ids.has(id)) && !except.has(id);
    for (;;) {
      await this.quiet();
      const waitsFor = [...this.gate.running.keys(), ...this.network.telling].filter(busy);
      if (waitsFor.length === 0) return;
      await this.#change(waitsFor);
    }
  }

  /** Removes what waits, and forgets what was. */
  async clear(): Promise<void> {
    await this.quiet();
    for (const { queries, schedules, pauses, keys } of this.#gateways) {
      for (const { key, job } of (await schedules?.list()) ?? []) if (job.args !== null) await schedules?.remove(key);
      await queries.removeAll({});
      for (const { name, options } of this.enqueued.of(undefined))
        if (options.key) await keys?.release({ name, value: options.key.value });
      for (const { kind, name } of (await pauses?.paused()) ?? []) await pauses?.set(kind, name, false);
    }
    await this.ended(null);
    this.enqueued.clear();
    this.attempts.length = 0;
  }

  async #accept(real: JobGateway, jobs: readonly NewJob[], distributor?: string): Promise<Intake[]> {
    const plain = jobs.map((job) => ({ ...job, options: { ...job.options, thread: undefined } }));
    if (this.#inAttempt.getStore() !== undefined) {
      for (const { id, closures } of jobs) if (closures) this.gate.await(id);
    }
    const intake = await real.accept(plain, distributor);
    intake.forEach((what, at) => what === 'accepted' && this.enqueued.add(jobs[at]!));
    const ids = jobs.map(({ id }, at) => winnerOf(intake[at]) ?? id);
    if (this.#inAttempt.getStore() !== undefined) {
      for (const [at, { closures }] of jobs.entries())
        if (closures && ids[at] !== jobs[at]!.id) this.gate.await(ids[at]!);
    }
    // Where it is to wait it waits once this resolves: on its node, if there is one.
    await this.quiet();
    if (this.gate.open) await this.ended(new Set(ids));
    return intake;
  }

  async #attempt(job: StoredJob, run: () => Promise<JobOutcome>): Promise<JobOutcome> {
    const outcome = await this.#inAttempt.run(job.id, run);
    const { id, name, attempt, run: number } = job;
    const result = outcome.kind === 'succeeded' ? deserialise(outcome.result) : undefined;
    const error = outcome.kind === 'failed' ? outcome.thrown : undefined;
    this.attempts.push({ id, name, attempt, run: number, status: outcome.kind, result, error });
    return outcome;
  }

  #changed(): void {
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const tell of waiting) tell();
  }

  #change(ids: readonly string[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = systemClock.after(this.#patience, () => reject(this.#stuck(ids)));
      this.#waiting.add(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  #stuck(ids: readonly string[]): JobReactorError {
    const told = ids.map((id) => {
      const name = this.gate.running.get(id);
      return name === undefined ? `the feedback of job ${id}` : `job ${name} (${id})`;
    });
    return new JobReactorError(
      'TEST_STUCK',
      `Still not over after ${this.#patience} ms of real time: ${told.join(', ')}. If it waits for the test's clock, ` +
        'start it without `await`, then `advance()`; if for a job, enqueue that with `client.run()`; if it is just slow, ' +
        'raise `patience`.',
    );
  }
}

const winnerOf = (intake: Intake | undefined): string | undefined =>
  typeof intake === 'object' ? intake.winner : undefined;

/** A test has no worker threads: their jobs run where all others do. */
function inMainThread(handler: JobHandler | undefined): JobHandler | undefined {
  if (!handler?.defaults.thread) return handler;
  const { name, callbacks, errbacks, schema } = handler;
  const defaults = { ...handler.defaults, thread: false };
  return {
    name,
    callbacks,
    errbacks,
    defaults,
    ...(schema ? { schema } : {}),
    attempt: (context) => handler.attempt(context),
  };
}
