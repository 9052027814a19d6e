import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Injectable, type LoggerService } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { Job } from '../../lib/index.js';
import type { Mistake } from '../support/mistake-process.js';
import { programs, type Program } from '../support/program.js';
import { Facts, reactors } from '../support/reactor.js';

/*
 * What people get wrong at first. Each leads to one line that says what to do; tried in real processes, by what these log.
 */
const system = reactors();
const start = programs();
const PROGRAM = join(import.meta.dirname, '../support/mistake-process.ts');

const worker = (mistake: Mistake): Program => start(PROGRAM, [JSON.stringify(mistake)]);

interface Line {
  level: string;
  text: string;
}

/** A logger that keeps what it is given. */
function listening(): Facts<Line> & { logger: LoggerService } {
  const facts = new Facts<Line>();
  const on = (level: string) => (text: unknown) => facts.tell({ level, text: String(text) });
  return Object.assign(facts, { logger: { log: on('log'), warn: on('warn'), error: on('error'), debug: on('debug') } });
}

describe('a worker', () => {
  it('without a SQLite driver ends at once, and says what to install', async () => {
    const node = worker({ mistake: 'no driver', port: 9, storage: { type: 'sqlite', database: ':memory:' } });
    expect(await node.ended()).toMatchObject({ code: 1 });
    const [line, ...more] = node.lines('JobReactorError: No SQLite driver works here');
    expect(line).toContain(
      'Use Node 22.13 or later, which has node:sqlite, or run "npm install libsql" or "npm install',
    );
    expect(more).toEqual([]);
    expect(node.output).toContain("code: 'NO_SQLITE_DRIVER'");
  });

  it('whose distributor is not there says so once, with the address, stays quiet, and says when it is connected', async () => {
    const attempts = new Facts<void>();
    let application: number | undefined;
    const entrance = createServer((socket) => {
      if (application !== undefined) {
        const inside = connect(application);
        socket.on('error', () => inside.destroy());
        inside.on('error', () => socket.destroy());
        return void socket.pipe(inside).pipe(socket);
      }
      socket.destroy();
      attempts.tell();
    }).listen(0, '127.0.0.1');
    await once(entrance, 'listening');
    const { port } = entrance.address() as AddressInfo;
    const node = worker({ mistake: 'none', port });
    const line = await node.says("can't reach its distributor");
    expect(line).toContain(`127.0.0.1:${port}`);
    expect(line).toContain('Start the application, or correct host and port in `node.distributors`.');
    await attempts.count(5);
    application = (await system.application()).port;
    await node.says("is connected to distributor 'web'");
    entrance.close();
    expect(node.lines("can't reach")).toHaveLength(1);
    expect(node.lines('WARN')).toHaveLength(1);
  });

  it('that is configured and never started says so after 10 s, and with what it is started', async () => {
    const { port } = await system.application();
    const node = worker({ mistake: 'no transport', port });
    const line = await node.says("Node 'one' is configured and was never started");
    expect(line).toContain('Hand `JobReactorModule.transport()` to `createMicroservice()` and call `listen()`');
    expect(node.lines('WARN')).toHaveLength(1);
  });

  it('in which no class with a @Job is listed says so when it starts', async () => {
    const { port } = await system.application();
    const node = worker({ mistake: 'unlisted', port });
    expect(await node.says('found no @Job method')).toContain('List the classes that have them in `controllers` or');
  });

  it('started twice on one SQLite file ends the second time, and says that each needs its own', async () => {
    const { port } = await system.application();
    const storage = { type: 'sqlite', database: join(await system.folder(), 'jobs.sqlite') } as const;
    await worker({ mistake: 'none', port, storage }).says('is connected');
    const second = worker({ mistake: 'none', port, storage });
    expect(await second.ended()).toMatchObject({ code: 1 });
    expect(second.lines('JobReactorError: ')).toEqual([expect.stringContaining('jobs.sqlite')]);
    expect(second.output).toContain("code: 'STORAGE_IN_USE'");
  });

  it('with @Ctx() forgotten before a JobContext does not start, and says where', async () => {
    const node = worker({ mistake: 'no @Ctx', port: 9 });
    expect(await node.ended()).toMatchObject({ code: 1 });
    expect(node.output).toContain('WithoutCtx.resize: write @Ctx() before parameter 2, the JobContext.');
  });

  it('with a parameter that nothing will ever fill says which', async () => {
    const { port } = await system.application();
    const node = worker({ mistake: 'no @Payload', port });
    const line = await node.says('WithoutPayload.resize');
    expect(line).toContain('parameter 1 will always be undefined');
    expect(line).toContain('Write @Payload() or @Ctx() before it.');
    await node.says('is connected to distributor');
    expect(node.lines('WithoutPayload.resize')).toHaveLength(1);
  });
});

