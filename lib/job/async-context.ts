import { AsyncResource } from 'node:async_hooks';

/** Runs something in the AsyncLocalStorage of another moment. */
export type AsyncContext = <T>(run: () => T) => T;

/**
 * The AsyncLocalStorage of this moment, to come back to. As `AsyncLocalStorage.snapshot()`, which costs a job several
 * kilobytes on Node 20.
 */
export class AsyncMoment extends AsyncResource {
  constructor() {
    super('JobReactorJob', { requireManualDestroy: true });
  }

  run<T>(work: () => T): T {
    return this.runInAsyncScope(work);
  }
}
