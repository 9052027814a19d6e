import type { Clock } from '../clock.js';

/** Small things, such as jobs that an outbox in memory accepts. */
const PER_TURN = 64;

/** Lets whoever does many things one after another do so many in one turn; the event loop goes on in between. */
export class TickShare {
  #inThisTurn = 0;
  #nextTurn: Promise<void> | null = null;

  constructor(private readonly clock: Clock) {}

  /** What has to be waited for after so many more; null while there is room. `ticks`: how long a turn is that begins now. */
  took(count: number, ticks = 1): Promise<void> | null {
    this.#inThisTurn += count;
    this.#nextTurn ??= new Promise((resolve) =>
      this.#after(ticks, () => {
        this.#inThisTurn = 0;
        this.#nextTurn = null;
        resolve();
      }),
    );
    return this.#inThisTurn > PER_TURN ? this.#nextTurn : null;
  }

  #after(ticks: number, run: () => void): void {
    this.clock.endOfTick(ticks > 1 ? () => this.#after(ticks - 1, run) : run);
  }
}
