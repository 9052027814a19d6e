/** Counts the connections whose handshake is not over: in all, and for each address. */
export class HandshakeCounter {
  #all = 0;
  readonly #perAddress = new Map<string, number>();

  constructor(
    private readonly most: number,
    private readonly mostPerAddress: number,
  ) {}

  /** False: this one is too many and was not counted. */
  enter(address: string): boolean {
    const here = this.#perAddress.get(address) ?? 0;
    if (this.#all >= this.most || here >= this.mostPerAddress) return false;
    this.#all++;
    this.#perAddress.set(address, here + 1);
    return true;
  }

  leave(address: string): void {
    this.#all--;
    const here = (this.#perAddress.get(address) ?? 1) - 1;
    if (here > 0) this.#perAddress.set(address, here);
    else this.#perAddress.delete(address);
  }
}
