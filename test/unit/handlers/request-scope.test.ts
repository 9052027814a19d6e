import {
  type CanActivate,
  Controller,
  Inject,
  Injectable,
  type PipeTransform,
  Scope,
  UseGuards,
  UseInterceptors,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { APP_GUARD, ContextIdFactory, REQUEST } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { afterEach, describe, expect, it } from 'vitest';
import { Job, OnError, OnSuccess } from '../../../lib/handlers/job.decorators.js';
import { JobContext } from '../../../lib/handlers/job-context.js';
import { explored } from '../../support/explored.js';

describe('a request-scoped handler', () => {
  let made = 0;
  @Injectable({ scope: Scope.REQUEST })
  class Journal {
    readonly number = ++made;
    readonly entries: string[] = [];
    constructor(@Inject(REQUEST) readonly request: JobContext) {}
  }
  @Controller()
  class Scoped {
    constructor(private readonly journal: Journal) {}
    @Job('x') run(@Ctx() context: JobContext) {
      expect(this.journal.request).toBe(context);
      this.journal.entries.push('run');
      return this.journal;
    }
    @OnSuccess('x') done() {
      this.journal.entries.push('done');
    }
  }
  @Injectable({ scope: Scope.REQUEST })
  class Elsewhere {
    constructor(private readonly journal: Journal) {}
    @OnSuccess('x') done() {
      this.journal.entries.push('elsewhere');
    }
    @OnError('x') failed() {
      this.journal.entries.push('failed');
    }
  }

  it('has one instance for the job, its callbacks and errbacks, and the JobContext as REQUEST', async () => {
    const { attempt, jobs } = await explored({ controllers: [Scoped], providers: [Journal, Elsewhere] });
    const { attempt: one } = attempt('x');
    const journal = (await one.job({})) as Journal;
    for (let i = 0; i < jobs.find('x')!.callbacks; i++) await one.onSuccess(i, {});
    await one.onError(0, {});
    expect([...journal.entries].sort()).toEqual(['done', 'elsewhere', 'failed', 'run']);
  });

  it('has another instance at the next attempt', async () => {
    made = 0;
    const { run } = await explored({ controllers: [Scoped], providers: [Journal, Elsewhere] });
    expect(await run('x')).toMatchObject({ number: 1 });
    expect(await run('x')).toMatchObject({ number: 2 });
  });

  it('fails the attempt with the error of its constructor', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Fails {
      constructor() {
        throw new RangeError('not today');
      }
      @Job('x') run() {}
    }
    const { run } = await explored({ providers: [Fails] });
    await expect(run('x')).rejects.toThrow(new RangeError('not today'));
  });
});

describe('request-scoped guards, interceptors and pipes', () => {
  @Injectable({ scope: Scope.REQUEST })
  class Guard implements CanActivate {
    constructor(@Inject(REQUEST) private readonly request: JobContext) {}
    canActivate(): boolean {
      return this.request.job.name === 'x';
    }
  }
  @Injectable({ scope: Scope.REQUEST })
  class Interceptor implements NestInterceptor {
    constructor(@Inject(REQUEST) private readonly request: JobContext) {}
    intercept(context: ExecutionContext, next: CallHandler) {
      expect(context.switchToRpc().getContext()).toBe(this.request);
      return next.handle();
    }
  }
  @Injectable({ scope: Scope.REQUEST })
  class Pipe implements PipeTransform {
    constructor(@Inject(REQUEST) private readonly request: JobContext) {}
    transform(value: string): string {
      return `${value} ${this.request.job.name}`;
    }
  }

  it('work on methods of a class that is not', async () => {
    @Controller()
    class InController {
      @Job('x') @UseGuards(Guard) @UseInterceptors(Interceptor) run(@Payload('v', Pipe) value: string) {
        return value;
      }
    }
    const { run } = await explored({ controllers: [InController] });
    expect(await run('x', { v: 'a' })).toBe('a x');
  });

  it('work on plain providers, also when they are global', async () => {
    @Injectable()
    class InProvider {
      @Job('x') @UseInterceptors(Interceptor) run(@Payload('v', Pipe) value: string) {
        return value;
      }
      @Job('y') other() {}
    }
    const { run } = await explored({ providers: [InProvider, { provide: APP_GUARD, useClass: Guard }] });
    expect(await run('x', { v: 'a' })).toBe('a x');
    await expect(run('y')).rejects.toThrow('Forbidden');
  });
});

describe('a durable handler', () => {
  afterEach(() => ContextIdFactory.apply(undefined as never));

  it('is kept per tenant by the strategy of the application', async () => {
    const tenants = new Map<string, { id: number }>();
    ContextIdFactory.apply({
      attach(contextId, request: JobContext<never>) {
        const tenant = (request as JobContext).args['tenant'] as string;
        if (!tenants.has(tenant)) tenants.set(tenant, ContextIdFactory.create());
        return {
          resolve: (info) => (info.isTreeDurable ? tenants.get(tenant)! : contextId),
          payload: { tenant },
        };
      },
    });
    let made = 0;
    @Injectable({ scope: Scope.REQUEST, durable: true })
    class PerTenant {
      readonly number = ++made;
      constructor(@Inject(REQUEST) private readonly request: { tenant: string }) {}
      @Job('x') run() {
        return `${this.request.tenant} ${this.number}`;
      }
    }
    const { run } = await explored({ providers: [PerTenant] });
    expect(await run('x', { tenant: 'a' })).toBe('a 1');
    expect(await run('x', { tenant: 'b' })).toBe('b 2');
    expect(await run('x', { tenant: 'a' })).toBe('a 1');
  });
});
