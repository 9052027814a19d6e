import { AsyncLocalStorage } from 'node:async_hooks';
import { execFile } from 'node:child_process';
import { pbkdf2 } from 'node:crypto';
import { createReadStream, promises as fs } from 'node:fs';
import { join } from 'node:path';
import { createGzip } from 'node:zlib';
import { promisify } from 'node:util';
import { Injectable } from '@nestjs/common';
import { Ctx, Payload } from '@nestjs/microservices';
import { from, interval, map, of, take, throwError, type Observable } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { Job, JobContext, OnError, OnSuccess } from '../../lib/index.js';
import { signal } from '../support/deadline.js';
import { eventually, Facts, reactors } from '../support/reactor.js';

const system = reactors();

async function start(handlers: new (...args: never[]) => object, concurrency?: number) {
  const web = await system.application();
  await system.node({ providers: [handlers], to: web, ...(concurrency ? { concurrency } : {}) });
  return web;
}

describe('a handler', () => {
  it('may return a value, a promise, a thenable, or an Observable, whose last value is the result', async () => {
    @Injectable()
    class Answers {
      @Job('value') value(): number {
        return 1;
      }
      @Job('promise') async promise(): Promise<number> {
        await new Promise((resolve) => setTimeout(resolve, 5));
        return 2;
      }
      @Job('thenable') thenable(): PromiseLike<number> {
        // oxlint-disable-next-line unicorn/no-thenable
        return { then: (resolve: (value: number) => unknown) => resolve(3) } as PromiseLike<number>;
      }
      @Job('observable') observable(): Observable<number> {
        return interval(2).pipe(
          take(4),
          map((n) => n + 1),
        );
      }
      @Job('promise of observable') async later(): Promise<Observable<number>> {
        return Promise.resolve(of(4, 5));
      }
      @Job('empty') empty(): Observable<never> {
        return from([]);
      }
      @Job('nothing') nothing(): void {}
    }
    const { client } = await start(Answers);
    const names = ['value', 'promise', 'thenable', 'observable', 'promise of observable', 'empty', 'nothing'];
    const results = await Promise.all(names.map((name) => client.run(name, {})));
    expect(results).toEqual([1, 2, 3, 4, 5, undefined, undefined]);
  });

  it('fails when it throws, rejects, or its Observable errors, after values too', async () => {
    @Injectable()
    class Failures {
      @Job('throws', { maxAttempts: 1 }) throws(): void {
        throw new Error('thrown');
      }
      @Job('rejects', { maxAttempts: 1 }) async rejects(): Promise<void> {
        await Promise.resolve();
        throw new Error('rejected');
      }
      @Job('errors', { maxAttempts: 1 }) errors(): Observable<unknown> {
        return interval(1).pipe(
          take(3),
          map((n) => {
            if (n === 2) throw new Error('errored');
            return n;
          }),
        );
      }
      @Job('errors at once', { maxAttempts: 1 }) atOnce(): Observable<never> {
        return throwError(() => new Error('errored at once'));
      }
      @Job('throws no Error', { maxAttempts: 1 }) noError(): void {
        throw 'a text'; // oxlint-disable-line no-throw-literal
      }
    }
    const { client } = await start(Failures);
    const message = async (name: string): Promise<string> =>
      client.run(name, {}).then(String, (error: { error: { message: string } }) => error.error.message);
    expect(
      await Promise.all(['throws', 'rejects', 'errors', 'errors at once', 'throws no Error'].map(message)),
    ).toEqual(['thrown', 'rejected', 'errored', 'errored at once', 'a text']);
  });

  it('may use any Node API: files, streams, processes, the thread pool, async context', async () => {
    const context = new AsyncLocalStorage<string>();
    @Injectable()
    class Nodes {
      @Job('file') async file(@Payload('path') path: string): Promise<string> {
        return (JSON.parse(await fs.readFile(path, 'utf8')) as { name: string }).name;
      }
      @Job('stream') async stream(@Payload('path') path: string): Promise<number> {
        let bytes = 0;
        for await (const chunk of createReadStream(path).pipe(createGzip())) bytes += (chunk as Buffer).length;
        return bytes;
      }
      @Job('process') async process(): Promise<string> {
        return (await promisify(execFile)(process.execPath, ['-p', '6 * 7'])).stdout.trim();
      }
      @Job('pool') async pool(): Promise<Uint8Array> {
        return promisify(pbkdf2)('secret', 'salt', 1000, 16, 'sha256');
      }
      @Job('context') async context(@Payload('value') value: string): Promise<string | undefined> {
        return context.run(value, async () => {
          await new Promise((resolve) => setTimeout(resolve, 5));
          return context.getStore();
        });
      }
    }
    const { client } = await start(Nodes);
    const path = join(import.meta.dirname, '../../package.json');
    expect(await client.run('file', { path })).toBe('nestjs-job-reactor');
    expect(await client.run('stream', { path })).toBeGreaterThan(100);
    expect(await client.run('process', {})).toBe('42');
    expect(await client.run('pool', {})).toHaveLength(16);
    const values = ['a', 'b', 'c'];
    expect(await Promise.all(values.map((value) => client.run('context', { value })))).toEqual(values);
  });

  it('callbacks and errbacks may be async too: what follows waits for them', async () => {
    const steps: string[] = [];
    const slow = (step: string): Promise<void> =>
      new Promise((resolve) => setTimeout(() => resolve(void steps.push(step)), 15));
    @Injectable()
    class Slow {
      @Job('slow', { maxAttempts: 1 }) async job(@Payload('fail') fail: boolean): Promise<void> {
        await slow('job');
        if (fail) throw new Error('told to');
      }
      @OnSuccess('slow') async first(): Promise<void> {
        await slow('first');
      }
      @OnSuccess('slow') second(): Observable<void> {
        return from(slow('second'));
      }
      @OnError('slow') errback(): Observable<void> {
        return from(slow('errback'));
      }
    }
    const { client } = await start(Slow);
    await client.run('slow', { fail: false });
    steps.push('told');
    await client.run('slow', { fail: true }).catch(() => steps.push('told'));
    expect(steps).toEqual(['job', 'first', 'second', 'told', 'job', 'errback', 'told']);
  });
});

