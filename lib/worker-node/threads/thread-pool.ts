import type { Clock, ClockTimer } from '../../clock.js';
import type { JobHandlers } from '../../handlers/job-handler.js';
import type { ErrorData } from '../../job/job.js';
import { errorData } from '../../job/job.errors.js';
import { JobReactorError } from '../../job-reactor.error.js';
import type { JobThreads, ThreadAnswer, ThreadOrder } from './job-threads.js';
import type { PoolThread } from './pool-thread.js';
import { PromisedThreads } from './promised-threads.js';
import { attemptIn } from './thread-attempt.js';
import { ThreadMaker, type ThreadMakerParts } from './thread-maker.js';

const FIRST_BOOT_RETRY = 1_000;
const LONGEST_BOOT_RETRY = 30_000;
/** Milliseconds for the shutdown hooks of a thread. */
const STOP_WITHIN = 10_000;

export interface ThreadPoolParts extends ThreadMakerParts {
  clock: Clock;
}

/** The worker threads of a node: which one gets an attempt, when one boots its module, how it ends. */
export class ThreadPool implements JobThreads {
  readonly #parts: ThreadPoolParts;
  readonly #maker: ThreadMaker;
  readonly #threads = new Set<PoolThread>();
  readonly #promised = new PromisedThreads();
  /** Of an idle thread its end, of a booting one the latest moment to be ready. */
  readonly #timers = new Map<PoolThread, ClockTimer>();
  #nextRun = 1;
  #failures = 0;
  #retry: ClockTimer | undefined;
  #stopping: Promise<void> | undefined;
  #freed: () => void = () => undefined;
  /** While the first thread boots at start. */
  #first: { resolve: (jobs: string[]) => void; reject: (error: Error) => void } | undefined;

