/** A connection, as far as the memory it takes is concerned. */
export interface Holder {
  /** Bytes of frames that have not come whole, and of those that wait to be taken. */
  readonly held: number;
  /** It holds the most, and all together hold too much. */
  relieve(limit: number): void;
}

/**
 * The bytes that all connections of a transport hold together. Each has limits of its own; what many may hold at once
 * is bounded here. Who holds the most goes, so that one who floods harms nobody else.
 */
export class ByteBudget {
  readonly #holders = new Set<Holder>();
  #total = 0;

  constructor(private readonly limit: number) {}

  get total(): number {
    return this.#total;
  }

  /** To be called when what it holds has changed by so many bytes. */
  changed(holder: Holder, bytes: number): void {
    this.#total += bytes;
    if (holder.held > 0) this.#holders.add(holder);
    else this.#holders.delete(holder);
    while (this.#total > this.limit) {
      const largest = this.#largest();
      // Whoever lets go says so from within; else this would never end.
      const before = this.#total;
      largest?.relieve(this.limit);
      if (this.#total >= before) return;
    }
  }

  #largest(): Holder | null {
    let largest: Holder | null = null;
    for (const one of this.#holders) if (largest === null || one.held > largest.held) largest = one;
    return largest;
  }
}
