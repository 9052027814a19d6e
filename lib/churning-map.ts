/** So many removals, and as many as there are entries, and the table is made anew; */
const RENEW_AFTER = 4_096;
/** not with so many entries, where copying them would hold up the event loop. */
const MOST_RENEWED = 16_384;

/**
 * A Map for entries that come and go: one for each job on its way, say.
 *
 * V8 gives a Map a new table once enough keys were removed, and the old table keeps what it held and points to the new
 * one. When such a table has grown old before it was dropped, the collections of young objects take all it leads to for
 * alive: what was in any later table, until the next full collection. With 1,000 entries of some kilobytes at a time,
 * and a million that pass through, 3,000 MB outlived them in a Map and 8 MB in this (docs/decisions.md).
 *
 * Here the tables hold small numbers, the values are in an array that stays, and now and then a table is replaced by one
 * that no earlier one points to. What is added while one iterates may be left out.
 */
export class ChurningMap<K, V> implements ReadonlyMap<K, V> {
  #places = new Map<K, number>();
  readonly #values: (V | undefined)[] = [];
  readonly #free: number[] = [];
  #removed = 0;

  get size(): number {
    return this.#places.size;
  }

  get(key: K): V | undefined {
    const place = this.#places.get(key);
    return place === undefined ? undefined : this.#values[place];
  }

  has(key: K): boolean {
    return this.#places.has(key);
  }

  set(key: K, value: V): this {
    const known = this.#places.get(key);
    if (known !== undefined) {
      this.#values[known] = value;
      return this;
    }
    const place = this.#free.pop() ?? this.#values.length;
    this.#places.set(key, place);
    this.#values[place] = value;
    return this;
  }

  delete(key: K): boolean {
    const place = this.#places.get(key);
    if (place === undefined) return false;
    this.#places.delete(key);
    this.#values[place] = undefined;
    const { size } = this.#places;
    if (size > 0) this.#free.push(place);
    else this.#values.length = this.#free.length = 0;
    if (++this.#removed >= RENEW_AFTER + size && size <= MOST_RENEWED) this.#renew();
    return true;
  }

  clear(): void {
    this.#values.length = this.#free.length = 0;
    this.#places.clear();
    this.#renew();
  }

  /** In the order in which they came, as a Map does. */
  *keys(): IterableIterator<K> {
    for (const [key, place] of this.#places) if (this.#places.get(key) === place) yield key;
  }

  *values(): IterableIterator<V> {
    for (const [, value] of this) yield value;
  }

  *entries(): IterableIterator<[K, V]> {
    for (const [key, place] of this.#places) if (this.#places.get(key) === place) yield [key, this.#values[place] as V];
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries();
  }

  forEach(each: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this) each(value, key, this);
  }

  #renew(): void {
    this.#removed = 0;
    this.#places = new Map(this.#places);
  }
}
