import { AssertionError } from 'node:assert';
import { inspect, isDeepStrictEqual } from 'node:util';
import type { AnyJob, ArgsOfJob } from '../job/any-job.js';
import { isJobDefinition } from '../job/define-job.js';
import type { NewJob } from '../job/job-gateway.js';
import type { JobOptions } from '../job/job.js';
import { deserialise } from '../job/serialise.js';

/** What `expectEnqueued` compares with: any part of the args, at any depth; matchers such as `expect.any(String)` as well. */
export type PartialArgs<T> = T extends (infer Item)[]
  ? PartialArgs<Item>[]
  : T extends Date | Uint8Array | Map<unknown, unknown> | Set<unknown>
    ? T
    : T extends object
      ? { [Key in keyof T]?: PartialArgs<T[Key]> }
      : T;

/** A job as it was enqueued, whatever has become of it since. */
export interface EnqueuedJob<D = unknown> {
  id: string;
  name: string;
  args: D extends AnyJob ? ArgsOfJob<D> : unknown;
  priority: number;
  /** When it was due for the first time, milliseconds since the epoch on the test's clock. */
  runAt: number;
  /** Milliseconds from the enqueue to `runAt`; 0: at once. */
  after: number;
  /** `period`, `maxAttempts`, `node` and so on as the enqueue said them; durations are milliseconds. */
  options: JobOptions;
}

export const nameOf = (job: AnyJob): string => (isJobDefinition(job) ? job.name : job);

/** Everything that was enqueued in a test, in its order. */
export class EnqueuedJobs {
  #jobs: EnqueuedJob[] = [];

  add(job: NewJob): void {
    const { id, name, args, priority, runAt, enqueuedAt, options } = job;
    const after = Math.max(0, runAt - enqueuedAt);
    this.#jobs.push({ id, name, args: deserialise(args), priority, runAt, after, options });
  }

  clear(): void {
    this.#jobs = [];
  }

  of<D extends AnyJob>(job: D | undefined): EnqueuedJob<D>[] {
    const name = job === undefined ? undefined : nameOf(job);
    return this.#jobs.filter((one) => name === undefined || one.name === name) as EnqueuedJob<D>[];
  }

  /** @throws {AssertionError} when there are none, or not `times` */
  expect<D extends AnyJob>(job: D, args: unknown, times: number | undefined): EnqueuedJob<D>[] {
    const { all, found } = this.#matching(job, args);
    if (times === undefined ? found.length > 0 : found.length === times) return found;
    const wanted = times === undefined ? 'is not there' : `is there ${found.length} times, not ${times}`;
    // What a test runner shows as a difference: the one that comes nearest is the last of its name.
    throw failure(`${described(job, args)} ${wanted}. ${this.#told(nameOf(job))}`, all.at(-1)?.args, args);
  }

  /** @throws {AssertionError} when there is one */
  expectNone(job: AnyJob, args: unknown): void {
    const { found } = this.#matching(job, args);
    if (found.length === 0) return;
    const times = found.length === 1 ? 'once' : `${found.length} times`;
    throw failure(`${described(job, args)} is there ${times}. ${this.#told(nameOf(job))}`, found[0]?.args, undefined);
  }

  #matching<D extends AnyJob>(job: D, args: unknown): { all: EnqueuedJob<D>[]; found: EnqueuedJob<D>[] } {
    const all = this.of(job);
    return { all, found: args === undefined ? all : all.filter((one) => contains(one.args, args)) };
  }

  #told(name: string): string {
    if (this.#jobs.length === 0) return 'Nothing was enqueued.';
    const same = this.of(name);
    if (same.length === 0) return `Enqueued were: ${[...new Set(this.#jobs.map((one) => one.name))].join(', ')}.`;
    return `Enqueued of this name:\n${same.map((one) => `  ${inspect(one.args, { depth: 6 })}`).join('\n')}`;
  }
}

function described(job: AnyJob, args: unknown): string {
  return `A job '${nameOf(job)}'${args === undefined ? '' : ` with ${inspect(args, { depth: 6 })}`}`;
}

function failure(message: string, actual: unknown, expected: unknown): AssertionError {
  return new AssertionError({ message, actual, expected, operator: 'expectEnqueued' });
}

/** Whether `value` has everything that `part` has. Lists have to be of one length; what is no plain object has to be equal. */
export function contains(value: unknown, part: unknown): boolean {
  if (isMatcher(part)) return part.asymmetricMatch(value);
  if (Array.isArray(part)) {
    return Array.isArray(value) && value.length === part.length && part.every((one, at) => contains(value[at], one));
  }
  if (!isPlain(part)) return isDeepStrictEqual(value, part);
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(part).every(([key, one]) => contains((value as Record<string, unknown>)[key], one));
}

/** As of Jest, Vitest, Jasmine and Sinon's wrappers of them. */
function isMatcher(value: unknown): value is { asymmetricMatch(other: unknown): boolean } {
  return typeof (value as { asymmetricMatch?: unknown } | null)?.asymmetricMatch === 'function';
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
