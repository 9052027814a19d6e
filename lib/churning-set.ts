import { ChurningMap } from './churning-map.js';

/** A Set for members that come and go, for the reason of ChurningMap. */
export class ChurningSet<K> {
  readonly #members = new ChurningMap<K, true>();

  get size(): number {
    return this.#members.size;
  }

  has(key: K): boolean {
    return this.#members.has(key);
  }

  add(key: K): this {
    this.#members.set(key, true);
    return this;
  }

  delete(key: K): boolean {
    return this.#members.delete(key);
  }

  clear(): void {
    this.#members.clear();
  }

  [Symbol.iterator](): IterableIterator<K> {
    return this.#members.keys();
  }
}
