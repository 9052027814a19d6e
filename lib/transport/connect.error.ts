import { JobReactorError } from '../job-reactor.error.js';

/** No connection came about. CONNECT: nobody answered; TLS: somebody did, and there was no TLS session with them. */
export class ConnectError extends JobReactorError {
  constructor(
    readonly step: 'CONNECT' | 'TLS',
    why: string,
    cause?: unknown,
  ) {
    super('CONNECTION', `${step}: ${why}`, cause === undefined ? undefined : { cause });
  }
}
