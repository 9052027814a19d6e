import { Catch, HttpException, type ArgumentsHost } from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import { JobReactorError, type JobReactorErrorCode } from 'nestjs-job-reactor';

/** What of `enqueue()` is the caller's doing, or will pass. All else stays an internal error. */
const STATUS: Partial<Record<JobReactorErrorCode, number>> = {
  ARGS_INVALID: 400,
  SERIALIZATION: 400,
  BACKLOG_FULL: 503,
  STOPPED: 503,
};

@Catch(JobReactorError)
export class RefusedJobFilter extends BaseExceptionFilter {
  override catch(error: JobReactorError, host: ArgumentsHost): void {
    const status = STATUS[error.code];
    super.catch(
      status === undefined ? error : new HttpException({ code: error.code, message: error.message }, status),
      host,
    );
  }
}
