import { Controller, Injectable, Module, Scope } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { Job, OnError, OnErrorFeedback, OnSuccess, OnSuccessFeedback } from '../../../lib/handlers/job.decorators.js';
import { JobContext } from '../../../lib/handlers/job-context.js';
import { defineJob } from '../../../lib/job/define-job.js';
import type { Feedback } from '../../../lib/job/feedback.js';
import { explored } from '../../support/explored.js';

const Add = defineJob<{ a: number; b: number }, number>('math.add', { maxAttempts: 3, timeout: '2s' });

describe('methods are found', () => {
  @Controller()
  class InController {
    @Job('in.controller') run(@Payload('x') x: number, @Ctx() context: JobContext) {
      return { x, name: context.job.name };
    }
  }

  @Injectable()
  class InProvider {
    @Job('in.provider') run(@Ctx() context: JobContext, @Payload() args: { x: number }) {
      return { x: args.x, name: context.job.name };
    }
  }

  it('in controllers and in plain providers, with @Payload(), @Payload(field) and @Ctx()', async () => {
    const { jobs, run } = await explored({ controllers: [InController], providers: [InProvider] });
    expect(jobs.names().sort()).toEqual(['in.controller', 'in.provider']);
    expect(await run('in.controller', { x: 1 })).toEqual({ x: 1, name: 'in.controller' });
    expect(await run('in.provider', { x: 2 })).toEqual({ x: 2, name: 'in.provider' });
  });

  it('in the modules that are imported, and in classes provided under another token', async () => {
    @Module({ controllers: [InController] })
    class Inner {}
    const { run } = await explored({ imports: [Inner], providers: [{ provide: 'JOBS', useClass: InProvider }] });
    expect(await run('in.controller', { x: 3 })).toMatchObject({ x: 3 });
    expect(await run('in.provider', { x: 4 })).toMatchObject({ x: 4 });
  });

  it('once, when a class is known under an alias as well', async () => {
    const { run } = await explored({ providers: [InProvider, { provide: 'ALIAS', useExisting: InProvider }] });
    expect(await run('in.provider', { x: 5 })).toMatchObject({ x: 5 });
  });

  it('with the args first and the context second when no parameter is decorated', async () => {
    @Injectable()
    class Bare {
      @Job('bare') run(args: { x: number }, context: JobContext) {
        return [args.x, context.job.name];
      }
    }
    const { run } = await explored({ providers: [Bare] });
    expect(await run('bare', { x: 1 })).toEqual([1, 'bare']);
  });

  it('when they are inherited, those of the base class first', async () => {
    const seen: string[] = [];
    abstract class Base {
      @Job('inherited') run() {
        return this.constructor.name;
      }
      @OnSuccess('inherited') first() {
        seen.push('base');
      }
      @OnSuccess('inherited') replaced() {
        seen.push('never');
      }
    }
    @Injectable()
    class Derived extends Base {
      @OnSuccess('inherited') second() {
        seen.push('derived');
      }
      override replaced() {
        seen.push('never either');
      }
    }
    const { jobs, attempt } = await explored({ providers: [Derived] });
    const { attempt: one } = attempt('inherited');
    expect(await one.job({})).toBe('Derived');
    const { callbacks } = jobs.find('inherited')!;
    for (let i = 0; i < callbacks; i++) await one.onSuccess(i, {});
    expect(seen).toEqual(['base', 'derived']);
  });
});

describe('a handler', () => {
  it('has the settings of its definition, those of @Job before them, and the schema', async () => {
    @Injectable()
    class Sums {
      @Job(Add, { maxAttempts: 5 }) add(args: { a: number; b: number }) {
        return args.a + args.b;
      }
    }
    const { jobs } = await explored({ providers: [Sums] });
    expect(jobs.find('math.add')).toMatchObject({ defaults: { maxAttempts: 5, timeout: 2000 }, callbacks: 0 });
    expect(jobs.find('math.add')?.schema).toBeUndefined();
    expect(jobs.find('math.sub')).toBeUndefined();
  });

  it('runs callbacks and errbacks in declared order, and one method may have several roles', async () => {
    const seen: string[] = [];
    @Injectable()
    class Steps {
      @Job('one') @Job('two') run() {}
      @OnSuccess('one') a() {
        seen.push('a');
      }
      @OnSuccess('one') @OnError('one') @OnSuccess('two') b() {
        seen.push('b');
      }
      @OnError('one') c() {
        seen.push('c');
      }
    }
    const { jobs, attempt } = await explored({ providers: [Steps] });
    expect(jobs.find('one')).toMatchObject({ callbacks: 2, errbacks: 2 });
    expect(jobs.find('two')).toMatchObject({ callbacks: 1, errbacks: 0 });
    const { attempt: one } = attempt('one');
    await one.onSuccess(0, {});
    await one.onSuccess(1, {});
    await one.onError(0, {});
    await one.onError(1, {});
    expect(seen).toEqual(['a', 'b', 'b', 'c']);
  });
});

