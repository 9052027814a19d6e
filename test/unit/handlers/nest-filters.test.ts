import {
  type ArgumentsHost,
  Catch,
  Controller,
  type ExceptionFilter,
  Injectable,
  Logger,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { BaseRpcExceptionFilter } from '@nestjs/microservices';
import { EMPTY, of, throwError } from 'rxjs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Job, OnSuccess } from '../../../lib/handlers/job.decorators.js';
import { JobContext } from '../../../lib/handlers/job-context.js';
import { CancelJob, JobTimeout, UnrecoverableError } from '../../../lib/job/job.errors.js';
import { explored } from '../../support/explored.js';

class Broken extends Error {}

/** A filter for Broken that answers by `answer`. */
function answering(answer: (exception: unknown, host: ArgumentsHost) => unknown): ExceptionFilter {
  @Catch(Broken)
  class Filter implements ExceptionFilter {
    catch(exception: unknown, host: ArgumentsHost): unknown {
      return answer(exception, host);
    }
  }
  return new Filter();
}

/** Runs a job that throws `thrown` behind the filter. */
async function outcome(filter: ExceptionFilter, thrown: unknown = new Broken('original')): Promise<unknown> {
  @Injectable()
  class Failing {
    @Job('x') @UseFilters(filter) run() {
      throw thrown;
    }
  }
  const { run } = await explored({ providers: [Failing] });
  return run('x', { a: 1 }).then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
}

afterEach(() => vi.restoreAllMocks());

describe('an exception', () => {
  it('that no filter catches is rethrown as it is, and not logged', async () => {
    const log = vi.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    const thrown = new RangeError('mine');
    expect(
      await outcome(
        answering(() => 'caught'),
        thrown,
      ),
    ).toEqual({ error: thrown });
    expect(
      await outcome(
        answering(() => 'caught'),
        'a text',
      ),
    ).toEqual({ error: 'a text' });
    expect(log).not.toHaveBeenCalled();
  });

  it('that a filter turns into a value, a promise or an Observable of one makes that the result', async () => {
    expect(await outcome(answering(() => 'value'))).toEqual({ value: 'value' });
    expect(await outcome(answering(() => null))).toEqual({ value: null });
    expect(await outcome(answering(async () => Promise.resolve('later')))).toEqual({ value: 'later' });
    expect(await outcome(answering(() => of(1, 2)))).toEqual({ value: 2 });
  });

  it('that a filter only looks at still fails the attempt, with the original', async () => {
    const thrown = new Broken('original');
    for (const nothing of [() => undefined, () => EMPTY, async () => Promise.resolve()]) {
      expect(await outcome(answering(nothing), thrown)).toEqual({ error: thrown });
    }
  });

  it('that a filter replaces, by throwing or by an Observable, fails the attempt with the replacement', async () => {
    const other = new TypeError('translated');
    const raise = () => {
      throw other;
    };
    expect(await outcome(answering(raise))).toEqual({ error: other });
    expect(await outcome(answering(() => throwError(() => other)))).toEqual({ error: other });
    expect(await outcome(answering(async () => Promise.reject(other)))).toEqual({ error: other });
  });

  it('reaches the filter with an rpc host that has the args and the JobContext', async () => {
    await outcome(
      answering((_exception, host) => {
        expect(host.getType()).toBe('rpc');
        expect(host.switchToRpc().getData()).toEqual({ a: 1 });
        expect(host.switchToRpc().getContext()).toBeInstanceOf(JobContext);
        return 'seen';
      }),
    );
    expect.assertions(3);
  });

  it('of a guard, and of a callback, is filtered as well', async () => {
    @Controller()
    @UseFilters(answering((exception) => `filtered ${(exception as Error).message}`))
    class Filtered {
      @Job('x')
      @UseGuards({
        canActivate: () => {
          throw new Broken('guard');
        },
      })
      run() {}
      @OnSuccess('x') done() {
        throw new Broken('callback');
      }
    }
    const { run, attempt } = await explored({ controllers: [Filtered] });
    expect(await run('x')).toBe('filtered guard');
    await expect(attempt('x').attempt.onSuccess(0, {})).resolves.toBeUndefined();
  });
});

describe('filters', () => {
  it('are found from the method outwards to the global ones (APP_FILTER), and are injected', async () => {
    @Injectable()
    class Words {
      readonly text = 'injected';
    }
    @Catch()
    class Global implements ExceptionFilter {
      constructor(private readonly words: Words) {}
      catch(exception: Error) {
        return `global ${this.words.text} ${exception.message}`;
      }
    }
    @Catch(Broken)
    class OnMethod implements ExceptionFilter {
      catch() {
        return 'method';
      }
    }
    @Controller()
    class Failing {
      @Job('broken') @UseFilters(OnMethod) broken() {
        throw new Broken('x');
      }
      @Job('other') @UseFilters(OnMethod) other() {
        throw new RangeError('x');
      }
    }
    const { run } = await explored({
      controllers: [Failing],
      providers: [Words, { provide: APP_FILTER, useClass: Global }],
    });
    expect(await run('broken')).toBe('method');
    expect(await run('other')).toBe('global injected x');
  });

  it("that extend Nest's own rpc filter mask the exception, as they say", async () => {
    @Catch()
    class Masking extends BaseRpcExceptionFilter {}
    vi.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    expect(await outcome(new Masking())).toEqual({ error: { status: 'error', message: 'Internal server error' } });
  });

  it('do not see a cancel or a timeout, but do see an unrecoverable failure', async () => {
    @Catch()
    class Everything implements ExceptionFilter {
      catch(exception: Error) {
        throw new Error(`translated ${exception.name}`);
      }
    }
    for (const thrown of [new CancelJob('enough'), new JobTimeout(5)]) {
      expect(await outcome(new Everything(), thrown)).toEqual({ error: thrown });
    }
    expect(await outcome(new Everything(), new UnrecoverableError('no'))).toMatchObject({
      error: { message: 'translated UnrecoverableError' },
    });
  });
});
