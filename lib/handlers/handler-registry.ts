import { JobReactorError } from '../job-reactor.error.js';
import type { NestContainer } from '@nestjs/core';
import { didYouMean } from '../job/did-you-mean.js';
import type { JobContext } from './job-context.js';
import { AttemptScope } from './attempt-scope.js';
import type { JobAttempt, JobHandler, JobHandlers } from './job-handler.js';
import type { MethodRole } from './job-metadata.js';
import type { MethodCall } from './nest-pipeline.js';

/** One decorated method in one of its roles on the node: `job`, `callback` or `errback`. */
export interface NodeMethod {
  role: MethodRole;
  /** `Class.method`, for messages. */
  where: string;
  call: MethodCall;
}

/**
 * What a node can run.
 * @throws {JobReactorError} DUPLICATE_HANDLER, CALLBACK_WITHOUT_JOB
 */
export class HandlerRegistry implements JobHandlers {
  readonly #handlers = new Map<string, JobHandler>();

  constructor(methods: readonly NodeMethod[], container: NestContainer) {
    const jobs = new Map<string, NodeMethod>();
    for (const method of methods) {
      if (method.role.kind !== 'job') continue;
      const other = jobs.get(method.role.name);
      if (other) throw duplicate(other, method);
      jobs.set(method.role.name, method);
    }
    for (const { role, where } of methods) {
      if (!jobs.has(role.name)) throw orphan(role, where, [...jobs.keys()]);
    }
    for (const [name, job] of jobs) {
      const of = (kind: string): MethodCall[] =>
        methods.filter(({ role }) => role.kind === kind && role.name === name).map(({ call }) => call);
      this.#handlers.set(name, new ComposedHandler(job, of('callback'), of('errback'), container));
    }
  }

  names(): string[] {
    return [...this.#handlers.keys()];
  }

  find(name: string): JobHandler | undefined {
    return this.#handlers.get(name);
  }
}

class ComposedHandler implements JobHandler {
  readonly name: string;
  readonly defaults: JobHandler['defaults'];
  readonly schema?: NonNullable<JobHandler['schema']>;

  constructor(
    private readonly job: NodeMethod,
    private readonly onSuccess: readonly MethodCall[],
    private readonly onError: readonly MethodCall[],
    private readonly container: NestContainer,
  ) {
    this.name = job.role.name;
    this.defaults = job.role.defaults;
    if (job.role.schema) this.schema = job.role.schema;
  }

  get callbacks(): number {
    return this.onSuccess.length;
  }

  get errbacks(): number {
    return this.onError.length;
  }

  attempt(context: JobContext): JobAttempt {
    const { job, onSuccess, onError } = this;
    return new ComposedAttempt(new AttemptScope(this.container, context), context, job.call, onSuccess, onError);
  }
}

class ComposedAttempt implements JobAttempt {
  constructor(
    private readonly scope: AttemptScope,
    private readonly context: JobContext,
    private readonly call: MethodCall,
    private readonly callbacks: readonly MethodCall[],
    private readonly errbacks: readonly MethodCall[],
  ) {}

  job(payload: unknown): Promise<unknown> {
    return this.call(this.scope, payload, this.context);
  }

  async onSuccess(index: number, payload: unknown): Promise<void> {
    await this.callbacks[index]?.(this.scope, payload, this.context);
  }

  async onError(index: number, payload: unknown): Promise<void> {
    await this.errbacks[index]?.(this.scope, payload, this.context);
  }
}

function duplicate(first: NodeMethod, second: NodeMethod): JobReactorError {
  const same =
    first.where === second.where ? ' Is the class provided by two modules? Import the one from the other.' : '';
  return new JobReactorError(
    'DUPLICATE_HANDLER',
    `The job '${first.role.name}' has two handlers: ${first.where} and ${second.where}. A node may have one.${same}`,
  );
}

function orphan({ kind, name }: MethodRole, where: string, jobs: string[]): JobReactorError {
  const near = didYouMean(name, jobs);
  const hint = near
    ? `did you mean '${near}'?`
    : jobs.length > 0
      ? `It has ${jobs.join(', ')}.`
      : 'It has none at all.';
  const label = kind === 'callback' ? 'OnSuccess' : 'OnError';
  return new JobReactorError(
    'CALLBACK_WITHOUT_JOB',
    `${where} is @${label}('${name}'), but this node has no @Job('${name}')${near ? ': ' : '. '}${hint}`,
  );
}
