import type { ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { HandlerExplorer, type ExploredMethods } from '../../lib/handlers/handler-explorer.js';
import { JobContext } from '../../lib/handlers/job-context.js';
import type { JobAttempt, JobHandlers } from '../../lib/handlers/job-handler.js';

/** A Nest application with the given parts, explored as a node does at start. */
export interface Explored extends ExploredMethods {
  app: TestingModule;
  jobs: JobHandlers;
  /** One attempt of a job. */
  attempt(name: string, args?: unknown): { context: JobContext; attempt: JobAttempt };
  /** Only the `@Job` method of it. */
  run(name: string, args?: unknown): Promise<unknown>;
}

export async function explored(metadata: ModuleMetadata): Promise<Explored> {
  const app = await Test.createTestingModule({
    ...metadata,
    providers: [...(metadata.providers ?? []), HandlerExplorer],
  }).compile();
  await app.init();
  const found = app.get(HandlerExplorer).explore();
  const jobs = found.handlers();
  const attempt: Explored['attempt'] = (name, args = {}) => {
    const context = jobContext(name, args);
    return { context, attempt: jobs.find(name)!.attempt(context) };
  };
  return { ...found, app, jobs, attempt, run: (name, args = {}) => attempt(name, args).attempt.job(args) };
}

export function jobContext(name: string, args: unknown = {}): JobContext {
  return new JobContext({
    job: () => ({
      id: '018f0000-0000-7000-8000-000000000001',
      name,
      attempt: 1,
      run: 1,
      node: 'node',
      distributor: 'web',
      priority: 0,
      enqueuedAt: 0,
      runAt: 0,
      startedAt: 0,
      failedAt: null,
      lastError: null,
      period: null,
    }),
    fence: 1,
    readArgs: () => structuredClone(args),
    signal: () => new AbortController().signal,
    progress: () => undefined,
  });
}
