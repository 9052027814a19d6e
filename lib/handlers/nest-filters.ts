import type { ArgumentsHost } from '@nestjs/common';
import {
  EXCEPTION_FILTERS_METADATA,
  selectExceptionFilterMetadata,
  type ExceptionFilterMetadata,
} from '@nestjs/common/internal';
import { ExternalExceptionFilterContext } from '@nestjs/core/exceptions/external-exception-filter-context.js';
import { ExternalExceptionsHandler } from '@nestjs/core/exceptions/external-exceptions-handler.js';
import { isObservable, lastValueFrom } from 'rxjs';
import { CancelJob, JobInterrupted, JobTimeout, Snooze } from '../job/job.errors.js';

/** Finds the exception filters of a method as Nest does, and applies them by the rules of JobFilters. */
export class JobFilterContext extends ExternalExceptionFilterContext {
  override create(...args: Parameters<ExternalExceptionFilterContext['create']>): JobFilters {
    const [instance, callback, module, contextId, inquirerId] = args;
    this.moduleContext = module;
    const filters: ExceptionFilterMetadata[] = this.createContext(
      instance,
      callback,
      EXCEPTION_FILTERS_METADATA,
      contextId,
      inquirerId,
    );
    return new JobFilters(filters.reverse());
  }
}

/**
 * What becomes of an exception that a handler, guard, pipe or interceptor threw:
 * - no filter matches: it fails the attempt as it is, neither logged nor masked, which Nest's own last filter would do;
 * - the filter throws, or its Observable errors: that fails the attempt instead;
 * - the filter gives a value: that is the result;
 * - the filter gives undefined or emits nothing: the exception fails the attempt all the same, since a filter that only
 *   logs must not turn a failure into a success.
 *
 * Filters do not see what ends an attempt on purpose (a cancel, a snooze, a timeout, a stop): a catch-all that translates every
 * exception would make a failure with retries of it.
 */
export class JobFilters extends ExternalExceptionsHandler {
  constructor(private readonly candidates: ExceptionFilterMetadata[]) {
    super();
  }

  override async next(exception: unknown, host: ArgumentsHost): Promise<unknown> {
    const filter = isControlFlow(exception) ? undefined : selectExceptionFilterMetadata(this.candidates, exception);
    const answer = filter && (await lastValue(filter.func(exception, host)));
    if (answer === undefined) throw exception;
    return answer;
  }
}

function isControlFlow(exception: unknown): boolean {
  return [CancelJob, Snooze, JobTimeout, JobInterrupted].some((kind) => exception instanceof kind);
}

/** The value, what the promise resolves to, or what the Observable emits last; undefined when it emits nothing. */
export async function lastValue(value: unknown): Promise<unknown> {
  const settled = await value;
  return isObservable(settled) ? lastValueFrom(settled, { defaultValue: undefined }) : settled;
}
