/*
 * Checked by `tsc`, never run: what must compile, and behind @ts-expect-error what must not. An expected error that does
 * not come is an error.
 */
import { Controller, ParseIntPipe } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import type { Observable } from 'rxjs';
import { z } from 'zod';
import { Job, OnError, OnErrorFeedback, OnSuccess, OnSuccessFeedback } from '../../lib/handlers/job.decorators.js';
import type { JobContext } from '../../lib/handlers/job-context.js';
import { defineJob, type ArgsOf, type InputOf, type JobDefinition, type ResultOf } from '../../lib/job/define-job.js';
import type { EnqueueOptions } from '../../lib/job/enqueue-options.js';
import type { Feedback } from '../../lib/job/feedback.js';
import type { JobReactorOptions } from '../../lib/job-reactor.options.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function same<A, B>(...proof: Equal<A, B> extends true ? [] : [never]): void;

interface ResizeArgs {
  path: string;
  width: number;
  crop?: { x: number; y: number };
}
const Resize = defineJob<ResizeArgs, { bytes: number }>('image.resize', { maxAttempts: 5, timeout: '30s' });
const Untyped = defineJob('untyped');
const schema = z.object({ count: z.string().transform(Number) });
const Parsed = defineJob('parsed', { schema });
const ParsedWithResult = defineJob<typeof schema, number>('parsed', { schema, maxAttempts: null });

// What a definition tells.
same<ArgsOf<typeof Resize>, ResizeArgs>();
same<InputOf<typeof Resize>, ResizeArgs>();
same<ResultOf<typeof Resize>, { bytes: number }>();
same<ArgsOf<typeof Parsed>, { count: number }>();
same<InputOf<typeof Parsed>, { count: string }>();
same<ResultOf<typeof ParsedWithResult>, number>();
same<ArgsOf<typeof ParsedWithResult>, { count: number }>();
const any: JobDefinition = Resize;

// Settings.
defineJob('x', { backoff: (attempt, error) => attempt * error.message.length });
// @ts-expect-error a misspelt setting
defineJob('x', { maxAttemps: 5 });
// @ts-expect-error a misspelt setting, with types
defineJob<ResizeArgs, number>('x', { timout: '5s' });
// @ts-expect-error a wrong kind of backoff
defineJob('x', { backoff: { type: 'cubic', delay: 1 } });

// Enqueueing.
declare function enqueue<D extends JobDefinition>(job: D, args: InputOf<D>, options?: EnqueueOptions<D>): void;
enqueue(Resize, { path: 'a', width: 1 }, { after: '20s', node: ['a', 'b'], confirm: 'stored' });
enqueue(Parsed, { count: '1' });
enqueue(Untyped, { anything: true });
enqueue(any, 'anything');
// @ts-expect-error a wrong argument
enqueue(Resize, { path: 'a', width: '1' });
// @ts-expect-error a missing argument
enqueue(Resize, { path: 'a' });
// @ts-expect-error an argument too many
enqueue(Resize, { path: 'a', width: 1, height: 1 });
// @ts-expect-error the output of the schema, where its input belongs
enqueue(Parsed, { count: 1 });
// @ts-expect-error a misspelt option
enqueue(Resize, { path: 'a', width: 1 }, { aftr: '20s' });
// @ts-expect-error a function can't cross the wire
enqueue(Resize, { path: 'a', width: 1 }, { backoff: () => 1 });
enqueue(Resize, { path: 'a', width: 1 }, { onSuccess: (feedback) => feedback.args.path });
enqueue(
  Resize,
  { path: 'a', width: 1 },
  {
    onSuccess: (feedback) => {
      if (feedback.status === 'succeeded') same<typeof feedback.result, { bytes: number }>();
      else same<typeof feedback.result, undefined>();
      // @ts-expect-error not an argument of this job
      return feedback.args.height;
    },
  },
);

