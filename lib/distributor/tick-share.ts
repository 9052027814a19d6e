import type { Clock } from '../clock.js';

/** Small things, such as jobs that an outbox in memory accepts. */
const PER_TICK = 64;

/** Lets whoever does many things one after another do so many in one tick; the event loop goes on in between. */
export class TickShare {
  #inThisTick = 0;
  #nextTick: Promise<void> | null = null;

  constructor(private readonly clock: Clock) {}

  /** What has to be waited for after so many more; null while there is room. */
  took(count: number): Promise<void> | null {
    this.#inThisTick += count;
    this.#nextTick ??= new Promise((resolve) =>
      this.clock.endOfTick(() => {
        this.#inThisTick = 0;
        this.#nextTick = null;
        resolve();
      }),
    );
    return this.#inThisTick > PER_TICK ? this.#nextTick : null;
  }
}
