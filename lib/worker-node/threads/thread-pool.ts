import type { Piscina } from 'piscina';
import type { Clock, ClockTimer } from '../../clock.js';
import type { JobGateway } from '../../job/job-gateway.js';
import type { ErrorData } from '../../job/job.js';
import { CancelJob } from '../../job/job.errors.js';
import { JobReactorError } from '../../job-reactor.error.js';
import type { EmitEvent } from '../../job-reactor.events.js';
import type { ThreadSettings } from '../../job-reactor.options.js';
import { ClientBridge, refusingGateway } from './client-bridge.js';
import type { JobThreads, ThreadAnswer, ThreadOrder } from './job-threads.js';
import { loadPiscina } from './load-piscina.js';
import { PoolThread } from './pool-thread.js';
import { announcementIn } from './this-thread.js';
import { abortData, threadDied, thrownInThread } from './thread-errors.js';
import { MARK, type ThreadOutcome, type ThreadSetup, type ThreadTask } from './thread-messages.js';

const FIRST_BOOT_RETRY = 1_000;
const LONGEST_BOOT_RETRY = 30_000;
/** Milliseconds for the shutdown hooks of all threads. */
const STOP_WITHIN = 10_000;
/** A thread that is gone has told piscina why by then; an attempt must not wait for that for ever. */
const LAST_WORDS_WITHIN = 1_000;

export interface ThreadPoolParts {
  node: string;
  /** Name of the `forRoot` that has the node. */
  forRoot: string | null;
  settings: ThreadSettings;
  /** What the clients in the threads stand on. */
  gateway: JobGateway;
  clock: Clock;
  emit: EmitEvent;
}

/**
 * The worker threads of a node. Piscina makes, replaces and kills them; which thread gets an attempt, when one boots its
 * module, and how it shuts down is decided here (docs/decisions.md).
 */
export class ThreadPool implements JobThreads {
  readonly #parts: ThreadPoolParts;
  readonly #threads = new Map<number, PoolThread>();
  readonly #idle: PoolThread[] = [];
  readonly #idleTimers = new Map<PoolThread, ClockTimer>();
  readonly #bootTimers = new Map<PoolThread, ClockTimer>();
  /** Attempts that were promised a thread, which has died since. */
  readonly #waiting: ((thread: PoolThread) => void)[] = [];
  #pool: Piscina | undefined;
  #inTask: symbol = Symbol('unset');
  #reserved = 0;
  #nextRun = 1;
  #failures = 0;
  #retry: ClockTimer | undefined;
  #stopping = false;
  #freed: () => void = () => undefined;
  #first: { resolve: (jobs: string[]) => void; reject: (error: Error) => void } | undefined;

  constructor(parts: ThreadPoolParts) {
    this.#parts = parts;
  }