describe('one node', () => {
  /** Counts how many run at once; each job waits until it is let go. */
  function gate() {
    const running = new Facts<string>();
    const release = new Map<string, () => void>();
    let now = 0;
    let most = 0;
    @Injectable()
    class Gate {
      @Job('gated') async gated(@Payload('n') n: number, @Ctx() ctx: JobContext): Promise<number> {
        most = Math.max(most, ++now);
        const open = signal();
        release.set(ctx.job.id, open.resolve);
        running.tell(ctx.job.id);
        await open.promise;
        now--;
        return n;
      }
    }
    return { Gate, running, release: (id: string) => release.get(id)!(), most: () => most };
  }

  it('runs `concurrency` jobs at once, and the next as soon as one has ended', async () => {
    const { Gate, running, release, most } = gate();
    const { client } = await start(Gate, 3);
    const entries = Array.from({ length: 7 }, (_, n) => ({ job: 'gated', args: { n } }));
    const jobs = await client.enqueueMany(entries);
    for (let ended = 0; ended < jobs.length; ended++) {
      await running.count(Math.min(ended + 3, jobs.length));
      await new Promise((resolve) => setImmediate(resolve));
      expect(running.all).toHaveLength(Math.min(ended + 3, jobs.length));
      release(running.all[ended]!);
    }
    expect(await Promise.all(jobs.map((job) => job.result()))).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(most()).toBe(3);
  });

  it('runs 16 at once unless told otherwise, and hundreds if told so', async () => {
    for (const [concurrency, expected] of [
      [undefined, 16],
      [300, 300],
    ] as const) {
      const { Gate, running, release, most } = gate();
      const { client, distributor } = await start(Gate, concurrency);
      const jobs = await client.enqueueMany(Array.from({ length: 400 }, (_, n) => ({ job: 'gated', args: { n } })));
      await running.count(expected);
      expect(distributor.nodes()[0]).toBeDefined();
      for (let ended = 0; ended < jobs.length; ended++) {
        await running.count(ended + 1);
        release(running.all[ended]!);
      }
      await Promise.all(jobs.map((job) => job.result()));
      expect(most()).toBe(expected);
    }
  });

  it('goes on with other jobs while one waits for something slow', async () => {
    const { Gate, running, release } = gate();
    const { client } = await start(Gate, 2);
    const slow = await client.enqueue('gated', { n: -1 });
    const first = await running.next();
    for (let n = 0; n < 5; n++) {
      const job = client.run('gated', { n });
      release(await running.next());
      expect(await job).toBe(n);
    }
    release(first);
    expect(await slow.result()).toBe(-1);
    await eventually('nothing is left', async () => (await client.find(slow.id)) === null);
  });
});
