import type { MessagePort } from 'node:worker_threads';
import type { DynamicModule, INestApplicationContext, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExternalContextCreator } from '@nestjs/core/helpers/external-context-creator.js';
import { HandlerExplorer } from '../../handlers/handler-explorer.js';
import { JobContext } from '../../handlers/job-context.js';
import type { JobHandlers } from '../../handlers/job-handler.js';
import { CancelJob, errorData, Snooze, UnrecoverableError } from '../../job/job.errors.js';
import { deserialise, serialise } from '../../job/serialise.js';
import { JobReactorError } from '../../job-reactor.error.js';
import { isUnrecoverable, readPayload } from '../attempt-payload.js';
import { abortReason } from './thread-errors.js';
import type { FromThread, ThreadOutcome, ThreadSetup, ThreadTask, ToThread } from './thread-messages.js';
import { ThreadLogger } from './thread-logger.js';

/** Boots the node's module in this worker thread. @throws {JobReactorError} THREAD_FAILED, or what the module threw */
export async function bootThread(control: MessagePort, setup: ThreadSetup): Promise<ThreadHost> {
  const send = (message: FromThread): void => control.postMessage(message);
  const module = await importModule(setup);
  const logger = new ThreadLogger((level, context, message, stack) =>
    send({ type: 'log', level, context, message, ...(stack === undefined ? {} : { stack }) }),
  );
  const app = await NestFactory.createApplicationContext(module, { logger, abortOnError: false });
  logger.quiet = false;
  const explorer = new HandlerExplorer(app.get(ExternalContextCreator, { strict: false }));
  const handlers = explorer.explore().handlers();
  const host = new ThreadHost(app, handlers, send);
  control.on('message', (message: ToThread) => host.heard(message));
  send({ type: 'ready', jobs: handlers.names() });
  return host;
}

/** In a worker thread: runs `@Job` methods of the booted module, one at a time. */
export class ThreadHost {
  readonly #app: INestApplicationContext;
  readonly #handlers: JobHandlers;
  readonly #send: (message: FromThread) => void;
  /** Of the attempt that runs, or of one whose abort came on its channel before the task on the other. */
  #abort: { run: number; controller: AbortController } | undefined;
  #running: Promise<unknown> = Promise.resolve();

  constructor(app: INestApplicationContext, handlers: JobHandlers, send: (message: FromThread) => void) {
    this.#app = app;
    this.#handlers = handlers;
    this.#send = send;
  }

  /** Never rejects: whatever goes wrong is the attempt's failure. */
  run(task: ThreadTask): Promise<ThreadOutcome> {
    const running = this.#run(task).finally(() => this.#send({ type: 'done', run: task.run }));
    this.#running = running;
    return running;
  }

  heard(message: ToThread): void {
    if (message.type === 'abort') this.#controller(message.run).abort(abortReason(message.reason));
    if (message.type === 'stop') void this.#stop(message.exit);
  }

  async #run({ run, job, fence, args }: ThreadTask): Promise<ThreadOutcome> {
    const context = new JobContext({
      job: () => job,
      fence,
      readArgs: () => deserialise(args),
      signal: () => this.#controller(run).signal,
      progress: (value) => this.#send({ type: 'progress', run, value: serialise(value, 'progress') }),
    });
    try {
      const result = serialise(await this.#call(context, args), `the result of job ${job.name}`);
      return { kind: 'returned', result, args: argsAfter(context) };
    } catch (thrown) {
      const left = argsAfterFailure(context);
      if (thrown instanceof CancelJob) return { kind: 'cancelled', reason: thrown.reason, args: left };
      if (thrown instanceof Snooze) return { kind: 'snoozed', delay: thrown.delay, args: left };
      return { kind: 'failed', error: errorData(thrown), unrecoverable: isUnrecoverable(thrown), args: left };
    }
  }

  async #call(context: JobContext, args: string): Promise<unknown> {
    const { name } = context.job;
    const handler = this.#handlers.find(name);
    if (!handler) {
      throw new UnrecoverableError(`The module of the worker threads has no @Job('${name}'); the node's own has one.`);
    }
    return handler.attempt(context).job(await readPayload(handler, args));
  }

  #controller(run: number): AbortController {
    if (this.#abort?.run !== run) this.#abort = { run, controller: new AbortController() };
    return this.#abort.controller;
  }

  /** What runs has been aborted by now and still needs its providers; if it does not end, the main thread ends us all. */
  async #stop(exit: boolean): Promise<void> {
    await this.#running;
    await this.#app.close().catch((thrown: unknown) => {
      const { message, stack } = errorData(thrown);
      this.#send({ type: 'log', level: 'error', context: 'JobReactor', message, ...(stack ? { stack } : {}) });
    });
    this.#send({ type: 'stopped' });
    if (exit) process.exit(0);
  }
}

async function importModule({ module, export: name }: ThreadSetup): Promise<Type | DynamicModule> {
  let exports: Record<string, unknown>;
  try {
    exports = (await import(module)) as Record<string, unknown>;
  } catch (cause) {
    throw new JobReactorError('THREAD_FAILED', `${module} can't be imported: ${errorData(cause).message}`, { cause });
  }
  // CommonJS has its exports in the default one, where Node does not find out their names.
  const inDefault = (exports['default'] as Record<string, unknown> | undefined)?.[name];
  const found: unknown = await (exports[name] ?? inDefault);
  if (typeof found === 'function' || (typeof found === 'object' && found !== null)) return found as Type;
  const names = Object.keys(exports).join(', ') || 'nothing';
  throw new JobReactorError('THREAD_FAILED', `${module} has no module exported as '${name}': it exports ${names}.`);
}

function argsAfter(context: JobContext): string | null {
  return context.argsTouched ? serialise(context.args, `ctx.args of job ${context.job.name}`) : null;
}

/** What the failed attempt left; if that can't be carried nothing, since the failure itself must get through. */
function argsAfterFailure(context: JobContext): string | null {
  try {
    return argsAfter(context);
  } catch {
    return null;
  }
}