  async start(jobs: readonly string[], freed: () => void): Promise<void> {
    const { settings, node, emit } = this.#parts;
    const there = new Promise<string[]>((resolve, reject) => (this.#first = { resolve, reject }));
    this.#freed = freed;
    await this.#make();
    try {
      const handled = await there;
      const missing = jobs.filter((job) => !handled.includes(job));
      if (missing.length > 0) throw this.#lacks(missing, handled);
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#first = undefined;
    emit({ event: 'threads ready', node, size: settings.size });
    if (settings.idleTimeout === null) this.#bootCold(settings.size);
  }

  reserve(): boolean {
    if (this.#idle.length <= this.#reserved) {
      // A cold one is on its way when it is needed; `freed` tells when it is there.
      if (![...this.#threads.values()].some(({ state }) => state === 'booting')) this.#bootCold(1);
      return false;
    }
    this.#reserved++;
    return true;
  }

  release(): void {
    this.#reserved--;
    this.#freed();
  }

  async run(order: ThreadOrder): Promise<ThreadAnswer> {
    const thread = await this.#take(order.signal);
    if (!thread) return { kind: 'threw', thrown: order.signal.reason, args: null };
    const { clock, emit, node, settings } = this.#parts;
    const { signal, job, fence, args } = order;
    const run = this.#nextRun++;
    const kill = new AbortController();
    let grace: ClockTimer | undefined;
    const abort = (): void => {
      thread.abort({ type: 'abort', run, reason: abortData(signal.reason) });
      grace = clock.after(settings.abortGrace, () => {
        const { id, name, attempt } = job;
        emit({ event: 'thread ended', node, id, name, attempt, grace: settings.abortGrace });
        kill.abort();
      });
    };
    let lastWords: ClockTimer | undefined;
    thread.begin(run, order.progress, () => (lastWords = clock.after(LAST_WORDS_WITHIN, () => kill.abort())));
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    try {
      return answerFrom(await this.#runIn(thread, { run, job, fence, args }, kill.signal));
    } catch (thrown) {
      return { kind: 'threw', thrown: signal.aborted ? signal.reason : threadDied(thrown), args: null };
    } finally {
      signal.removeEventListener('abort', abort);
      grace?.cancel();
      lastWords?.cancel();
      thread.end();
      if (thread.state === 'busy' && !kill.signal.aborted) this.#isIdle(thread);
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#retry?.cancel();
    for (const timer of [...this.#idleTimers.values(), ...this.#bootTimers.values()]) timer.cancel();
    const booted = [...this.#threads.values()].filter(({ state }) => state !== 'cold' && state !== 'booting');
    for (const thread of booted) if (thread.state !== 'ending') thread.stop(false);
    await this.#within(STOP_WITHIN, Promise.all(booted.map(({ stopped }) => stopped)));
    await this.#pool?.destroy();
  }

  async #make(): Promise<void> {
    const { settings, node, forRoot } = this.#parts;
    const pools = await loadPiscina();
    const setup: ThreadSetup = { node, forRoot, module: settings.module, export: settings.export };
    this.#inTask = pools.queueOptionsSymbol;
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
        const chosen = (task as unknown as Record<symbol, { thread: number } | undefined>)[this.#inTask]?.thread;
        return threads.find(({ id }) => id === chosen) ?? null;
      },
    });
    this.#pool.on('message', (message: unknown) => this.#announced(message));
    // A thread that died without an attempt: its port says so as well.
    this.#pool.on('error', (error: unknown) => this.#died(error));
  }

  #announced(message: unknown): void {
    const announcement = announcementIn(message);
    if (!announcement) return;
    const { forRoot, gateway, node } = this.#parts;
    if (announcement.kind === 'client') {
      const own = announcement.forRoot === forRoot;
      new ClientBridge(announcement.port, own ? gateway : refusingGateway(gateway, announcement.forRoot, node));
      return;
    }
    const thread = new PoolThread(announcement.thread, announcement.port, {
      ready: (one, jobs) => this.#isReady(one, jobs),
      failed: (one, error) => this.#isFailed(one, error),
      log: ({ level, context, message: text, stack }) =>
        this.#parts.emit({ event: 'thread log', node, level, context, message: text, ...(stack ? { stack } : {}) }),
      gone: (one) => this.#isGone(one),
    });
    this.#threads.set(thread.id, thread);
    // At start one shows whether the module boots at all; later a dead one is replaced.
    if (this.#first ? this.#threads.size === 1 : this.#parts.settings.idleTimeout === null) this.#bootCold(1);
    else if (this.#waiting.length > 0) this.#bootCold(1);
    else if (!this.#first) this.#freed();
  }

  #bootCold(count: number): void {
    if (this.#stopping || this.#retry) return;
    const { clock, settings } = this.#parts;
    const cold = [...this.#threads.values()].filter(({ state }) => state === 'cold');
    for (const thread of cold.slice(0, count)) {
      thread.boot();
      const late = (): void => this.#bootedTooLong(thread);
      this.#bootTimers.set(thread, clock.after(settings.bootTimeout, late, false));
    }
  }

  #bootedTooLong(thread: PoolThread): void {
    const { bootTimeout } = this.#parts.settings;
    this.#failed(new JobReactorError('THREAD_FAILED', `The module did not boot within ${bootTimeout} ms.`));
    this.#kill(thread);
  }

  #isReady(thread: PoolThread, jobs: string[]): void {
    if (thread.state !== 'booting') return;
    this.#bootTimers.get(thread)?.cancel();
    this.#bootTimers.delete(thread);
    this.#failures = 0;
    this.#first?.resolve(jobs);
    this.#isIdle(thread);
  }

  #isIdle(thread: PoolThread): void {
    if (this.#stopping) return thread.stop(false);
    thread.state = 'idle';
    const waiting = this.#waiting.shift();
    if (waiting) return waiting(thread);
    this.#idle.push(thread);
    const { clock, settings } = this.#parts;
    if (settings.idleTimeout !== null) {
      const end = (): void => this.#endIdle(thread);
      this.#idleTimers.set(thread, clock.after(settings.idleTimeout, end, false));
    }
    this.#freed();
  }

  #endIdle(thread: PoolThread): void {
    this.#idleTimers.delete(thread);
    if (this.#idle.length <= this.#reserved) return; // promised to an attempt that is about to begin
    this.#notIdle(thread);
    thread.stop(true);
    const { clock } = this.#parts;
    const killer = clock.after(STOP_WITHIN, () => this.#kill(thread), false);
    void thread.stopped.then(() => killer.cancel());
  }

  #notIdle(thread: PoolThread): void {
    const at = this.#idle.indexOf(thread);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#idleTimers.get(thread)?.cancel();
    this.#idleTimers.delete(thread);
  }

  /** The thread that was promised, or another if that has died; null when the attempt was aborted before there was one. */
  #take(signal: AbortSignal): Promise<PoolThread | null> | PoolThread | null {
    this.#reserved--;
    const idle = this.#idle.at(-1);
    if (idle) {
      this.#notIdle(idle);
      return idle;
    }
    if (signal.aborted) return null;
    return new Promise((resolve) => {
      const given = (thread: PoolThread): void => {
        signal.removeEventListener('abort', abort);
        resolve(thread);
      };
      const abort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(given), 1);
        resolve(null);
      };
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.push(given);
      this.#bootCold(1);
    });
  }

  #runIn(thread: PoolThread, task: ThreadTask, signal: AbortSignal): Promise<ThreadOutcome> {
    // Under its symbol, which is not sent along, the load balancer finds which thread is meant.
    const directed = { ...task, [this.#inTask]: { thread: thread.id } };
    return this.#pool!.run(directed, { signal }) as Promise<ThreadOutcome>;
  }

  /** Piscina ends a thread when the task it runs is aborted, and replaces it. */
  #kill(thread: PoolThread): void {
    const kill = new AbortController();
    this.#runIn(thread, {} as ThreadTask, kill.signal).catch(() => undefined);
    kill.abort();
  }

  #isFailed(thread: PoolThread, { message, stack }: ErrorData): void {
    if (thread.state !== 'booting') return;
    const cause = new Error(message);
    if (stack !== undefined) cause.stack = stack;
    this.#failed(new JobReactorError('THREAD_FAILED', `A worker thread could not boot its module: ${message}`, { cause }));
    thread.exit();
  }

  #isGone(thread: PoolThread): void {
    this.#threads.delete(thread.id);
    this.#bootTimers.get(thread)?.cancel();
    this.#bootTimers.delete(thread);
    this.#notIdle(thread);
    const { state } = thread;
    if (state === 'booting') this.#failed(new JobReactorError('THREAD_FAILED', 'A worker thread ended while it booted.'));
  }

  #died(error: unknown): void {
    const { emit, node } = this.#parts;
    if (!this.#stopping) emit({ event: 'thread failed', node, error, retryIn: 0 });
  }

  #failed(error: JobReactorError): void {
    if (this.#stopping || this.#retry) return;
    if (this.#first) return this.#first.reject(error);
    const { clock, emit, node, settings } = this.#parts;
    const retryIn = Math.min(FIRST_BOOT_RETRY * 2 ** this.#failures++, LONGEST_BOOT_RETRY);
    emit({ event: 'thread failed', node, error, retryIn });
    this.#retry = clock.after(retryIn, () => {
      this.#retry = undefined;
      if (settings.idleTimeout === null) this.#bootCold(settings.size);
      else if (this.#waiting.length > 0) this.#bootCold(this.#waiting.length);
      this.#freed();
    });
  }

  #lacks(missing: readonly string[], handled: readonly string[]): JobReactorError {
    const { settings } = this.#parts;
    const has = handled.length > 0 ? `It has ${handled.join(', ')}.` : 'It has none at all.';
    const what = `'${settings.export}' of ${settings.module}, which node.threads boots`;
    return new JobReactorError(
      'INVALID_OPTIONS',
      `${what}, has no @Job for ${missing.join(', ')}, which are to run in a thread. ${has}`,
    );
  }

  #within(milliseconds: number, work: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#parts.clock.after(milliseconds, resolve);
      void work.then(() => {
        timer.cancel();
        resolve();
      });
    });
  }
}

function answerFrom(outcome: ThreadOutcome): ThreadAnswer {
  const { args } = outcome;
  switch (outcome.kind) {
    case 'returned':
      return { kind: 'returned', result: outcome.result, args };
    case 'cancelled':
      return { kind: 'threw', thrown: new CancelJob(outcome.reason), args };
    case 'failed':
      return { kind: 'threw', thrown: thrownInThread(outcome.error, outcome.unrecoverable), args };
  }
}
