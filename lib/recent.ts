/**
 * The latest entries by key: at least `limit` of them, at most twice as many. What is older goes, half of it at a time.
 *
 * A Map that drops its oldest key with each new one looks as cheap and is not: V8 walks over all keys that were removed
 * before it finds the first, 50 to 180 µs at 100,000 entries.
 */
export class Recent<V> {
  readonly #limit: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(key: string): V | undefined {
    return this.#young.get(key) ?? this.#old.get(key);
  }

  has(key: string): boolean {
    return this.#young.has(key) || this.#old.has(key);
  }

  /** It is the latest from now on, also if it was there. */
  set(key: string, value: V): void {
    this.#young.set(key, value);
    if (this.#young.size < this.#limit) return;
    this.#old = this.#young;
    this.#young = new Map();
  }
}
