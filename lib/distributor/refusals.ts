import type { Clock } from '../clock.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { TurnedAway } from '../transport/connection.js';

/** Refusals logged one by one within a minute; of those beyond only the number is, at its end. */
const LOGGED_PER_MINUTE = 10;
const MINUTE = 60_000;

/** Tells of every connection that did not become a node's, and logs no more of them than a log can bear. */
export class Refusals {
  readonly #distributor: string;
  readonly #clock: Clock;
  readonly #emit: EmitEvent;
  #logged = 0;
  #quiet = 0;
  #minute = -Infinity;

  constructor(parts: { distributor: string; clock: Clock; emit: EmitEvent }) {
    this.#distributor = parts.distributor;
    this.#clock = parts.clock;
    this.#emit = parts.emit;
  }

  add(refusal: TurnedAway): void {
    const now = this.#clock.monotonic();
    if (now - this.#minute >= MINUTE) {
      this.#minute = now;
      this.#logged = 0;
    }
    const quiet = this.#logged >= LOGGED_PER_MINUTE;
    this.#emit({ event: 'node refused', distributor: this.#distributor, ...refusal, quiet });
    if (!quiet) this.#logged++;
    else if (this.#quiet++ === 0) this.#clock.after(this.#minute + MINUTE - now, () => this.#sumUp(), false);
  }

  #sumUp(): void {
    const refused = this.#quiet;
    this.#quiet = 0;
    this.#emit({ event: 'more refused', distributor: this.#distributor, refused });
  }
}
