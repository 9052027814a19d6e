import { JobReactorError } from '../job-reactor.error.js';

/**
 * The other side broke the protocol; the connection can't go on. `wire` is the code it is told.
 * Messages name fields of the specification only and never repeat what was received, so they are safe to log.
 */
export class ProtocolError extends JobReactorError {
  constructor(
    message: string,
    readonly wire: 'PROTOCOL' | 'TOO_LARGE' = 'PROTOCOL',
    options?: { cause?: unknown },
  ) {
    super('PROTOCOL', message, options);
  }
}
