import type { HeldJob } from './held-job.js';
import { IdHeap } from './id-heap.js';

/**
 * The jobs of one group that wait beyond the window: of each its id alone, by priority, then by age. Its row in the outbox
 * has the rest, and is read when its turn comes near.
 */
export class BeyondWindow {
  readonly #ids = new IdHeap();
  /** Taken out from the middle, and skipped when they come up. */
  #gone = new Set<string>();
  /** Whose rows are being read, with the time they were enqueued. */
  readonly #loading = new Map<string, number>();
  #loadingHighest = -Infinity;

  /** All of them, those that are being read included. */
  get size(): number {
    return Math.max(0, this.#ids.size - this.#gone.size) + this.#loading.size;
  }

  get isEmpty(): boolean {
    if (this.size > 0) return false;
    if (this.#ids.size === 0) return true;
    // One that was taken out and had never been here would stand for one that is.
    const gone = [...this.#ids].filter((id) => this.#gone.has(id));
    this.#gone = new Set(gone);
    return gone.length === this.#ids.size;
  }

  get loading(): number {
    return this.#loading.size;
  }

  /** The highest priority there is; one that is gone may count for a while. */
  get highest(): number {
    return Math.max(-(this.#ids.firstKey ?? Infinity), this.#loadingHighest);
  }

  /** When the first of them was enqueued. */
  get oldest(): number {
    const waiting = this.#ids.least((id) => !this.#gone.has(id)) ?? Infinity;
    return Math.min(waiting, ...this.#loading.values());
  }

  /** False when it can't be kept here. */
  add({ spec: { id, priority, enqueuedAt, args } }: HeldJob, order: number): boolean {
    this.#gone.delete(id);
    return this.#ids.push({ id, key: -priority, order, value: enqueuedAt, size: args.length });
  }

  /** The next of them, whose rows are to be read: `count` at most, and no more when their args have `length` characters. */
  take(count: number, length: number): string[] {
    const taken: string[] = [];
    for (let read = 0; taken.length < count && read < length;) {
      const entry = this.#ids.pop();
      if (!entry) break;
      // A job that came here twice is one.
      if (this.#gone.delete(entry.id) || this.#loading.has(entry.id)) continue;
      this.#loading.set(entry.id, entry.value);
      this.#loadingHighest = Math.max(this.#loadingHighest, -entry.key);
      taken.push(entry.id);
      read += entry.size;
    }
    return taken;
  }

  /** Its row has been read. False when it was taken out meanwhile. */
  arrived(id: string): boolean {
    const wasLoading = this.#loading.delete(id);
    if (this.#loading.size === 0) this.#loadingHighest = -Infinity;
    return wasLoading;
  }

  /** Takes one out. */
  remove(id: string): void {
    if (this.arrived(id)) return;
    this.#gone.add(id);
    // Those that are taken out in their order leave nothing behind.
    for (let first = this.#ids.first; first !== undefined && this.#gone.delete(first); first = this.#ids.first)
      this.#ids.pop();
  }
}
