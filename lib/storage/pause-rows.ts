import type { Pause } from '../job/pause-book.js';

/** The part of a storage that keeps what is paused. Who shares its database sees the same. */
export interface PauseRows {
  /** The last words there are, on names that are paused and on names that go on. @throws {JobReactorError} STORAGE */
  list(): Promise<Pause[]>;
  /** Keeps these words where no later one is there. @throws {JobReactorError} STORAGE when that is not certain */
  put(words: readonly Pause[]): Promise<void>;
}
