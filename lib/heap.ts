/** An entry knows where it stands, so that it can be taken out from the middle: a cancelled job due in years must not stay. */
export interface HeapEntry {
  /** Set by the heap; -1 while not in one. */
  position: number;
}

/**
 * A binary heap whose entries can be removed by themselves in O(log n). The libraries looked at remove by searching
 * (docs/decisions.md).
 */
export class Heap<T extends HeapEntry> {
  readonly #entries: T[] = [];
  readonly #before: (a: T, b: T) => boolean;

  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get size(): number {
    return this.#entries.length;
  }

  peek(): T | undefined {
    return this.#entries[0];
  }

  push(entry: T): void {
    entry.position = this.#entries.length;
    this.#entries.push(entry);
    this.#rise(entry);
  }

  pop(): T | undefined {
    const top = this.#entries[0];
    if (top) this.remove(top);
    return top;
  }

  /** True when the entry was in the heap. */
  remove(entry: T): boolean {
    const position = entry.position;
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

  /** In no particular order. */
  [Symbol.iterator](): Iterator<T> {
    return this.#entries[Symbol.iterator]();
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
