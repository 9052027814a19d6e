import { ChurningMap } from '../churning-map.js';
import type { Clock } from '../clock.js';
import type { ConnectedNode } from './connected-node.js';

/** Ids for a node, collected until the end of the tick and sent as one message. */
export class TickBatch {
  readonly #clock: Clock;
  readonly #send: (node: ConnectedNode, ids: string[]) => void;
  readonly #waiting = new ChurningMap<ConnectedNode, string[]>();

  constructor(clock: Clock, send: (node: ConnectedNode, ids: string[]) => void) {
    this.#clock = clock;
    this.#send = send;
  }

  add(node: ConnectedNode, id: string): void {
    const ids = this.#waiting.get(node);
    if (ids) return void ids.push(id);
    this.#waiting.set(node, [id]);
    this.#clock.endOfTick(() => this.#flush(node));
  }

  /** Does not wait for the end of the tick. */
  flush(): void {
    for (const node of this.#waiting.keys()) this.#flush(node);
  }

  #flush(node: ConnectedNode): void {
    const batch = this.#waiting.get(node);
    this.#waiting.delete(node);
    if (batch) this.#send(node, batch);
  }
}
