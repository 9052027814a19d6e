import type { GatedJob, StartGate } from '../worker-node/start-gate.js';

/** Lets jobs start when the test says so. */
export class TestGate implements StartGate {
  /** Everything that is due starts by itself. */
  open: boolean;
  /** Ids of jobs that were admitted and have not ended. */
  readonly running = new Map<string, string>();
  readonly #changed: () => void;
  readonly #nodes = new Set<() => void>();
  /** Ids that start whatever else may: what runs awaits them. */
  readonly #awaited = new Set<string>();
  #one: ((id: string) => void) | null = null;

  constructor(open: boolean, changed: () => void) {
    this.open = open;
    this.#changed = changed;
  }

  admits({ id, name }: GatedJob): boolean {
    if (this.running.has(id)) return true;
    if (this.open || this.#awaited.delete(id)) {
      this.running.set(id, name);
      return true;
    }
    if (!this.#one) return false;
    const admitted = this.#one;
    this.#one = null;
    this.running.set(id, name);
    admitted(id);
    return true;
  }

  ended({ id }: GatedJob): void {
    this.running.delete(id);
    this.#changed();
  }

  attach(changed: () => void): void {
    this.#nodes.add(changed);
  }

  setOpen(open: boolean): void {
    this.open = open;
    this.#askAgain();
  }

  /** It may start although the gate is shut: a handler waits for its result. */
  await(id: string): void {
    this.#awaited.add(id);
  }

  /** Lets the next job that is due start; null when there is none. */
  next(): string | null {
    let started: string | null = null;
    this.#one = (id) => void (started = id);
    this.#askAgain();
    this.#one = null;
    return started;
  }

  #askAgain(): void {
    for (const ask of this.#nodes) ask();
  }
}
