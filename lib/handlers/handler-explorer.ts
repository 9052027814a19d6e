import { Injectable } from '@nestjs/common';
import { MetadataScanner, type ApplicationConfig, type NestContainer } from '@nestjs/core';
import { ExternalContextCreator } from '@nestjs/core/helpers/external-context-creator.js';
import { Injector, type InstanceWrapper, type Module } from '@nestjs/core/internal';
import { JobReactorError } from '../job-reactor.error.js';
import { checkArgs } from '../job/check-args.js';
import type { DeclaredSchedule } from '../job/declared-schedule.js';
import { isJobDefinition } from '../job/define-job.js';
import type { Feedback } from '../job/feedback.js';
import { serialise } from '../job/serialise.js';
import { AttemptScope } from './attempt-scope.js';
import { HandlerRegistry, type NodeMethod } from './handler-registry.js';
import { rolesOf, type MethodRole } from './job-metadata.js';
import { MethodHost, type Instance } from './method-host.js';
import { lastValue } from './nest-filters.js';
import { NestPipeline } from './nest-pipeline.js';
import { emptyParameters } from './method-parameters.js';

/** A declared feedback method. */
export interface FeedbackMethod {
  /** `Class.method`, for messages. */
  where: string;
  /** Resolves when the method has done its work, rejects with what it threw. */
  invoke(feedback: Feedback): Promise<void>;
}

/** Declared feedback methods by job name, in declared order. */
export interface DeclaredFeedbacks {
  success: ReadonlyMap<string, readonly FeedbackMethod[]>;
  error: ReadonlyMap<string, readonly FeedbackMethod[]>;
}

/** What was found in the application's modules. */
export interface ExploredMethods {
  /** `Class.method` of every `@Job`, `@OnSuccess` and `@OnError`: in a process with no node these never run. */
  nodeMethods: readonly string[];
  /** `Class.method` of every feedback and schedule method: in a process with no distributor these never run. */
  feedbackMethods: readonly string[];
  feedbacks: DeclaredFeedbacks;
  schedules: readonly DeclaredSchedule[];
  /** Sentences about parameters of job methods that will always be undefined. */
  emptyParameters: readonly string[];
  /**
   * Composes the handlers of a node; `config` holds its global guards and the like, by default the application's.
   * @throws {JobReactorError} DUPLICATE_HANDLER, CALLBACK_WITHOUT_JOB, INVALID_OPTIONS
   */
  handlers(config?: ApplicationConfig): HandlerRegistry;
}

interface Found {
  host: MethodHost;
  method: string;
  role: MethodRole;
  where: string;
}

/**
 * Finds the decorated methods of all controllers and providers, inherited ones included. To be called once everything
 * is instantiated, in `onApplicationBootstrap`: global guards and the like set on the app are taken as they are then.
 */
@Injectable()
export class HandlerExplorer {
  readonly #container: NestContainer;
  readonly #scanner = new MetadataScanner();
  readonly #injector: Injector;

  /** Nest gives out its container, which knows the global guards and the like, in no other way. */
  constructor(creator: ExternalContextCreator) {
    this.#container = creator['container'];
    const { preview = false, instrument } = this.#container.contextOptions ?? {};
    this.#injector = new Injector({
      preview,
      ...(instrument ? { instanceDecorator: instrument.instanceDecorator } : {}),
    });
  }

  /** @throws {JobReactorError} INVALID_OPTIONS when a transient class holds decorated methods */
  explore(): ExploredMethods {
    const found = [...this.#container.getModules().values()].flatMap((module) => this.#inModule(module));
    const isNode = ({ role }: Found): boolean => ['job', 'callback', 'errback'].includes(role.kind);
    return {
      nodeMethods: found.filter(isNode).map(({ where }) => where),
      feedbackMethods: found.filter((item) => !isNode(item)).map(({ where }) => where),
      feedbacks: {
        success: this.#feedbacks(found.filter(({ role }) => role.kind === 'success-feedback')),
        error: this.#feedbacks(found.filter(({ role }) => role.kind === 'error-feedback')),
      },
      schedules: found.flatMap((item) => this.#schedule(item)),
      emptyParameters: found.filter(isNode).flatMap(({ host, method }) => emptyParameters(host, method)),
      handlers: (config = this.#container.applicationConfig) => {
        const pipeline = new NestPipeline(this.#container, config);
        const compose = ({ host, method, role, where }: Found): NodeMethod => ({
          role,
          where,
          call: pipeline.compose(host, method),
        });
        return new HandlerRegistry(found.filter(isNode).map(compose), this.#container);
      },
    };
  }

  #inModule(module: Module): Found[] {
    // A provider and a controller may be one class; each is an instance of its own.
    const wrappers = [...module.providers.values(), ...module.controllers.values()];
    return wrappers.filter(({ isAlias }) => !isAlias).flatMap((wrapper) => this.#inClass(module, wrapper));
  }

  #inClass(module: Module, wrapper: InstanceWrapper): Found[] {
    const instance: unknown = wrapper.instance;
    if (typeof instance !== 'object' || instance === null) return [];
    const prototype: unknown = Object.getPrototypeOf(instance);
    if (prototype === null || prototype === Object.prototype) return [];
    const found = this.#methods(prototype as object).flatMap((method) =>
      rolesOf((instance as Instance)[method]!).map((role) => ({ method, role })),
    );
    if (found.length === 0) return [];

    const host = new MethodHost(module, wrapper, this.#injector);
    if (wrapper.isTransient) {
      const why = 'has job methods, but a transient provider is made anew for each class that asks for it';
      throw new JobReactorError('INVALID_OPTIONS', `${host.className} ${why}. Use the default or the request scope.`);
    }
    return found.map(({ method, role }) => ({ host, method, role, where: `${host.className}.${method}` }));
  }

  /** Names in declared order, those of the base class first. */
  #methods(prototype: object): string[] {
    const base: unknown = Object.getPrototypeOf(prototype);
    const inherited = base === null || base === Object.prototype ? [] : this.#methods(base as object);
    return [...new Set([...inherited, ...this.#scanner.getAllMethodNames(prototype)])];
  }

  #feedbacks(found: readonly Found[]): Map<string, FeedbackMethod[]> {
    const byName = new Map<string, FeedbackMethod[]>();
    for (const { host, method, role, where } of found) {
      const invoke = async (feedback: Feedback): Promise<void> => {
        const instance = await host.instance(new AttemptScope(this.#container, feedback));
        await lastValue(instance[method]!(feedback));
      };
      byName.set(role.name, [...(byName.get(role.name) ?? []), { where, invoke }]);
    }
    return byName;
  }

  #schedule({ host, method, role, where }: Found): DeclaredSchedule[] {
    if (!role.schedule) return [];
    const { job, options } = role.schedule;
    const args: DeclaredSchedule['args'] = async (run) => {
      const instance = await host.instance(new AttemptScope(this.#container, run));
      const made = await lastValue(instance[method]!(run));
      if (isJobDefinition(job)) await checkArgs(job, made);
      return serialise(made, 'args');
    };
    return [{ where, job, options, args }];
  }
}