  constructor(parts: ThreadPoolParts) {
    this.#parts = parts;
    this.#maker = new ThreadMaker(parts, {
      made: (thread) => this.#made(thread),
      ready: (thread, jobs) => this.#ready(thread, jobs),
      failed: (thread, error) => this.#bootFailed(thread, error),
      gone: (thread) => this.#gone(thread),
      died: (error) => this.#died(error),
    });
  }

  async start(handlers: JobHandlers, freed: () => void): Promise<void> {
    const jobs = handlers.names().filter((name) => handlers.find(name)?.defaults.thread);
    const { settings, node, emit } = this.#parts;
    const booted = new Promise<string[]>((resolve, reject) => (this.#first = { resolve, reject }));
    try {
      await this.#maker.start();
      const handled = await booted;
      if (this.#stopping) return;
      const missing = jobs.filter((job) => !handled.includes(job));
      if (missing.length > 0) throw this.#lacks(missing, handled);
    } catch (error) {
      await this.stop();
      throw error;
    }
    this.#first = undefined;
    this.#freed = freed;
    emit({ event: 'threads ready', node, size: settings.size });
    this.#bootMissing();
  }

  reserve(): boolean {
    if (this.#promised.promise()) return true;
    // A cold one is on its way now that it is needed; `freed` tells when it is there.
    if (![...this.#threads].some(({ state }) => state === 'booting')) this.#boot(1);
    return false;
  }

  release(): void {
    this.#promised.release();
    this.#freed();
  }

  async run(order: ThreadOrder): Promise<ThreadAnswer> {
    const thread = await this.#take(order.signal);
    if (!thread) return { kind: 'threw', thrown: order.signal.reason, args: null };
    const { answer, ended } = await attemptIn(thread, this.#nextRun++, order, { ...this.#parts, maker: this.#maker });
    if (thread.state === 'busy' && !ended) this.#free(thread);
    return answer;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#retry?.cancel();
    this.#first?.resolve([]);
    for (const timer of this.#timers.values()) timer.cancel();
    const booted = [...this.#threads].filter(({ state }) => state !== 'cold' && state !== 'booting');
    for (const thread of booted) if (thread.state !== 'ending') thread.stop(false);
    await this.#within(STOP_WITHIN, Promise.all(booted.map(({ stopped }) => stopped)));
    await this.#maker.stop();
  }

  #made(thread: PoolThread): void {
    this.#threads.add(thread);
    // At start one shows whether the module boots at all. Later this one stands for one that has died.
    if (!this.#first) this.#bootMissing();
    else if (this.#threads.size === 1) this.#boot(1);
  }

  /** All of them, where they are to be there; else as many as attempts wait for. */
  #bootMissing(): void {
    const { idleTimeout, size } = this.#parts.settings;
    this.#boot(idleTimeout === null ? size : this.#promised.waiting);
    this.#freed();
  }

  #boot(count: number): void {
    if (this.#stopping || this.#retry) return;
    const { clock, settings } = this.#parts;
    const cold = [...this.#threads].filter(({ state }) => state === 'cold');
    for (const thread of cold.slice(0, count)) {
      thread.boot();
      const late = (): void => {
        this.#failed(`did not boot its module within ${settings.bootTimeout} ms`);
        this.#maker.kill(thread);
      };
      this.#timers.set(thread, clock.after(settings.bootTimeout, late));
    }
  }

  #ready(thread: PoolThread, jobs: string[]): void {
    if (thread.state !== 'booting') return;
    this.#forgetTimer(thread);
    this.#failures = 0;
    this.#first?.resolve(jobs);
    this.#free(thread);
  }

  #free(thread: PoolThread): void {
    if (this.#stopping) return;
    thread.state = 'idle';
    if (!this.#promised.add(thread)) return;
    this.#endLater(thread);
    this.#freed();
  }

  #endLater(thread: PoolThread): void {
    const { clock, settings } = this.#parts;
    if (settings.idleTimeout === null) return;
    const end = (): void => this.#endIdle(thread);
    this.#timers.set(thread, clock.after(settings.idleTimeout, end, false));
  }

  #endIdle(thread: PoolThread): void {
    // Promised to an attempt that is about to begin.
    if (this.#promised.spare <= 0) return this.#endLater(thread);
    this.#notIdle(thread);
    thread.stop(true);
    const late = (): void => this.#maker.kill(thread);
    this.#timers.set(thread, this.#parts.clock.after(STOP_WITHIN, late, false));
  }

  #notIdle(thread: PoolThread): void {
    this.#promised.remove(thread);
    this.#forgetTimer(thread);
  }

  #forgetTimer(thread: PoolThread): void {
    this.#timers.get(thread)?.cancel();
    this.#timers.delete(thread);
  }

  /** The thread that was promised, or another if that has died; null when the attempt was aborted before there was one. */
  #take(signal: AbortSignal): Promise<PoolThread | null> | PoolThread | null {
    const idle = this.#promised.take();
    if (idle) {
      this.#forgetTimer(idle);
      return idle;
    }
    if (signal.aborted) return null;
    const next = this.#promised.wait(signal);
    this.#boot(1);
    return next;
  }

  #bootFailed(thread: PoolThread, { message, stack }: ErrorData): void {
    if (thread.state !== 'booting') return;
    const cause = new Error(message);
    if (stack !== undefined) cause.stack = stack;
    this.#failed(`could not boot its module: ${message}`, cause);
    thread.exit();
  }

  #gone(thread: PoolThread): void {
    this.#threads.delete(thread);
    this.#notIdle(thread);
    if (thread.state === 'booting') this.#failed('ended while it booted its module');
  }

  #died(error: unknown): void {
    const { emit, node } = this.#parts;
    if (this.#first) this.#failed(`died while it booted its module: ${errorData(error).message}`, error);
    else if (!this.#stopping) emit({ event: 'thread failed', node, error, retryIn: 0 });
  }

  /** What can't boot now may boot later (its database is away): tried again, ever more rarely. */
  #failed(what: string, cause?: unknown): void {
    if (this.#stopping || this.#retry) return;
    const { clock, emit, node } = this.#parts;
    const error = new JobReactorError('THREAD_FAILED', `A worker thread of node '${node}' ${what}`, { cause });
    if (this.#first) return this.#first.reject(error);
    const retryIn = Math.min(FIRST_BOOT_RETRY * 2 ** this.#failures++, LONGEST_BOOT_RETRY);
    emit({ event: 'thread failed', node, error, retryIn });
    this.#retry = clock.after(retryIn, () => {
      this.#retry = undefined;
      this.#bootMissing();
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