// Handlers: what compiles.
class ResizeDto implements ResizeArgs {
  path!: string;
  width!: number;
  area(): number {
    return this.width ** 2;
  }
}
@Controller()
export class Fitting {
  @Job(Resize) none() {
    return { bytes: 1 };
  }
  @Job(Resize) async argsAndContext(@Payload() args: ResizeArgs, @Ctx() context: JobContext<typeof Resize>) {
    return Promise.resolve({ bytes: args.width + context.args.width });
  }
  @Job(Resize) observable(@Payload() _args: ArgsOf<typeof Resize>): Observable<{ bytes: number }> {
    throw new Error();
  }
  @Job(Resize) contextFirst(@Ctx() context: JobContext<typeof Resize>, @Payload() args: ResizeArgs) {
    return { bytes: context.args.width + args.width };
  }
  @Job(Resize) anyContext(@Ctx() context: JobContext) {
    return { bytes: context.fence };
  }
  @Job(Resize) fields(@Payload('path') path: string, @Payload('width') width: number) {
    return { bytes: path.length + width };
  }
  @Job(Resize) field(@Payload('crop') crop: { x: number }) {
    return { bytes: crop.x };
  }
  @Job(Resize) pipedField(@Payload('path', ParseIntPipe) path: number) {
    return { bytes: path };
  }
  @Job(Resize) part(@Payload() args: { path: string }) {
    return { bytes: args.path.length };
  }
  @Job(Resize) dto(@Payload() args: ResizeDto) {
    return { bytes: args.area() };
  }
  @Job(Parsed) parsed(@Payload() args: { count: number }) {
    return args.count;
  }
  @Job(Untyped) untyped(@Payload() args: { whatever: string }) {
    return args.whatever;
  }
  @Job('by.name') named(@Payload() args: { whatever: string }, @Ctx() context: JobContext) {
    return [args.whatever, context.args['whatever']];
  }
  @OnSuccess(Resize) @OnError(Resize) callback(@Payload() args: ResizeArgs, @Ctx() context: JobContext<typeof Resize>) {
    context.args.width += args.width;
  }
  @OnSuccessFeedback(Resize) async done(feedback: Feedback<typeof Resize>) {
    return Promise.resolve(feedback.args.path);
  }
  @OnErrorFeedback(Resize) failed() {}
  @OnErrorFeedback('by.name') failedByName(feedback: Feedback) {
    return feedback.error?.message;
  }
}

// Handlers: what does not.
export class Misfitting {
  // @ts-expect-error a wrong result
  @Job(Resize) result() {
    return { byte: 1 };
  }
  // @ts-expect-error no result
  @Job(Resize) nothing() {}
  // @ts-expect-error a wrong result, later
  @Job(Resize) async later() {
    return Promise.resolve('bytes');
  }
  // @ts-expect-error a wrong result, emitted
  @Job(Resize) emitted(): Observable<number> {
    throw new Error();
  }
  // @ts-expect-error a payload with a wrong type
  @Job(Resize) wrongType(@Payload() args: { path: string; width: string }) {
    return { bytes: args.width.length };
  }
  // @ts-expect-error a payload with a field that the args do not have
  @Job(Resize) missing(@Payload() args: { path: string; height: number }, @Ctx() _context: JobContext) {
    return { bytes: args.height };
  }
  // @ts-expect-error the input of the schema, where the handler gets its output
  @Job(Parsed) input(@Payload() args: { count: string }) {
    return args.count;
  }
  // @ts-expect-error the context of another job
  @Job(Resize) otherContext(@Ctx() context: JobContext<typeof Parsed>) {
    return { bytes: context.fence };
  }
  // @ts-expect-error a misspelt setting
  @Job(Resize, { timout: '5s' }) misspelt() {
    return { bytes: 1 };
  }
  // @ts-expect-error a callback with a wrong payload
  @OnSuccess(Resize) callback(@Payload() args: { bytes: number }) {
    return args;
  }
  // @ts-expect-error the feedback of another job
  @OnSuccessFeedback(Resize) feedback(feedback: Feedback<typeof Parsed>) {
    return feedback;
  }
}

// Options.
const node = { name: 'gpu', storage: 'memory', distributors: [{ host: '127.0.0.1', port: 5000 }] } as const;
export const options: JobReactorOptions[] = [
  { distributor: { name: 'web', port: 0 }, jobs: { backoff: '5s', retention: { removeFailed: true } } },
  { node: { ...node, distributors: [...node.distributors], accepts: [Resize, 'other'] } },
  { node: { ...node, distributors: [...node.distributors], threads: { module: new URL('file:///a.js'), size: 2 } } },
  // @ts-expect-error threads without a module
  { node: { ...node, distributors: [...node.distributors], threads: { size: 2 } } },
  // @ts-expect-error whether a job runs in a thread is said of that job
  { distributor: { name: 'web', port: 0 }, jobs: { thread: true } },
  // @ts-expect-error a misspelt option
  { distributor: { name: 'web', prot: 0 } },
  // @ts-expect-error a node without storage
  { node: { name: 'gpu' } },
];
