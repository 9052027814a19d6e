/** An entry knows where it stands, so that it can be taken out from the middle: a cancelled job due in years must not stay. */
export interface HeapEntry {
  /** Set by the heap; -1 while not in one. */
  position: number;
}

/** The position of the first in the run; that of the next is one less. */
const RUN = -2;
/** Empty places at the beginning of the run that are given back at once. */
const SWEPT_AT_ONCE = 1_024;

/**
 * The first of many entries, which can be taken out by themselves in O(log n). The libraries looked at remove by searching
 * (docs/decisions.md).
 *
 * Most entries come in their order, as jobs are due when they are enqueued. Those stand in a run, a list that is sorted by
 * itself: O(1). Only what is to be before the last of it goes into a binary heap.
 */
export class Heap<T extends HeapEntry> {
  readonly #entries: T[] = [];
  readonly #before: (a: T, b: T) => boolean;
  /** Those taken out have left a gap; first and last are none. */
  #run: (T | undefined)[] = [];
  /** Where the first of the run is. */
  #head = 0;
  /** How many of the run were swept away: positions count them. */
  #swept = 0;
  #inRun = 0;

  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#entries.length + this.#inRun;
  }

  peek(): T | undefined {
    const first = this.#run[this.#head];
    const top = this.#entries[0];
    if (first === undefined || top === undefined) return first ?? top;
    return this.#before(top, first) ? top : first;
  }

  push(entry: T): void {
    const last = this.#run[this.#run.length - 1];
    if (last === undefined || !this.#before(entry, last)) {
      entry.position = RUN - this.#swept - this.#run.length;
      this.#run.push(entry);
      this.#inRun++;
      return;
    }
    entry.position = this.#entries.length;
    this.#entries.push(entry);
    this.#rise(entry);
  }

  pop(): T | undefined {
    const top = this.peek();
    if (top) this.remove(top);
    return top;
  }

  /** True when the entry was in the heap. */
  remove(entry: T): boolean {
    const { position } = entry;
    if (position <= RUN) return this.#leaveRun(entry, RUN - position - this.#swept);
    if (this.#entries[position] !== entry) return false;
    entry.position = -1;
    const last = this.#entries.pop() as T;
    if (last !== entry) {
      this.#place(last, position);
      this.#rise(last);
      this.#sink(last);
    }
    return true;
  }

  /** Some of those that come next, at most so many: they may be others by then. */
  next(count: number): T[] {
    const first = this.#run.slice(this.#head, this.#head + count).filter((entry) => entry !== undefined);
    return first.length > 0 ? first : this.#entries.slice(0, count);
  }

  /** In no particular order. */
  *[Symbol.iterator](): Iterator<T> {
    yield* this.#entries;
    for (const entry of this.#run) if (entry !== undefined) yield entry;
  }

  #leaveRun(entry: T, at: number): boolean {
    const run = this.#run;
    if (run[at] !== entry) return false;
    entry.position = -1;
    run[at] = undefined;
    this.#inRun--;
    while (run.length > 0 && run[run.length - 1] === undefined) run.pop();
    while (this.#head < run.length && run[this.#head] === undefined) this.#head++;
    if (run.length === 0) this.#head = this.#swept = 0;
    else if (this.#head >= SWEPT_AT_ONCE && this.#head * 2 >= run.length) this.#sweep();
    else if (this.#inRun * 4 < run.length - SWEPT_AT_ONCE) this.#close();
    return true;
  }

  #sweep(): void {
    this.#run.splice(0, this.#head);
    this.#swept += this.#head;
    this.#head = 0;
  }

  /** Too many were taken out from the middle. */
  #close(): void {
    this.#run = this.#run.filter((entry) => entry !== undefined);
    this.#head = this.#swept = 0;
    for (const [at, entry] of this.#run.entries()) entry!.position = RUN - at;
  }

  #place(entry: T, position: number): void {
    this.#entries[position] = entry;
    entry.position = position;
  }

  #rise(entry: T): void {
    while (entry.position > 0) {
      const above = (entry.position - 1) >> 1;
      const parent = this.#entries[above] as T;
      if (!this.#before(entry, parent)) return;
      this.#place(parent, entry.position);
      this.#place(entry, above);
    }
  }

  #sink(entry: T): void {
    for (;;) {
      const left = entry.position * 2 + 1;
      const leftChild = this.#entries[left];
      if (!leftChild) return;
      const rightChild = this.#entries[left + 1];
      const child = rightChild && this.#before(rightChild, leftChild) ? rightChild : leftChild;
      if (!this.#before(child, entry)) return;
      const above = entry.position;
      this.#place(entry, child.position);
      this.#place(child, above);
    }
  }
}
