import type { HeldJob } from './held-job.js';

/** Places that are empty before those that are not are moved together. */
const MOST_EMPTY = 1_024;

/** The jobs that one node was sent, in that order. Each knows its place, so that one that leaves need not be looked for. */
export class HolderJobs {
  #places: (HeldJob | undefined)[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  list(): HeldJob[] {
    return this.#places.filter((job) => job !== undefined);
  }

  /** Once more is harmless: a job may be given its node before it is held. */
  add(job: HeldJob): void {
    if (this.#places[job.placeAtHolder] === job) return;
    job.placeAtHolder = this.#places.length;
    this.#places.push(job);
    this.#size++;
  }

  /** True when it was there. */
  remove(job: HeldJob): boolean {
    if (this.#places[job.placeAtHolder] !== job) return false;
    this.#places[job.placeAtHolder] = undefined;
    this.#size--;
    if (this.#places.length > 2 * this.#size + MOST_EMPTY) this.#close();
    return true;
  }

  #close(): void {
    this.#places = this.list();
    for (const [place, job] of this.#places.entries()) job!.placeAtHolder = place;
  }
}