describe('declared feedback methods', () => {
  const feedback = { id: 'x:1', status: 'succeeded', args: {}, result: 3, error: null } as unknown as Feedback;

  it('get the feedback, in declared order, in controllers and providers, and may be async', async () => {
    const seen: unknown[] = [];
    @Injectable()
    class Reports {
      readonly tag = 'reports';
      @OnSuccessFeedback(Add) async first(given: Feedback<typeof Add>) {
        await Promise.resolve();
        seen.push([this.tag, given.id]);
      }
      @OnSuccessFeedback(Add) @OnErrorFeedback('math.add') second() {
        seen.push('second');
      }
    }
    const { feedbacks, feedbackMethods, nodeMethods } = await explored({ providers: [Reports] });
    const methods = feedbacks.success.get('math.add')!;
    expect(methods.map(({ where }) => where)).toEqual(['Reports.first', 'Reports.second']);
    for (const method of methods) await method.invoke(feedback);
    expect(seen).toEqual([['reports', 'x:1'], 'second']);
    expect(feedbacks.error.get('math.add')).toHaveLength(1);
    expect(feedbackMethods).toHaveLength(3);
    expect(nodeMethods).toEqual([]);
  });

  it('reject with what they throw', async () => {
    @Controller()
    class Failing {
      @OnErrorFeedback('x') fail() {
        throw new TypeError('no');
      }
    }
    const { feedbacks } = await explored({ controllers: [Failing] });
    await expect(feedbacks.error.get('x')![0]!.invoke(feedback)).rejects.toThrow(new TypeError('no'));
  });

  it('may belong to a request-scoped class', async () => {
    let made = 0;
    @Injectable({ scope: Scope.REQUEST })
    class PerFeedback {
      readonly number = ++made;
      @OnSuccessFeedback('x') done(given: Feedback) {
        expect(given).toBe(feedback);
        expect(this.number).toBe(made);
      }
    }
    const { feedbacks } = await explored({ providers: [PerFeedback] });
    await feedbacks.success.get('x')![0]!.invoke(feedback);
    await feedbacks.success.get('x')![0]!.invoke(feedback);
    expect(made).toBe(2);
  });
});

describe('at start it is refused', () => {
  const refusal = async (...providers: (new () => unknown)[]): Promise<unknown> => {
    return explored({ providers }).catch((error: unknown) => error);
  };

  it('that two methods do one job', async () => {
    class One {
      @Job('mail.send') run() {}
    }
    class Two {
      @Job('mail.send') send() {}
    }
    expect(await refusal(One, Two)).toMatchObject({
      code: 'DUPLICATE_HANDLER',
      message: "The job 'mail.send' has two handlers: One.run and Two.send. A node may have one.",
    });
  });

  it('that one class with a job is provided by two modules', async () => {
    @Injectable()
    class One {
      @Job('mail.send') run() {}
    }
    @Module({ providers: [One] })
    class Inner {}
    const error = await explored({ imports: [Inner], providers: [One] }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'DUPLICATE_HANDLER', message: expect.stringContaining('two modules') });
  });

  it('that a callback has no job, with the nearest name', async () => {
    class Near {
      @Job('mail.send') run() {}
      @OnSuccess('mail.sent') done() {}
    }
    expect(await refusal(Near)).toMatchObject({
      code: 'CALLBACK_WITHOUT_JOB',
      message:
        "Near.done is @OnSuccess('mail.sent'), but this node has no @Job('mail.sent'): did you mean 'mail.send'?",
    });
    class Far {
      @OnError('mail.sent') failed() {}
    }
    expect(await refusal(Far)).toMatchObject({
      code: 'CALLBACK_WITHOUT_JOB',
      message: "Far.failed is @OnError('mail.sent'), but this node has no @Job('mail.sent'). It has none at all.",
    });
  });

  it('that @Ctx() was left out', async () => {
    class Only {
      @Job('x') run(context: JobContext) {
        return context;
      }
    }
    expect(await refusal(Only)).toMatchObject({
      code: 'INVALID_OPTIONS',
      message: 'Only.run: write @Ctx() before parameter 1, the JobContext.',
    });
    class Beside {
      @Job('x') run(@Payload() args: object, context: JobContext) {
        return [args, context];
      }
    }
    expect(await refusal(Beside)).toMatchObject({ message: expect.stringContaining('parameter 2') });
  });

  it('that the class is transient', async () => {
    @Injectable({ scope: Scope.TRANSIENT })
    class Fleeting {
      @Job('x') run() {}
    }
    expect(await refusal(Fleeting)).toMatchObject({
      code: 'INVALID_OPTIONS',
      message: expect.stringContaining('Fleeting'),
    });
  });

  it('that a decorator is given a bad name, a bad setting or no method', () => {
    expect(() => Job('')).toThrow('The job of @Job() must be a name');
    expect(() => Job('x', { timout: 1 } as object)).toThrow("There is no option `@Job('x') timout`: did you mean");
    expect(() => Job('x', { timeout: -1 })).toThrow("@Job('x') timeout: -1 is negative");
    const decorate = OnSuccess('x') as (target: object, key: string | symbol, descriptor: PropertyDescriptor) => void;
    class Static {
      static run() {}
    }
    expect(() => decorate(Static, 'run', Object.getOwnPropertyDescriptor(Static, 'run')!)).toThrow('not static');
    expect(() => decorate({}, Symbol('s'), { value: () => 1 })).toThrow('plain name');
  });
});
