import { within } from './deadline.js';

/** Facts in the order they came, and a way to wait for one: handlers call `tell`, the test awaits `next`. */
export class Facts<T> {
  readonly all: T[] = [];
  readonly #taken = new Set<number>();
  #wake: (() => void)[] = [];

  readonly tell = (fact: T): void => {
    this.all.push(fact);
    for (const wake of this.#wake.splice(0)) wake();
  };

  /** The first fact that fits and that no earlier call was given, or the next one to come. */
  next(fits: (fact: T) => boolean = () => true, what = 'the awaited fact', milliseconds = 60_000): Promise<T> {
    return within(this.#next(fits), what, milliseconds);
  }

  /** Resolves when there are at least so many. */
  async count(count: number, what = `${count} facts`, milliseconds = 60_000): Promise<T[]> {
    const enough = async (): Promise<T[]> => {
      while (this.all.length < count) await new Promise<void>((resolve) => this.#wake.push(resolve));
      return this.all;
    };
    return within(enough(), what, milliseconds);
  }

  async #next(fits: (fact: T) => boolean): Promise<T> {
    for (;;) {
      const index = this.all.findIndex((fact, at) => !this.#taken.has(at) && fits(fact));
      if (index >= 0) {
        this.#taken.add(index);
        return this.all[index] as T;
      }
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }
}
