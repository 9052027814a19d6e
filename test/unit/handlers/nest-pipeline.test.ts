import {
  type ArgumentMetadata,
  type CallHandler,
  type CanActivate,
  Controller,
  createParamDecorator,
  type ExecutionContext,
  ForbiddenException,
  Injectable,
  type NestInterceptor,
  ParseIntPipe,
  type PipeTransform,
  SetMetadata,
  UseGuards,
  UseInterceptors,
  UsePipes,
  ValidationPipe,
} from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR, APP_PIPE, Reflector } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { IsInt, Min } from 'class-validator';
import { EMPTY, from, map, of, throwError } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { Job, OnError, OnSuccess } from '../../../lib/handlers/job.decorators.js';
import { JobContext } from '../../../lib/handlers/job-context.js';
import { explored } from '../../support/explored.js';

const seen: string[] = [];
const note = (entry: string): void => void seen.push(entry);
const taken = (): string[] => seen.splice(0);

describe('guards', () => {
  @Injectable()
  class Policy {
    allows = true;
  }
  @Injectable()
  class PolicyGuard implements CanActivate {
    constructor(
      private readonly policy: Policy,
      private readonly reflector: Reflector,
    ) {}
    canActivate(context: ExecutionContext): boolean {
      const rpc = context.switchToRpc();
      const job = rpc.getContext<JobContext>().job.name;
      const role = this.reflector.get<string>('role', context.getHandler()) as string | undefined;
      const place = `${context.getClass().name}.${context.getHandler().name}`;
      note(`${context.getType()} ${place} ${job} ${JSON.stringify(rpc.getData())} ${role}`);
      return this.policy.allows;
    }
  }
  const Role = (role: string) => SetMetadata('role', role);

  @Controller()
  @UseGuards(PolicyGuard)
  class OnClass {
    @Job('a') @Role('admin') run() {
      return 1;
    }
    @OnSuccess('a') done() {
      note('done');
    }
  }
  @Injectable()
  class OnMethod {
    @Job('b') @UseGuards(PolicyGuard) run() {
      return 2;
    }
  }

  it('of class and method are injected, and see an rpc context with the args and the JobContext', async () => {
    const { run, attempt } = await explored({ controllers: [OnClass], providers: [Policy, OnMethod] });
    expect(await run('a', { x: 1 })).toBe(1);
    expect(await run('b')).toBe(2);
    await attempt('a').attempt.onSuccess(0, { y: 2 });
    expect(taken()).toEqual([
      'rpc OnClass.run a {"x":1} admin',
      'rpc OnMethod.run b {} undefined',
      'rpc OnClass.done a {"y":2} undefined',
      'done',
    ]);
  });

  it('that refuse fail the attempt with ForbiddenException', async () => {
    const { app, run } = await explored({ controllers: [OnClass], providers: [Policy, OnMethod] });
    app.get(Policy).allows = false;
    await expect(run('a')).rejects.toThrow(ForbiddenException);
    await expect(run('b')).rejects.toThrow('Forbidden resource');
    taken();
  });

  it('that are global (APP_GUARD) apply too, before those of the class', async () => {
    @Injectable()
    class Global implements CanActivate {
      canActivate(): Promise<boolean> {
        note('global');
        return Promise.resolve(true);
      }
    }
    const { run } = await explored({
      controllers: [OnClass],
      providers: [Policy, OnMethod, { provide: APP_GUARD, useClass: Global }],
    });
    await run('a');
    await run('b');
    expect(taken()).toEqual([
      'global',
      expect.stringMatching(/^rpc OnClass/),
      'global',
      expect.stringMatching(/^rpc OnMethod/),
    ]);
  });
});

