import { type ContextId } from '@nestjs/core';
import { PipesContextCreator, STATIC_CONTEXT } from '@nestjs/core/internal';

/**
 * Nest's message handlers look pipes of single parameters up without the request's context, so a request-scoped pipe in
 * `@Payload('field', Pipe)` would run without its constructor having run. Nest asks for a method's pipes first and for
 * those of its parameters right after, in one turn; the context of the first call stands in for the second.
 */
export class ScopedPipes extends PipesContextCreator {
  #contextId: ContextId = STATIC_CONTEXT;
  #inquirerId: string | undefined;

  override create(...args: Parameters<PipesContextCreator['create']>): ReturnType<PipesContextCreator['create']> {
    [, , , this.#contextId = STATIC_CONTEXT, this.#inquirerId] = args;
    return super.create(...args);
  }

  override createConcreteContext<T extends unknown[], R extends unknown[]>(
    metadata: T,
    contextId = this.#contextId,
    inquirerId = this.#inquirerId,
  ): R {
    return super.createConcreteContext<T, R>(metadata, contextId, inquirerId);
  }
}
