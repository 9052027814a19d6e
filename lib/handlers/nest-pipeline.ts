import { ForbiddenException } from '@nestjs/common';
import type { ApplicationConfig, ContextId, NestContainer } from '@nestjs/core';
import {
  ExecutionContextHost,
  FORBIDDEN_MESSAGE,
  GuardsConsumer,
  GuardsContextCreator,
  InterceptorsConsumer,
  InterceptorsContextCreator,
  PipesConsumer,
  STATIC_CONTEXT,
} from '@nestjs/core/internal';
import type { ExceptionFiltersContext } from '@nestjs/microservices/context/exception-filters-context.js';
import { RpcContextCreator } from '@nestjs/microservices/context/rpc-context-creator.js';
import { RpcProxy } from '@nestjs/microservices/context/rpc-proxy.js';
import { isObservable, type Observable } from 'rxjs';
import type { AttemptScope } from './attempt-scope.js';
import type { JobContext } from './job-context.js';
import type { Instance, MethodHost } from './method-host.js';
import { refuseBareContext, UNDECORATED } from './method-parameters.js';
import { JobFilterContext, lastValue, type JobFilters } from './nest-filters.js';
import { ScopedPipes } from './nest-pipes.js';

/** Calls one decorated method through Nest's guards, interceptors, pipes and filters. */
export type MethodCall = (scope: AttemptScope, payload: unknown, context: JobContext) => Promise<unknown>;

type Composed = (payload: unknown, context: JobContext) => Promise<unknown>;

/**
 * Nest's pipeline for job methods, put together from the same parts as for its own message handlers (execution context
 * type `rpc`, `getData()` the args, `getContext()` the JobContext). These parts are internal to Nest; that they fit is
 * checked by the tests of this folder.
 */
export class NestPipeline {
  readonly #creator: RpcContextCreator;

  /** `config` holds what is global: of the microservice, which in a hybrid application is not that of the application. */
  constructor(container: NestContainer, config: ApplicationConfig | undefined) {
    this.#creator = new JobContextCreator(container, config);
  }

  /** A method of a class with one instance is composed here, once; that of a request-scoped class at every attempt. */
  compose(host: MethodHost, method: string): MethodCall {
    refuseBareContext(host, method);
    if (host.single !== null) {
      const composed = this.#create(host, host.single, method, STATIC_CONTEXT);
      return (_scope, payload, context) => composed(payload, context);
    }
    return async (scope, payload, context) => {
      const contextId = scope.contextId(host.durable);
      const instance = await host.load(contextId);
      return this.#create(host, instance, method, contextId, host.wrapper.id)(payload, context);
    };
  }

  #create(host: MethodHost, instance: Instance, method: string, contextId: ContextId, inquirerId?: string): Composed {
    const callback = instance[method] as (...args: unknown[]) => Observable<unknown>;
    const key = host.module.token;
    // JobProxy makes a function of this shape of it; Nest's signature speaks of its own proxy.
    return this.#creator.create(
      instance,
      callback,
      key,
      method,
      contextId,
      inquirerId,
      UNDECORATED,
    ) as unknown as Composed;
  }
}

type Creator = RpcContextCreator;
type CreateParameters = Parameters<Creator['create']>;

class JobContextCreator extends RpcContextCreator {
  readonly #proxy: JobProxy;
  readonly #filters: ExceptionFiltersContext;
  readonly #pipes: ScopedPipes;
  readonly #guards: GuardsContextCreator;
  readonly #interceptors: InterceptorsContextCreator;
  readonly #config: ApplicationConfig | undefined;

  constructor(container: NestContainer, config: ApplicationConfig | undefined) {
    const proxy = new JobProxy();
    const filters = new JobFilterContext(container, config) as unknown as ExceptionFiltersContext;
    const pipes = new ScopedPipes(container, config);
    const guards = new GuardsContextCreator(container, config);
    const interceptors = new InterceptorsContextCreator(container, config);
    const consumers = [new PipesConsumer(), new GuardsConsumer(), new InterceptorsConsumer()] as const;
    super(proxy, filters, pipes, consumers[0], guards, consumers[1], interceptors, consumers[2], config);
    this.#proxy = proxy;
    this.#filters = filters;
    this.#pipes = pipes;
    this.#guards = guards;
    this.#interceptors = interceptors;
    this.#config = config;
  }

  /**
   * A method that has no guard, pipe or interceptor is called at once with what its parameters are decorated with: on its
   * way through Nest's own an attempt makes nine promises, which are a fifth of what a small job costs.
   */
  override create(...args: CreateParameters): ReturnType<Creator['create']> {
    const [instance, callback, module, method, contextId, inquirerId, metadata = UNDECORATED] = args;
    const place = [instance, callback, module, contextId, inquirerId] as const;
    const { argsLength, getParamsMetadata } = this.getMetadata(instance, method, metadata, 'rpc');
    const pipes = this.#pipes.create(...place);
    const parameters = getParamsMetadata(module);
    const hooks = this.#config?.getGlobalPreRequestHooks() ?? [];
    const isBetween = [pipes, this.#guards.create(...place), this.#interceptors.create(...place), hooks].some(isFilled);
    // A decorator of the user's own may give a promise of its value.
    const isPlain = parameters.every(({ type, pipes }) => typeof type === 'number' && pipes.length === 0);
    if (isBetween || !isPlain || parameters.length === 0) return super.create(...args);
    const call = (payload: unknown, context: JobContext): unknown => {
      const values: unknown[] = [];
      while (values.length < argsLength) values.push(undefined);
      for (const { index, extractValue } of parameters) values[index] = extractValue(payload, context);
      return callback.apply(instance, values);
    };
    return this.#proxy.create(call as Parameters<JobProxy['create']>[0], this.#filters.create(...place));
  }

  /** Nest's own throws an RpcException, which says less: the name and the status of this one tell a refusal apart. */
  override createGuardsFn(
    ...[guards, instance, callback, contextType]: Parameters<Creator['createGuardsFn']>
  ): ReturnType<Creator['createGuardsFn']> {
    if (guards.length === 0) return null;
    const consumer = new GuardsConsumer();
    return async (params: unknown[]) => {
      if (!(await consumer.tryActivate(guards, params, instance, callback, contextType))) {
        throw new ForbiddenException(FORBIDDEN_MESSAGE);
      }
    };
  }
}

const isFilled = (list: readonly unknown[]): boolean => list.length > 0;

/** Waits for the result itself, and gives errors to the filters by our rules. */
class JobProxy extends RpcProxy {
  override create(...[run, handler]: Parameters<RpcProxy['create']>): ReturnType<RpcProxy['create']> {
    const filters = handler as unknown as JobFilters;
    return async (...args: unknown[]) => {
      try {
        const value = (await run(...args)) as unknown;
        return (isObservable(value) ? await lastValue(value) : value) as Observable<unknown>;
      } catch (exception) {
        const host = new ExecutionContextHost(args);
        host.setType('rpc');
        return (await filters.next(exception, host)) as Observable<unknown>;
      }
    };
  }
}
