import type { Observable } from 'rxjs';
import type { ScheduledRun } from '../job/declared-schedule.js';
import type { ArgsOf, InputOf, JobDefinition, ResultOf } from '../job/define-job.js';
import type { Feedback } from '../job/feedback.js';
import type { JobContext } from './job-context.js';

/** Any method at all: parameters of type never take every parameter list. */
type Method<Returns = unknown> = (...args: never[]) => Returns;

type Returned<T> = T | Promise<T> | Observable<T>;

/** A class used as DTO may have methods; the payload has none, a pipe adds them. */
type DataOf<T> = { [K in keyof T as T[K] extends Method ? never : K]: T[K] };

/**
 * Whether a handler's first parameter can be what the job hands in: the args, the context, or one field of the args. The
 * compiler does not see `@Payload('field', ParseIntPipe)`, so a primitive is let through wherever the args have fields,
 * and only the first parameter is looked at.
 */
type FirstFits<First, Args, Context> = unknown extends Args
  ? true
  : [Context] extends [First]
    ? true
    : [First] extends [object]
      ? [Args] extends [DataOf<First>]
        ? true
        : FieldFits<First, Args>
      : [Args] extends [object]
        ? true
        : [Args] extends [First]
          ? true
          : false;

type FieldFits<First, Args> = Args extends object
  ? true extends { [K in keyof Args]-?: [NonNullable<Args[K]>] extends [DataOf<First>] ? true : false }[keyof Args]
    ? true
    : false
  : false;

type Checked<M extends Method, Args, Context> =
  Parameters<M> extends [infer First, ...unknown[]]
    ? FirstFits<First, Args, Context> extends true
      ? unknown
      : { 'the first parameter is neither the args of this job, nor one of their fields, nor its JobContext': Args }
    : unknown;

/** For `@Job`: the result has to match as well. */
export type JobMethodDecorator<D extends JobDefinition> = <M extends Method<Returned<ResultOf<D>>>>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<M> & Checked<M, ArgsOf<D>, JobContext<D>>,
) => void;

/** For `@OnSuccess` and `@OnError`: what they return is not looked at. */
export type CallbackDecorator<D extends JobDefinition> = <M extends Method>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<M> & Checked<M, ArgsOf<D>, JobContext<D>>,
) => void;

/** For `@OnSuccessFeedback` and `@OnErrorFeedback`. */
export type FeedbackDecorator<D extends JobDefinition> = <M extends (feedback: Feedback<D>) => unknown>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<M>,
) => void;

/** For `@JobSchedule`: it returns what the job is enqueued with. */
export type ScheduleDecorator<D extends JobDefinition> = <M extends (run: ScheduledRun) => Returned<InputOf<D>>>(
  target: object,
  key: string | symbol,
  descriptor: TypedPropertyDescriptor<M>,
) => void;
