/** So many removals, and as many as there are entries, and the table is made anew; */
const RENEW_AFTER = 1_024;
/** not with so many entries, where copying them would hold up the event loop. */
const MOST_RENEWED = 16_384;

/**
 * A Map for entries that come and go: one for each job on its way, say.
 *
 * V8 gives a Map a new table once enough keys were removed, and the old table keeps what it held and points to the new
 * one. When such a table has grown old before it was dropped, the collections of young objects take all it leads to for
 * alive: what was in any later table, until the next full collection. With 1,000 entries of some kilobytes at a time,
 * and a million that pass through, 3,000 MB outlived them in a Map and 56 MB in this (docs/decisions.md).
 *
 * Here a table is replaced, now and then, by one that no earlier one points to. What is added while one iterates may be
 * left out.
 */
export class ChurningMap<K, V> implements ReadonlyMap<K, V> {
  #map = new Map<K, V>();
  #removed = 0;

  get size(): number {
    return this.#map.size;
  }

  get(key: K): V | undefined {
    return this.#map.get(key);
  }

  has(key: K): boolean {
    return this.#map.has(key);
  }

  set(key: K, value: V): this {
    this.#map.set(key, value);
    return this;
  }

  delete(key: K): boolean {
    if (!this.#map.delete(key)) return false;
    const { size } = this.#map;
    if (++this.#removed >= RENEW_AFTER + size && size <= MOST_RENEWED) this.#renew();
    return true;
  }

  clear(): void {
    this.#map.clear();
    this.#renew();
  }

  /** In the order in which they came, as a Map does. */
  *keys(): IterableIterator<K> {
    for (const [key] of this.entries()) yield key;
  }

  *values(): IterableIterator<V> {
    for (const [, value] of this.entries()) yield value;
  }

  /** A renewal meanwhile leaves the old table to this, so each is looked for in the one that counts. */
  *entries(): IterableIterator<[K, V]> {
    for (const key of this.#map.keys()) if (this.#map.has(key)) yield [key, this.#map.get(key) as V];
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries();
  }

  forEach(each: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this) each(value, key, this);
  }

  #renew(): void {
    this.#removed = 0;
    this.#map = new Map(this.#map);
  }
}