describe('enableShutdownHooks(), forgotten', () => {
  it('is told once, soon after the start', async () => {
    const { port } = await system.application();
    const node = worker({ mistake: 'no hooks', port });
    const line = await node.says('Nothing listens to SIGTERM');
    expect(line).toContain('Call `enableShutdownHooks()` on the application');
    await node.says('two seconds later');
    expect(node.lines('SIGTERM')).toHaveLength(1);
  });

  it('and not forgotten, nothing is told', async () => {
    const { port } = await system.application();
    const node = worker({ mistake: 'none', port });
    await node.says('two seconds later');
    expect(node.lines('WARN')).toEqual([]);
  });

  it('makes a stop a crash: the job that ran has spent its attempt, and runs again after the restart', async () => {
    const database = join(await system.folder(), 'jobs.sqlite');
    const { client, port } = await system.application();
    const mistake: Mistake = { mistake: 'no hooks', port, storage: { type: 'sqlite', database } };
    const node = worker(mistake);
    const job = await client.enqueue('slow', {});
    await node.says('slow: attempt 1');
    expect(await node.kill('SIGTERM')).toEqual({ code: null, signal: 'SIGTERM' });
    expect(node.lines('is stopping')).toEqual([]);
    worker(mistake);
    expect(await job.result({ timeout: '1m' })).toEqual({ attempt: 2, code: 'JOB_INTERRUPTED' });
  });
});

describe('a job that waits', () => {
  it('is told after 10 s with the reason: no node, no handler, or a slip in its name', async () => {
    const heard = listening();
    const { client, port } = await system.application({ logger: heard.logger });
    const lonely = await system.application({ name: 'lonely', logger: heard.logger });
    const node = worker({ mistake: 'none', port });
    await node.says('is connected');
    await client.enqueue('greeet', {});
    await client.enqueue('image.resize', {});
    await lonely.client.enqueue('image.resize', {});

    const said = (text: string): Promise<Line> => heard.next((line) => line.text.includes(text), text);
    const slip = await said("Job 'greeet' waits: no connected node has a handler for it");
    expect(slip.text).toContain("did you mean 'greet'?");
    const unlisted = await said("Job 'image.resize' waits: no connected node has a handler for it");
    expect(unlisted.text).toContain('the class with its @Job is listed in `controllers` or `providers`');
    const alone = await said("Job 'image.resize' waits: no node is connected to 'lonely'");
    expect(alone.text).toContain('Start a worker');
    expect(heard.all.filter(({ level }) => level === 'warn')).toHaveLength(3);
  });
});

describe('the log', () => {
  @Injectable()
  class Doubles {
    @Job('double') double(@Payload() n: number): number {
      return n * 2;
    }
  }

  it('has nothing to say of jobs that succeed', async ({ onTestFinished }) => {
    const stop = (): void => {};
    process.on('SIGTERM', stop); // as `enableShutdownHooks()` would
    onTestFinished(() => void process.off('SIGTERM', stop));
    const heard = listening();
    const application = await system.application({ logger: heard.logger });
    await system.node({ to: application, providers: [Doubles], logger: heard.logger });
    const { length } = heard.all;
    const jobs = Array.from({ length: 200 }, (_, n) => ({ job: 'double', args: n }));
    const handles = await application.client.enqueueMany(jobs);
    const results = await Promise.all(handles.map((handle) => handle.result()));
    expect(results).toEqual(jobs.map(({ args }) => args * 2));
    expect(heard.all.slice(length)).toEqual([]);
  });

  it('has one line for each failed attempt, without a stack; the last one says where', async () => {
    const { client, port } = await system.application();
    const node = worker({ mistake: 'none', port });
    const job = await client.enqueue('fail', {});
    await expect(job.result()).rejects.toMatchObject({ code: 'JOB_FAILED' });
    await node.says('failed for good');
    const lines = node.lines(job.id);
    expect(lines.map((line) => /\b(LOG|WARN|ERROR)\b/.exec(line)?.[1])).toEqual(['WARN', 'WARN', 'ERROR']);
    for (const line of lines) expect(line).toContain('TypeError: told to fail in two lines');
    expect(lines[2]).toMatch(/failed for good in attempt 3: .* \(at Greetings\.fail \(.*mistake-process\.ts.*\)\)/);
    expect(node.lines('    at ')).toEqual([]);
  });

  it('with ConsoleLogger({ json: true }) has the facts as fields', async () => {
    const { client, port } = await system.application();
    const node = worker({ mistake: 'none', port, json: true });
    const job = await client.enqueue('fail', {});
    await node.says('failed for good');
    const lines = node.output.split('\n').filter((line) => line.startsWith('{'));
    const facts = lines.map((line) => JSON.parse(line) as { level: string; message: string; params?: object });
    const ours = facts.filter(({ params }) => params !== undefined);
    expect(ours[0]).toMatchObject({
      level: 'log',
      message: expect.stringContaining("Node 'one' started"),
      params: { event: 'node started', node: 'one', storage: 'memory', jobs: ['greet', 'fail', 'slow'], recovered: 0 },
    });
    const failed = { event: 'job failed', node: 'one', id: job.id, name: 'fail' };
    const error = { name: 'TypeError', message: 'told to fail\nin two lines', code: 'E_TOLD' };
    const attempts = ours.filter(({ message }) => message.includes(job.id));
    expect(attempts.map(({ params }) => params)).toEqual([
      { ...failed, attempt: 1, willRetry: true, error },
      { ...failed, attempt: 2, willRetry: true, error },
      {
        ...failed,
        attempt: 3,
        willRetry: false,
        error: { ...error, stack: expect.stringContaining('Greetings.fail') },
      },
    ]);
    expect(attempts.map(({ level }) => level)).toEqual(['warn', 'warn', 'error']);
  });
});
