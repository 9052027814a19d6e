import type { ContextId } from '@nestjs/core';
import type { InstanceWrapper, Injector, Module } from '@nestjs/core/internal';
import type { AttemptScope } from './attempt-scope.js';

export type Instance = Record<string, (...args: unknown[]) => unknown>;

/** The class that holds decorated methods: one instance, or one per attempt when it is request-scoped. */
export class MethodHost {
  /** Null when an instance is made per attempt. */
  readonly single: Instance | null;
  readonly durable: boolean;

  constructor(
    readonly module: Module,
    readonly wrapper: InstanceWrapper,
    private readonly injector: Injector,
  ) {
    this.single = wrapper.isDependencyTreeStatic() ? (wrapper.instance as Instance) : null;
    this.durable = wrapper.isDependencyTreeDurable();
  }

  get className(): string {
    return (Object.getPrototypeOf(this.wrapper.instance) as object).constructor.name || String(this.wrapper.name);
  }

  async instance(scope: AttemptScope): Promise<Instance> {
    return this.single ?? (await this.load(scope.contextId(this.durable)));
  }

  load(contextId: ContextId): Promise<Instance> {
    const { controllers, providers } = this.module;
    const collection = controllers.get(this.wrapper.token) === this.wrapper ? controllers : providers;
    return this.injector.loadPerContext(this.wrapper.instance, this.module, collection, contextId, this.wrapper);
  }
}
