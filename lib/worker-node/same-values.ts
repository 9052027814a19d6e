import type { JobOptions, JobOrigin, JobSpec } from '../job/job.js';

type SentJob = Omit<JobSpec, 'args'>;

const NO_OPTIONS: JobOptions = Object.freeze({});
const MOST = 1_000;

/**
 * Each job from the wire comes with a copy of its own of what most jobs have in common. Those that wait for long share one:
 * it is a fifth of what they take.
 */
export class SameValues {
  readonly #parties = new Map<string, string>();

  of(job: SentJob): SentJob {
    const { origin } = job;
    return {
      ...job,
      name: this.#same(job.name),
      options: Object.keys(job.options).length === 0 ? NO_OPTIONS : job.options,
      origin: this.#origin(origin),
    };
  }

  #origin({ distributor, instance, storage, submitter, mac }: JobOrigin): JobOrigin {
    const parties = {
      distributor: this.#same(distributor),
      instance: this.#same(instance),
      storage: storage && this.#same(storage),
      submitter: submitter && this.#same(submitter),
    };
    // A literal of its own: what is added to an object later takes 40 bytes more.
    return mac === undefined ? parties : { ...parties, mac };
  }

  /** Names of jobs and ids of processes are few; should they not be, memory must not grow with them. */
  #same(text: string): string {
    const known = this.#parties.get(text);
    if (known !== undefined) return known;
    if (this.#parties.size >= MOST) this.#parties.clear();
    this.#parties.set(text, text);
    return text;
  }
}
