import { ContextIdFactory, type ContextId, type NestContainer } from '@nestjs/core';

/**
 * The request scope of one attempt, or of one feedback: made when the first request-scoped method is called, shared by
 * all that follow. What is injected as REQUEST is the JobContext, or the feedback.
 */
export class AttemptScope {
  #id: ContextId | undefined;

  constructor(
    private readonly container: NestContainer,
    private readonly request: object,
  ) {}

  /** `durable`: the class lives in a durable subtree, which a ContextIdStrategy of the user's assigns. */
  contextId(durable: boolean): ContextId {
    if (this.#id === undefined) {
      this.#id = ContextIdFactory.getByRequest(this.request);
      const payload = durable ? this.#id.payload : undefined;
      this.container.registerRequestProvider(payload ?? this.request, this.#id);
    }
    return this.#id;
  }
}
