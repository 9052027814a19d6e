import type { Clock } from '../clock.js';
import type { ConnectedNode } from './connected-node.js';
import { TickBatch } from './tick-batch.js';

/** How long a stopping application waits for its feedback methods; what is not acknowledged by then comes again. */
const LAST_FEEDBACKS_WITHIN = 5_000;

/** Acknowledges feedbacks once the application's code has run, those of one tick in one message. */
export class ResultAcks {
  readonly #clock: Clock;
  readonly #batch: TickBatch;
  readonly #running = new Set<Promise<string | null>>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#batch = new TickBatch(clock, (node, ids) => node.send({ type: 'result-ack', ids }));
  }

  /** `told` gives the feedback's id, or null when it has to come again. */
  when(told: Promise<string | null>, node: ConnectedNode): void {
    this.#running.add(told);
    const over = (id: string | null): void => {
      this.#running.delete(told);
      if (id !== null) this.#batch.add(node, id);
    };
    void told.then(over, (error: unknown) => {
      over(null);
      throw error;
    });
  }

  /** Waits for what runs, then sends what is due: a feedback that was told is not told again after a restart. */
  async finish(): Promise<void> {
    if (this.#running.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = this.#clock.after(LAST_FEEDBACKS_WITHIN, resolve);
        void Promise.allSettled(this.#running).then(() => {
          timer.cancel();
          resolve();
        });
      });
    }
    this.#batch.flush();
  }
}
