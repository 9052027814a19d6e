import { ChurningMap } from '../churning-map.js';
import type { HeldJob } from './held-job.js';
import { IdHeap } from './id-heap.js';

/**
 * The jobs of one group that wait beyond the window: of each its id alone, by priority, then by turn. Its row in the outbox
 * has the rest, and is read when its turn comes near.
 */
export class BeyondWindow {
  readonly #ids = new IdHeap();
  /** Taken out from the middle, and skipped when they come up. */
  #gone = new Set<string>();
  /** Whose rows are being read. */
  readonly #loading = new ChurningMap<string, { enqueuedAt: number; turn: number }>();
  #loadingHighest = -Infinity;
  /** The first turn of those with that priority. */
  #loadingTurn = Infinity;

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

  /** Whether something here comes before a job of this priority and turn; what is gone may count for a while. */
  goesBefore(priority: number, turn: number): boolean {
    const { highest } = this;
    if (highest !== priority) return highest > priority;
    const first = -(this.#ids.firstKey ?? Infinity) === highest ? this.#ids.firstOrder! : Infinity;
    const loading = this.#loadingHighest === highest ? this.#loadingTurn : Infinity;
    return Math.min(first, loading) <= turn;
  }

  /** When the first of them was enqueued. */
  get oldest(): number {
    let oldest = this.#ids.least((id) => !this.#gone.has(id)) ?? Infinity;
    for (const { enqueuedAt } of this.#loading.values()) oldest = Math.min(oldest, enqueuedAt);
    return oldest;
  }

  /** False when it can't be kept here. */
  add({ spec: { id, priority, enqueuedAt, args } }: HeldJob, turn: number): boolean {
    this.#gone.delete(id);
    return this.#ids.push({ id, key: -priority, order: turn, value: enqueuedAt, size: args.length });
  }

  /** The next of them, whose rows are to be read: `count` at most, and no more when their args have `length` characters. */
  take(count: number, length: number): string[] {
    const taken: string[] = [];
    for (let read = 0; taken.length < count && read < length;) {
      const entry = this.#ids.pop();
      if (!entry) break;
      // A job that came here twice is one.
      if (this.#gone.delete(entry.id) || this.#loading.has(entry.id)) continue;
      this.#loading.set(entry.id, { enqueuedAt: entry.value, turn: entry.order });
      // They come up in their order, but for what was let go of since.
      if (-entry.key > this.#loadingHighest) this.#loadingTurn = Infinity;
      this.#loadingHighest = Math.max(this.#loadingHighest, -entry.key);
      if (-entry.key === this.#loadingHighest) this.#loadingTurn = Math.min(this.#loadingTurn, entry.order);
      taken.push(entry.id);
      read += entry.size;
    }
    return taken;
  }

  /** Its row has been read: whose turn it is. Null when it was taken out meanwhile. */
  arrived(id: string): number | null {
    const turn = this.#loading.get(id)?.turn ?? null;
    this.#loading.delete(id);
    if (this.#loading.size > 0) return turn;
    this.#loadingHighest = -Infinity;
    this.#loadingTurn = Infinity;
    return turn;
  }

  /** Takes one out. */
  remove(id: string): void {
    if (this.arrived(id) !== null) return;
    this.#gone.add(id);
    // Those that are taken out in their order leave nothing behind.
    for (let first = this.#ids.first; first !== undefined && this.#gone.delete(first); first = this.#ids.first)
      this.#ids.pop();
  }
}
