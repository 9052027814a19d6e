import type { PendingPlace } from './held-job.js';

/** Places that are no more, given back at once. */
const SWEPT_AT_ONCE = 1_024;

/** Who has waited longest. Those that wait no more are left where they are until all before them have gone too. */
export class PendingOrder {
  #places: PendingPlace[] = [];
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get first(): PendingPlace | undefined {
    return this.#places[this.#head];
  }

  add(place: PendingPlace): void {
    this.#places.push(place);
    this.#size++;
  }

  /** One of them waits no more: its job has no place, or another. */
  left(): void {
    this.#size--;
    while (this.#head < this.#places.length && !waits(this.#places[this.#head]!)) this.#head++;
    const kept = this.#places.length - this.#head;
    // The first may wait for ever, while a million others come and go behind it.
    const isLoose = kept > 2 * this.#size + SWEPT_AT_ONCE;
    if (isLoose) this.#places = this.#places.slice(this.#head).filter(waits);
    else if (this.#head >= SWEPT_AT_ONCE && this.#head >= kept) this.#places.splice(0, this.#head);
    else return;
    this.#head = 0;
  }
}

const waits = (place: PendingPlace): boolean => place.job.place === place;
