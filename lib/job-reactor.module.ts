import {
  Inject,
  Module,
  type DynamicModule,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
  type OnModuleInit,
  type Provider,
  type Type,
} from '@nestjs/common';
import { ModulesContainer } from '@nestjs/core';
import type { AsyncMicroserviceOptions } from '@nestjs/microservices';
import { JobReactorClient } from './client/job-reactor-client.js';
import { JobReactorDistributor } from './distributor/job-reactor-distributor.js';
import { HandlerExplorer } from './handlers/handler-explorer.js';
import { JobReactorError } from './job-reactor.error.js';
import type { Environment } from './job-reactor.environment.js';
import type { JobReactorOptions } from './job-reactor.options.js';
import { readOptions } from './job-reactor.read-options.js';
import { JobReactorRuntime } from './job-reactor.runtime.js';
import { runtimesIn, type Runtime } from './job-reactor.runtimes.js';
import { ThreadRuntime } from './job-reactor.thread-runtime.js';
import {
  clientToken,
  DEFAULT,
  distributorToken,
  ENVIRONMENT,
  optionsToken,
  runtimeToken,
} from './job-reactor.tokens.js';
import { threadSetup } from './worker-node/threads/this-thread.js';

/** `forRoot`'s options from a provider. */
export interface JobReactorOptionsFactory {
  createJobReactorOptions(): JobReactorOptions | Promise<JobReactorOptions>;
}

export interface JobReactorAsyncOptions {
  /** As in {@link JobReactorOptions}; here because injection tokens are made before the options are known. */
  name?: string;
  imports?: DynamicModule['imports'];
  inject?: (string | symbol | Type<unknown> | { token: string | symbol | Type<unknown>; optional: boolean })[];
  useFactory?: (...args: never[]) => JobReactorOptions | Promise<JobReactorOptions>;
  useClass?: Type<JobReactorOptionsFactory>;
  useExisting?: string | symbol | Type<JobReactorOptionsFactory>;
}

/** Injects the client of the `forRoot` with this name. */
export const InjectJobReactor = (name: string): ReturnType<typeof Inject> => Inject(clientToken(name));

/** Injects the distributor of the `forRoot` with this name. */
export const InjectJobReactorDistributor = (name: string): ReturnType<typeof Inject> => Inject(distributorToken(name));

/**
 * Nest calls destroy hooks from the root module outwards, so a global module comes last; but running jobs need the
 * user's providers, so draining has to come first. A module of its own, nearer than the root, gets there.
 */
@Module({})
class JobReactorLifecycleModule implements OnApplicationBootstrap, OnModuleDestroy {
  constructor(private readonly modules: ModulesContainer) {
    for (const module of modules.values()) if (module.metatype === JobReactorLifecycleModule) module.distance = -1;
  }

  async onApplicationBootstrap(): Promise<void> {
    await Promise.all(this.#runtimes().map((runtime) => runtime.start()));
  }

  async onModuleDestroy(): Promise<void> {
    const runtimes = this.#runtimes();
    await Promise.all(runtimes.map((runtime) => runtime.stopNode()));
    await Promise.all(runtimes.map((runtime) => runtime.stop()));
  }

  #runtimes(): Runtime[] {
    return runtimesIn(this.modules);
  }
}

@Module({})
export class JobReactorModule implements OnModuleInit {
  constructor(private readonly modules: ModulesContainer) {}

  /** Roles with fixed options. @throws {JobReactorError} INVALID_OPTIONS, INSECURE_BIND */
  static forRoot(options: JobReactorOptions): DynamicModule {
    const read = readOptions(options);
    return compose(read.name, [{ provide: optionsToken(read.name ?? DEFAULT), useValue: options }]);
  }

  /** Roles whose options come from other providers. */
  static forRootAsync(options: JobReactorAsyncOptions): DynamicModule {
    const token = optionsToken(options.name ?? DEFAULT);
    const dynamic = compose(options.name, asyncOptions(token, options));
    return { ...dynamic, imports: [...(dynamic.imports ?? []), ...(options.imports ?? [])] };
  }

  /** What `createMicroservice` and `connectMicroservice` take to run the node of the `forRoot` (with this name). */
  static transport(name?: string): AsyncMicroserviceOptions {
    return {
      inject: [runtimeToken(name ?? DEFAULT)],
      useFactory: (runtime: JobReactorRuntime) => ({ strategy: runtime.strategy }),
    };
  }

  async onModuleInit(): Promise<void> {
    const runtimes = runtimesIn(this.modules);
    refuseDuplicates(runtimes);
    await Promise.all(runtimes.map((runtime) => runtime.init()));
  }
}

function compose(name: string | undefined, options: Provider[]): DynamicModule {
  const key = name ?? DEFAULT;
  const runtime: Provider = {
    provide: runtimeToken(key),
    inject: [optionsToken(key), HandlerExplorer, { token: ENVIRONMENT, optional: true }],
    useFactory: (given: JobReactorOptions, explorer: HandlerExplorer, environment?: Environment): Runtime => {
      const read = readOptions(name === undefined ? given : { ...given, name });
      return threadSetup() ? new ThreadRuntime(read) : new JobReactorRuntime(read, explorer, environment);
    },
  };
  const client: Provider = {
    provide: name === undefined ? JobReactorClient : clientToken(name),
    inject: [runtimeToken(key)],
    useFactory: (from: Runtime) => from.client,
  };
  const distributor: Provider = {
    provide: name === undefined ? JobReactorDistributor : distributorToken(name),
    inject: [runtimeToken(key)],
    useFactory: (from: Runtime) => from.distributor,
  };
  return {
    module: JobReactorModule,
    global: true,
    imports: [JobReactorLifecycleModule],
    providers: [HandlerExplorer, ...options, runtime, client, distributor],
    exports: [client, distributor].map((provider) => (provider as { provide: string | Type<unknown> }).provide),
  };
}

function asyncOptions(
  token: string,
  { inject, useFactory, useClass, useExisting }: JobReactorAsyncOptions,
): Provider[] {
  if (useFactory)
    return [{ provide: token, inject: inject ?? [], useFactory: useFactory as (...args: unknown[]) => unknown }];
  const factory = useExisting ?? useClass;
  if (!factory)
    throw new JobReactorError('INVALID_OPTIONS', 'forRootAsync() needs useFactory, useClass or useExisting.');
  const fromFactory: Provider = {
    provide: token,
    inject: [factory],
    useFactory: (made: JobReactorOptionsFactory) => made.createJobReactorOptions(),
  };
  return useClass ? [useClass, fromFactory] : [fromFactory];
}

function refuseDuplicates(runtimes: Runtime[]): void {
  if (runtimes.length < 2 || runtimes.some(({ isTest }) => isTest)) return;
  const names = runtimes.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (names.every((name) => name !== undefined) && twice === undefined) return;
  const why = twice === undefined ? 'each needs a `name`' : `the name '${twice}' is given twice`;
  throw new JobReactorError(
    'INVALID_OPTIONS',
    `JobReactorModule.forRoot() was called ${runtimes.length} times: ${why}.`,
  );
}
