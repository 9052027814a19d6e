import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { JobDefaults } from '../job/define-job.js';
import type { JobContext } from './job-context.js';

/** What a node can run, by job name. Made once at start from the decorated methods. */
export interface JobHandlers {
  names(): string[];
  find(name: string): JobHandler | undefined;
}

/** One job's `@Job` method with its callbacks and errbacks, ready to be called through Nest's pipeline. */
export interface JobHandler {
  readonly name: string;
  /** From the definition and `@Job`'s options. */
  readonly defaults: JobDefaults;
  /** The definition's schema, checked again on the node before the handler runs. */
  readonly schema?: StandardSchemaV1;
  readonly callbacks: number;
  readonly errbacks: number;
  /** One attempt: the methods called through it share one request scope. */
  attempt(context: JobContext): JobAttempt;
}

export interface JobAttempt {
  job(payload: unknown): Promise<unknown>;
  onSuccess(index: number, payload: unknown): Promise<void>;
  onError(index: number, payload: unknown): Promise<void>;
}