describe('pipes', () => {
  class SizeDto {
    @IsInt() @Min(1) width!: number;
    area(): number {
      return this.width ** 2;
    }
  }
  const validation = () => new ValidationPipe({ transform: true });

  it('ValidationPipe checks a DTO and makes an instance of it, on parameter, method, class or globally', async () => {
    @Injectable()
    class OnParameter {
      @Job('parameter') run(@Payload(validation()) size: SizeDto) {
        return size.area();
      }
    }
    @Injectable()
    class OnMethod {
      @Job('method') @UsePipes(validation()) run(@Payload() size: SizeDto, @Ctx() context: JobContext) {
        expect(context).toBeInstanceOf(JobContext);
        return size.area();
      }
    }
    @Controller()
    @UsePipes(validation())
    class OnClass {
      @Job('class') run(size: SizeDto) {
        return size.area();
      }
    }
    const local = await explored({ controllers: [OnClass], providers: [OnParameter, OnMethod] });
    for (const name of ['parameter', 'method', 'class']) {
      expect(await local.run(name, { width: 3 })).toBe(9);
      await expect(local.run(name, { width: 0 })).rejects.toThrow('Bad Request');
    }

    @Injectable()
    class Plain {
      @Job('global') run(@Payload() size: SizeDto) {
        return size.area();
      }
    }
    const { run } = await explored({ providers: [Plain, { provide: APP_PIPE, useFactory: validation }] });
    expect(await run('global', { width: 4 })).toBe(16);
    await expect(run('global', { width: 'x' })).rejects.toThrow('Bad Request');
  });

  it('apply to one field, and are injected', async () => {
    @Injectable()
    class Suffix {
      readonly text = '!';
    }
    @Injectable()
    class SuffixPipe implements PipeTransform {
      constructor(private readonly suffix: Suffix) {}
      transform(value: string, metadata: ArgumentMetadata) {
        return `${value}${this.suffix.text}${metadata.data}`;
      }
    }
    @Injectable()
    class Fields {
      @Job('x') run(@Payload('id', ParseIntPipe) id: number, @Payload('name', SuffixPipe) name: string) {
        return { id, name };
      }
    }
    const { run } = await explored({ providers: [Suffix, Fields] });
    expect(await run('x', { id: '7', name: 'n' })).toEqual({ id: 7, name: 'n!name' });
    await expect(run('x', { id: 'seven', name: 'n' })).rejects.toThrow('numeric string is expected');
  });

  it('leave decorators of your own alone, which see the same context', async () => {
    const JobName = createParamDecorator((data: unknown, context: ExecutionContext) => {
      return context.switchToRpc().getContext<JobContext>().job.name;
    });
    @Injectable()
    class Own {
      @Job('own') run(@Payload() _args: object, @JobName() name: string) {
        return name;
      }
    }
    const { run } = await explored({ providers: [Own] });
    expect(await run('own')).toBe('own');
  });
});

describe('interceptors', () => {
  const around = (name: string): NestInterceptor => ({
    intercept(_context, next) {
      note(`before ${name}`);
      return next.handle().pipe(map((value: unknown) => `${name}(${String(value)})`));
    },
  });

  it('run from the global one inwards and may change the result', async () => {
    @Controller()
    @UseInterceptors(around('class'))
    class Wrapped {
      @Job('x') @UseInterceptors(around('method')) run() {
        note('run');
        return 'result';
      }
    }
    const { run } = await explored({
      controllers: [Wrapped],
      providers: [{ provide: APP_INTERCEPTOR, useValue: around('global') }],
    });
    expect(await run('x')).toBe('global(class(method(result)))');
    expect(taken()).toEqual(['before global', 'before class', 'before method', 'run']);
  });

  it('are injected into plain providers, see errors, and may answer instead of the handler', async () => {
    @Injectable()
    class Answers implements NestInterceptor {
      intercept(context: ExecutionContext, next: CallHandler) {
        return context.switchToRpc().getData<{ cached?: string }>().cached === undefined ? next.handle() : of('cached');
      }
    }
    @Injectable()
    class Cached {
      @Job('x') @UseInterceptors(Answers) run(): string {
        throw new TypeError('not cached');
      }
    }
    const { run } = await explored({ providers: [Cached] });
    expect(await run('x', { cached: 'y' })).toBe('cached');
    await expect(run('x')).rejects.toThrow(new TypeError('not cached'));
  });
});

describe('the result', () => {
  @Injectable()
  class Results {
    @Job('value') value() {
      return { x: 1 };
    }
    @Job('promise') async promise() {
      return Promise.resolve('later');
    }
    @Job('observable') observable() {
      return from([1, 2, 3]);
    }
    @Job('async observable') async asyncObservable() {
      return Promise.resolve(from(['a', 'b']));
    }
    @Job('empty') empty() {
      return EMPTY;
    }
    @Job('error') error() {
      return throwError(() => new RangeError('emitted'));
    }
    @OnError('error') recover() {
      return from([1]);
    }
  }

  it('is what is returned, resolved, or emitted last; undefined when nothing is', async () => {
    const { run } = await explored({ providers: [Results] });
    expect(await run('value')).toEqual({ x: 1 });
    expect(await run('promise')).toBe('later');
    expect(await run('observable')).toBe(3);
    expect(await run('async observable')).toBe('b');
    expect(await run('empty')).toBeUndefined();
  });

  it('of an Observable that errors is that error; a callback answers nothing', async () => {
    const { run, attempt } = await explored({ providers: [Results] });
    await expect(run('error')).rejects.toThrow(new RangeError('emitted'));
    expect(await attempt('error').attempt.onError(0, {})).toBeUndefined();
  });
});
