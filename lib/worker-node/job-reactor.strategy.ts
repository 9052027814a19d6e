import type { CustomTransportStrategy } from '@nestjs/microservices';
import type { ApplicationConfig } from '@nestjs/core';
import { NestMicroservice, Server } from '@nestjs/microservices';

/** What Nest starts and closes as the microservice's transport. Handlers are found by their own decorators, not by patterns. */
export class JobReactorStrategy extends Server implements CustomTransportStrategy {
  override readonly transportId = Symbol('JOB_REACTOR');
  /** What is global in the microservice that has this transport: known once Nest has registered its listeners. */
  config: ApplicationConfig | undefined;
  readonly #start: () => Promise<void>;
  readonly #stop: () => Promise<void>;

  constructor(start: () => Promise<void>, stop: () => Promise<void>) {
    super();
    this.#start = start;
    this.#stop = stop;
  }

  /**
   * Calls back once the node's storage is open. It dials its distributors in the background: an application that holds
   * its own distributor would otherwise wait for itself.
   */
  listen(callback: (error?: unknown) => void): void {
    this.#start().then(
      () => callback(),
      (error: unknown) => callback(error),
    );
  }

  /** Drains. Twice is safe, and so is before `listen` has ended. */
  close(): Promise<void> {
    return this.#stop();
  }

  on(): void {}

  unwrap<T>(): T {
    return this as unknown as T;
  }
}

/*
 * In a hybrid application a microservice has the application's global pipes, guards, interceptors and filters only with
 * `inheritAppConfig: true`, else its own. Nest composes message handlers by that config and shows it to nobody, not to
 * the transport either, so the one place that knows both is asked on its way.
 */
const { registerListeners } = NestMicroservice.prototype;
NestMicroservice.prototype.registerListeners = function (this: NestMicroservice): void {
  const transport: unknown = this.getTransportServer();
  if (transport instanceof JobReactorStrategy) transport.config = this['applicationConfig'];
  registerListeners.call(this);
};
