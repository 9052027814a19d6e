import { JobReactorError } from '../job-reactor.error.js';

/**
 * A commit failed without saying whether it happened, as when the connection broke before the answer came. Its code is
 * STORAGE, as that of one that surely did not happen.
 */
export class CommitInDoubt extends JobReactorError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('STORAGE', message, options);
  }
}
