/** One place of an `IdHeap`. */
export interface IdEntry {
  /** A UUID in lower case. */
  id: string;
  /** The first key; what is lower comes before. */
  key: number;
  /** Among those of one key what is lower comes before. */
  order: number;
  /** Any number that goes with it. */
  value: number;
  /** Another one: whole, and below 2^32. */
  size: number;
}

const FEWEST = 16;

/**
 * A heap of ids for very many of them: numbers in a few buffers, 44 bytes an entry, and nothing for the garbage collector
 * to walk over. An entry can't be taken out from the middle; who needs that skips it when it comes up.
 */
export class IdHeap {
  #capacity = FEWEST;
  #size = 0;
  #ids = new Uint32Array(FEWEST * 4);
  #bytes = Buffer.from(this.#ids.buffer);
  #keys = new Float64Array(FEWEST);
  #orders = new Float64Array(FEWEST);
  #values = new Float64Array(FEWEST);
  #sizes = new Uint32Array(FEWEST);

  get size(): number {
    return this.#size;
  }

  get first(): string | undefined {
    return this.#size === 0 ? undefined : this.#id(0);
  }

  /** Key of the first; undefined when there is none. */
  get firstKey(): number | undefined {
    return this.#size === 0 ? undefined : this.#keys[0];
  }

  /** Order of the first; undefined when there is none. */
  get firstOrder(): number | undefined {
    return this.#size === 0 ? undefined : this.#orders[0];
  }

  /** False when that is no id that 16 bytes can hold. */
  push({ id, key, order, value, size }: IdEntry): boolean {
    if (this.#size === this.#capacity) this.#resize(this.#capacity * 2);
    let at = this.#size;
    if (id.length !== 36 || this.#bytes.write(id.replaceAll('-', ''), at * 16, 'hex') !== 16) return false;
    this.#keys[at] = key;
    this.#orders[at] = order;
    this.#values[at] = value;
    this.#sizes[at] = size;
    this.#size++;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!this.#before(at, above)) break;
      this.#swap(at, above);
      at = above;
    }
    return true;
  }

  pop(): IdEntry | undefined {
    if (this.#size === 0) return undefined;
    const first = this.#entry(0);
    const last = --this.#size;
    if (last > 0) this.#swap(0, last);
    for (let at = 0; ;) {
      let child = at * 2 + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#before(child + 1, child)) child++;
      if (!this.#before(child, at)) break;
      this.#swap(child, at);
      at = child;
    }
    if (last < this.#capacity >> 2 && this.#capacity > FEWEST) this.#resize(this.#capacity >> 1);
    return first;
  }

  /** In no particular order; one that is there twice comes twice. */
  *[Symbol.iterator](): Iterator<string> {
    for (let at = 0; at < this.#size; at++) yield this.#id(at);
  }

  /** The least value of those that `fits`, which is asked of few of them; undefined when there is none. */
  least(fits: (id: string) => boolean): number | undefined {
    let least = Infinity;
    for (let at = 0; at < this.#size; at++) {
      const value = this.#values[at]!;
      if (value < least && fits(this.#id(at))) least = value;
    }
    return least === Infinity ? undefined : least;
  }

  #entry(at: number): IdEntry {
    return {
      id: this.#id(at),
      key: this.#keys[at]!,
      order: this.#orders[at]!,
      value: this.#values[at]!,
      size: this.#sizes[at]!,
    };
  }

  #id(at: number): string {
    const hex = this.#bytes.toString('hex', at * 16, at * 16 + 16);
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  }

  #before(a: number, b: number): boolean {
    const [one, other] = [this.#keys[a]!, this.#keys[b]!];
    return one < other || (one === other && this.#orders[a]! < this.#orders[b]!);
  }

  #swap(a: number, b: number): void {
    for (let word = 0; word < 4; word++) swap(this.#ids, a * 4 + word, b * 4 + word);
    swap(this.#keys, a, b);
    swap(this.#orders, a, b);
    swap(this.#values, a, b);
    swap(this.#sizes, a, b);
  }

  #resize(capacity: number): void {
    this.#capacity = capacity;
    this.#ids = resized(new Uint32Array(capacity * 4), this.#ids);
    this.#bytes = Buffer.from(this.#ids.buffer);
    this.#keys = resized(new Float64Array(capacity), this.#keys);
    this.#orders = resized(new Float64Array(capacity), this.#orders);
    this.#values = resized(new Float64Array(capacity), this.#values);
    this.#sizes = resized(new Uint32Array(capacity), this.#sizes);
  }
}

function swap(numbers: Uint32Array | Float64Array, a: number, b: number): void {
  const held = numbers[a]!;
  numbers[a] = numbers[b]!;
  numbers[b] = held;
}

function resized<T extends Uint32Array | Float64Array>(into: T, from: T): T {
  into.set(from.length > into.length ? from.subarray(0, into.length) : from);
  return into;
}
