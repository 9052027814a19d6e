import type { ClockTimer } from '../clock.js';
import { Heap, type HeapEntry } from '../heap.js';
import { isInstant } from '../job/job.js';
import type { HeldJob } from './held-job.js';

interface Place extends HeapEntry {
  job: HeldJob;
  order: number;
  /** Ends its wait when it expires. */
  expiry: ClockTimer | null;
}

/** Jobs that may go to the same nodes: looked at together, so that a million of them cost one look. */
export interface PendingGroup {
  /** Stands for all of the group when nodes are chosen. */
  readonly first: HeldJob;
  readonly size: number;
}

class Group implements PendingGroup {
  readonly heap = new Heap<Place>(
    (a, b) =>
      a.job.spec.priority > b.job.spec.priority || (a.job.spec.priority === b.job.spec.priority && a.order < b.order),
  );

  get first(): HeldJob {
    return this.heap.peek()!.job;
  }

  get size(): number {
    return this.heap.size;
  }
}

/** Jobs no node has been found for, by where they may go, then by priority, then by age. */
export class PendingJobs {
  readonly #groups = new Map<string, Group>();
  readonly #places = new Map<string, { place: Place; key: string }>();
  readonly #watch: (job: HeldJob) => ClockTimer | null;
  #order = 0;

  constructor(watch: (job: HeldJob) => ClockTimer | null) {
    this.#watch = watch;
  }

  get size(): number {
    return this.#places.size;
  }

  /** One that waits already takes its place anew: a second one would never be found again, and be sent for ever. */
  add(job: HeldJob): void {
    this.remove(job.spec.id);
    const key = routeKey(job);
    let group = this.#groups.get(key);
    if (!group) this.#groups.set(key, (group = new Group()));
    const place: Place = { job, order: this.#order++, expiry: this.#watch(job), position: -1 };
    group.heap.push(place);
    this.#places.set(job.spec.id, { place, key });
  }

  remove(id: string): HeldJob | undefined {
    const found = this.#places.get(id);
    if (!found) return undefined;
    this.#places.delete(id);
    found.place.expiry?.cancel();
    const group = this.#groups.get(found.key);
    group?.heap.remove(found.place);
    if (group?.size === 0) this.#groups.delete(found.key);
    return found.place.job;
  }

  /** When the job that has waited longest was enqueued, milliseconds since the epoch; null when none waits. */
  get oldest(): number | null {
    // A Map keeps the order in which they began to wait.
    const [first] = this.#places.values();
    return first?.place.job.spec.enqueuedAt ?? null;
  }

  /** The groups, the one whose first job is most urgent first. */
  groups(): PendingGroup[] {
    return [...this.#groups.values()].sort((a, b) => {
      const [left, right] = [a.heap.peek()!, b.heap.peek()!];
      return right.job.spec.priority - left.job.spec.priority || left.order - right.order;
    });
  }

  names(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const group of this.#groups.values()) {
      const { name } = group.first.spec;
      counts.set(name, (counts.get(name) ?? 0) + group.size);
    }
    return counts;
  }

  jobs(): HeldJob[] {
    return [...this.#places.values()].map(({ place }) => place.job);
  }
}

function routeKey({ spec }: HeldJob): string {
  const { node, notNode, strictNode, thread } = spec.options;
  return JSON.stringify([spec.name, isInstant(spec), node, notNode, strictNode, thread === true]);
}
