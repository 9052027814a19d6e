import type { Type } from '@nestjs/common';
import type { AnyJob, ArgsOfJob } from '../job/any-job.js';
import type { ResultOfJob } from '../client/job-handle.js';
import type { ArgsOf, Duration } from '../job/define-job.js';
import { parseDuration } from '../job/duration.js';
import { refuse } from '../job/read-option.js';
import { JobReactorError } from '../job-reactor.error.js';
import type { EnqueuedJob, PartialArgs } from './enqueued-jobs.js';
import { jobNameOf, runAttempt, unknownJob, type JobRun, type RunJobOptions } from './run-attempt.js';
import type { TestAttempt, TestBench, TestingMode } from './test-bench.js';

/** What `runJob` gives back for a definition, a name or a class. */
export type JobRunOf<D> = D extends AnyJob ? JobRun<D extends string ? unknown : ArgsOf<D>, ResultOfJob<D>> : JobRun;

export interface ExpectOptions {
  /** How often exactly. Default: at least once. */
  times?: number;
}

export interface DrainOptions {
  /** Attempts after which it gives up: a job that enqueues itself would never end. Default 10,000. */
  limit?: number;
}

/** Drives the jobs of a test. Injected, or `module.get(JobReactorTesting)`. */
export class JobReactorTesting {
  readonly #bench: TestBench;

  constructor(bench: TestBench) {
    this.#bench = bench;
  }

  /** For the module. */
  static benchOf(testing: JobReactorTesting): TestBench {
    return testing.#bench;
  }

  /** The test's clock, milliseconds since the epoch. It stands still but for `advance`. */
  get now(): number {
    return this.#bench.clock.now();
  }

  get mode(): TestingMode {
    return this.#bench.gate.open ? 'inline' : 'manual';
  }

  /** What is due already when `inline` begins runs now, and is waited for. */
  async setMode(mode: TestingMode): Promise<void> {
    if (mode !== 'inline' && mode !== 'manual') refuse('INVALID_OPTIONS', `mode: 'inline' or 'manual', not ${mode}.`);
    await this.#ready();
    this.#bench.gate.setOpen(mode === 'inline');
    await this.#bench.ended(null);
  }

  /**
   * Runs the next attempt that is due, its callbacks or errbacks and its feedbacks with it; null when none is due.
   * @throws {JobReactorError} TEST_STUCK when it takes longer than `patience`
   */
  async runNext(): Promise<TestAttempt | null> {
    await this.#ready();
    const { gate, attempts } = this.#bench;
    for (;;) {
      const before = attempts.length;
      const id = gate.next();
      if (id === null) return null;
      await this.#bench.ended(new Set([id]));
      // One that has expired was let in and did not run.
      const ran = attempts.slice(before).findLast((attempt) => attempt.id === id);
      if (ran) return ran;
    }
  }

  /**
   * Runs everything that is due, one after another, and what that enqueues, until nothing is; what is due later waits for
   * `advance`. Gives the attempts in the order in which they ended: look at their `status`, since a failed one does not
   * make this reject.
   */
  async drain({ limit = 10_000 }: DrainOptions = {}): Promise<TestAttempt[]> {
    await this.#ready();
    const { attempts } = this.#bench;
    const before = attempts.length;
    while (await this.runNext()) {
      if (attempts.length - before < limit) continue;
      const last = attempts.at(-1)!.name;
      throw new JobReactorError(
        'TEST_STUCK',
        `drain() ran ${limit} attempts and more are due, the last one of '${last}'. Does a job enqueue itself without ` +
          '`after`? Else raise `limit`.',
      );
    }
    return attempts.slice(before);
  }

  /**
   * Moves the clock on, and everything that waits for it fires at its own moment. In inline mode what becomes due on the
   * way runs at that moment and is waited for; in manual mode it waits for `drain` or `runNext`.
   */
  async advance(duration: Duration): Promise<void> {
    const { clock, gate } = this.#bench;
    const end = clock.monotonic() + parseDuration(duration, 'advance()');
    await this.#ready();
    // Those may wait for this very clock.
    const running = new Set([...gate.running.keys(), ...this.#bench.network.telling]);
    for (;;) {
      const due = clock.nextDue;
      if (due === null || due > end) break;
      clock.advance(due - clock.monotonic());
      if (gate.open) await this.#bench.ended(null, running);
      else await this.#bench.quiet();
    }
    clock.advance(end - clock.monotonic());
    await this.#bench.quiet();
  }

  /** Everything that was enqueued, of this job or of all, in its order. */
  enqueued<D extends AnyJob>(job?: D): EnqueuedJob<D>[] {
    return this.#bench.enqueued.of(job);
  }

  /**
   * The job that was enqueued last with these args, of which only the given part is compared.
   * @throws {AssertionError} when there is none
   */
  expectEnqueued<D extends AnyJob>(
    job: D,
    args?: PartialArgs<ArgsOfJob<D>>,
    { times }: ExpectOptions = {},
  ): EnqueuedJob<D> {
    return this.#bench.enqueued.expect(job, args, times).at(-1) as EnqueuedJob<D>;
  }

  /** @throws {AssertionError} when such a job was enqueued */
  expectNotEnqueued<D extends AnyJob>(job: D, args?: PartialArgs<ArgsOfJob<D>>): void {
    this.#bench.enqueued.expectNone(job, args);
  }

  /**
   * Runs one attempt of a handler as a node does, with its guards, pipes, interceptors and filters, callbacks or errbacks
   * and a context that is ready; nothing is enqueued. `job`: a definition, a name, or a class with one `@Job`.
   * Rejects with what the handler threw, so a test that expects a result fails by itself.
   * @throws {JobReactorError} INVALID_JOB when the modules of the test have no such job
   */
  async runJob<D extends AnyJob | Type<unknown>>(
    job: D,
    args: D extends AnyJob ? ArgsOfJob<D> : unknown,
    options: RunJobOptions = {},
  ): Promise<JobRunOf<D>> {
    await this.#ready();
    const name = jobNameOf(job);
    const handler = this.#bench.findHandler(name);
    if (!handler) throw unknownJob(name, this.#bench.handlerNames());
    return (await runAttempt(handler, args, options, this.#bench.clock)) as JobRunOf<D>;
  }

  /** Between tests that share a module: removes every job that waits, forgets what was enqueued, and resumes what is paused. The clock stays. */
  async reset(): Promise<void> {
    await this.#ready();
    await this.#bench.clear();
  }

  async #ready(): Promise<void> {
    if (!this.#bench.isStarted) {
      throw new JobReactorError(
        'TEST_NOT_STARTED',
        'The jobs of the test have not started: `await module.init()` first.',
      );
    }
    await this.#bench.quiet();
  }
}
