import type { InputOf, JobDefinition } from './define-job.js';
import type { EnqueueOptions } from './enqueue-options.js';

/** Jobs enqueued by a plain name take args of any shape. */
export type ArgsOfJob<D> = D extends string ? unknown : InputOf<D>;
export type AnyJob = string | JobDefinition;

/** One entry of `enqueueMany`. */
export interface EnqueueEntry<D extends AnyJob = AnyJob> {
  job: D;
  args: ArgsOfJob<D>;
  options?: EnqueueOptions<D>;
}
