import {
  Inject,
  Module,
  type DynamicModule,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import { HandlerExplorer } from '../handlers/handler-explorer.js';
import type { Duration } from '../job/define-job.js';
import { parsePositiveDuration } from '../job/duration.js';
import { readObject, refuse, refuseUnknown } from '../job/read-option.js';
import { JobReactorModule } from '../job-reactor.module.js';
import type { JobReactorOptions, JobsOptions } from '../job-reactor.options.js';
import { readOptions } from '../job-reactor.read-options.js';
import { JobReactorRuntime } from '../job-reactor.runtime.js';
import { runtimesIn } from '../job-reactor.runtimes.js';
import { ENVIRONMENT } from '../job-reactor.tokens.js';
import { JobReactorTesting } from './job-reactor-testing.js';
import { TestBench, type TestingMode } from './test-bench.js';

export { JobReactorTesting } from './job-reactor-testing.js';
export type { DrainOptions, ExpectOptions, JobRunOf } from './job-reactor-testing.js';
export type { EnqueuedJob, PartialArgs } from './enqueued-jobs.js';
export type { JobRun, RunJobOptions } from './run-attempt.js';
export type { TestAttempt, TestingMode } from './test-bench.js';

export interface JobReactorTestingOptions {
  /** `inline`: `enqueue()` runs the job before it resolves; `manual`: the test says when. Default `'inline'`. */
  mode?: TestingMode;
  /** Where the clock stands at first: a Date or milliseconds since the epoch. Default: 1 January 2026, 00:00 UTC. */
  now?: Date | number;
  /** Real time after which a handler or feedback that does not end fails the call that waits for it. Default 5 s. */
  patience?: Duration;
}

export interface JobReactorTestingRootOptions extends JobReactorTestingOptions {
  /** As in `JobReactorModule.forRoot()`. */
  jobs?: JobsOptions;
}

export interface JobReactorTestingApplicationOptions extends JobReactorTestingOptions {
  /**
   * The kit of another application of the same test, `application.get(JobReactorTesting)`: both then have one clock and
   * one network, as an application and its worker have. Default: none.
   */
  with?: JobReactorTesting;
}

const BENCH = Symbol('JobReactorTestBench');
const DISTRIBUTOR = { name: 'test', port: 0 } as const;
const NODE = { name: 'test', storage: 'memory' } as const;

/**
 * Runs jobs in a test: the product's own client, distributor, node and pipeline, with no socket, no database, no file and
 * no time of their own.
 */
@Module({})
export class JobReactorTestingModule implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy {
  /** The roles that the application lacks. */
  #companion: JobReactorRuntime | null = null;

  constructor(
    private readonly modules: ModulesContainer,
    private readonly explorer: HandlerExplorer,
    @Inject(BENCH) private readonly bench: TestBench,
  ) {
    // Its destroy hook comes first, as that of the roles it stands in for.
    for (const module of modules.values()) if (module.metatype === JobReactorTestingModule) module.distance = -1;
  }

  /** In place of `JobReactorModule.forRoot()`, for a test of some modules or providers. @throws INVALID_OPTIONS */
  static forRoot(options: JobReactorTestingRootOptions = {}): DynamicModule {
    const given = readObject(options, 'JobReactorTestingModule.forRoot()', 'INVALID_OPTIONS');
    const { jobs, ...rest } = given as JobReactorTestingRootOptions;
    const roles: JobReactorOptions = { distributor: DISTRIBUTOR, node: NODE, ...(jobs ? { jobs } : {}) };
    return compose(benchOf(rest), [JobReactorModule.forRoot(roles)]);
  }

  /**
   * Beside the application's own modules with their `JobReactorModule.forRoot()`, which needs no change: whatever that
   * says of ports, databases, secrets and threads is left aside, and a role it has not is added. @throws INVALID_OPTIONS
   */
  static forApplication(options: JobReactorTestingApplicationOptions = {}): DynamicModule {
    const { with: other, ...rest } = readObject(options, 'JobReactorTestingModule.forApplication()', 'INVALID_OPTIONS');
    if (other === undefined) return compose(benchOf(rest), []);
    if (!(other instanceof JobReactorTesting) || Object.keys(rest).length > 0) {
      refuse('INVALID_OPTIONS', "`with` is another application's JobReactorTesting, which says all the rest as well.");
    }
    return compose(JobReactorTesting.benchOf(other), [], other);
  }

  async onModuleInit(): Promise<void> {
    const roles = runtimesIn(this.modules).map((runtime) =>
      runtime instanceof JobReactorRuntime ? runtime.roles : null,
    );
    if (roles.length === 0) {
      refuse(
        'INVALID_OPTIONS',
        'JobReactorTestingModule.forApplication() found no JobReactorModule.forRoot() beside it: import the ' +
          "application's module as well, or use JobReactorTestingModule.forRoot().",
      );
    }
    const lacks = (role: 'distributor' | 'node'): boolean => !this.bench.isStarted && !roles.some((one) => one?.[role]);
    const node = { ...NODE, distributors: [{ host: '127.0.0.1', port: 1 }] };
    const companion = {
      ...(lacks('distributor') ? { distributor: DISTRIBUTOR } : {}),
      ...(lacks('node') ? { node } : {}),
    };
    if (Object.keys(companion).length === 0) return;
    this.#companion = new JobReactorRuntime(readOptions(companion), this.explorer, this.bench);
    await this.#companion.init();
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.#companion?.start();
    this.bench.isStarted = true;
  }

  async onModuleDestroy(): Promise<void> {
    await this.#companion?.stop();
  }
}

function compose(bench: TestBench, imports: DynamicModule[], testing = new JobReactorTesting(bench)): DynamicModule {
  return {
    module: JobReactorTestingModule,
    global: true,
    imports,
    providers: [
      HandlerExplorer,
      { provide: BENCH, useValue: bench },
      { provide: ENVIRONMENT, useValue: bench },
      { provide: JobReactorTesting, useValue: testing },
    ],
    exports: [ENVIRONMENT, JobReactorTesting],
  };
}

function benchOf(options: JobReactorTestingOptions): TestBench {
  refuseUnknown({ ...options }, ['mode', 'now', 'patience'], '', 'INVALID_OPTIONS');
  const { mode = 'inline', now, patience = 5_000 } = options;
  if (mode !== 'inline' && mode !== 'manual') {
    refuse('INVALID_OPTIONS', `mode: 'inline' or 'manual', not ${JSON.stringify(mode)}.`);
  }
  const start = now === undefined ? undefined : Number(now);
  if (start !== undefined && !Number.isFinite(start)) refuse('INVALID_OPTIONS', 'now: no time that can be read.');
  return new TestBench(mode, start, parsePositiveDuration(patience, 'patience'));
}
