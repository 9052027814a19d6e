/** Stable codes: programs may compare them, messages may change. */
export type JobReactorErrorCode =
  | 'INVALID_OPTIONS' // forRoot, defineJob or a decorator was given something impossible
  | 'INVALID_JOB' // an enqueue that can never work: unknown option, bad duration, bad id
  | 'INVALID_QUERY' // jobs(), remove() or retry() was asked something impossible
  | 'SERIALIZATION' // args or a result that can't be carried; the message names the path
  | 'ARGS_INVALID' // the definition's schema refused the args
  | 'DUPLICATE_HANDLER'
  | 'CALLBACK_WITHOUT_JOB'
  | 'PORT_IN_USE'
  | 'LISTEN_FAILED'
  | 'INSECURE_BIND' // a distributor that other machines reach, without what keeps strangers out
  | 'INSECURE_LINK' // a node that dials another machine without TLS
  | 'NO_SQLITE_DRIVER'
  | 'NO_X509' // certificates were asked for, and the package that makes them is not installed
  | 'NO_PISCINA' // worker threads were asked for, and the package that pools them is not installed
  | 'THREAD_FAILED' // a worker thread could not load or boot its module
  | 'STORAGE' // the storage refused or is away
  | 'STORAGE_UNAVAILABLE' // it can't be opened now, and may be later: it is waited for
  | 'STORAGE_IN_USE'
  | 'NO_SCHEDULES' // a process or an outbox that keeps no schedules
  | 'BACKLOG_FULL'
  | 'NOT_CONNECTED' // a node process that has no distributor connected
  | 'STOPPED'
  | 'ENQUEUE_UNKNOWN'
  | 'JOB_REJECTED'
  | 'JOB_FAILED'
  | 'JOB_CANCELLED'
  | 'JOB_SNOOZED' // of `Snooze`, thrown in a handler
  | 'JOB_TIMEOUT' // the attempt took longer than its `timeout`
  | 'JOB_INTERRUPTED' // the node stopped or died while the attempt ran
  | 'JOB_EXPIRED' // it was not started by the time `expires` said
  | 'THREAD_DIED' // the attempt took its worker thread down
  | 'JOB_DEAD' // it killed its process too often
  | 'RESULT_TIMEOUT'
  | 'RESULT_UNAVAILABLE'
  | 'TEST_NOT_STARTED' // the test kit was asked before `init()`
  | 'TEST_STUCK' // what the test waits for does not end
  | 'PROTOCOL'
  | 'CONNECTION';

/** Base of every error this package makes. `code` is stable; `cause` holds what led to it, where there is one. */
export class JobReactorError extends Error {
  constructor(
    readonly code: JobReactorErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}
