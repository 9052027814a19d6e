import type { Missing } from './job-query.js';
import type { Pause, PauseKind } from './pause-book.js';

/** What the client can do about pauses. */
export interface PauseGateway {
  /**
   * Resolves when it is kept, and every connected node has heard of it or not answered (`missing`).
   * @throws {JobReactorError} STORAGE, STOPPED; INVALID_QUERY when too many names are paused; in a process that is only a
   * node NOT_CONNECTED
   */
  set(kind: PauseKind, name: string, paused: boolean): Promise<Missing>;
  /** What is paused, as far as this process has heard. @throws {JobReactorError} STORAGE, STOPPED */
  paused(): Promise<Pause[]>;
}
