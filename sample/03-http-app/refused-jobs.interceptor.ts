import { HttpException, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { JobReactorError, type JobReactorErrorCode } from 'nestjs-job-reactor';
import { catchError, throwError, type Observable } from 'rxjs';

/** What of `enqueue()` is the caller's doing, or will pass. All else stays an internal error. */
const STATUS: Partial<Record<JobReactorErrorCode, number>> = {
  ARGS_INVALID: 400,
  SERIALIZATION: 400,
  BACKLOG_FULL: 503,
  STOPPED: 503,
};

export class RefusedJobsInterceptor implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(catchError((error: unknown) => throwError(() => asHttp(error))));
  }
}

function asHttp(error: unknown): unknown {
  if (!(error instanceof JobReactorError)) return error;
  const { code, message } = error;
  const status = STATUS[code];
  return status === undefined ? error : new HttpException({ code, message }, status);
}
