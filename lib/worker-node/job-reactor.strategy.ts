import type { CustomTransportStrategy } from '@nestjs/microservices';
import { Server } from '@nestjs/microservices';

/** What Nest starts and closes as the microservice's transport. Handlers are found by their own decorators, not by patterns. */
export class JobReactorStrategy extends Server implements CustomTransportStrategy {
  override readonly transportId = Symbol('JOB_REACTOR');
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
