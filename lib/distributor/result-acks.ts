import { ChurningSet } from '../churning-set.js';
import type { Clock } from '../clock.js';
import { errorData } from '../job/job.errors.js';
import type { ConnectedNode } from './connected-node.js';
import type { Told } from './feedback-runner.js';
import { TickBatch } from './tick-batch.js';

/** How long a stopping application waits for its feedback methods; what is not acknowledged by then comes again. */
const LAST_FEEDBACKS_WITHIN = 5_000;

/** Acknowledges feedbacks once the application's code has run, those of one tick in one message. */
export class ResultAcks {
  readonly #clock: Clock;
  readonly #batch: TickBatch;
  readonly #running = new ChurningSet<Promise<Told>>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#batch = new TickBatch(clock, (node, ids) => node.send({ type: 'result-ack', ids }));
  }

  /** Says to the node what came of it; `done` is called when nothing of it is needed any more. */
  when(id: string, told: Promise<Told> | Told, node: ConnectedNode, done: () => void): void {
    if (!(told instanceof Promise)) {
      this.#say(id, told, node);
      return done();
    }
    this.#running.add(told);
    void told.then(
      (what) => {
        this.#running.delete(told);
        this.#say(id, what, node);
        done();
      },
      (error: unknown) => {
        this.#running.delete(told);
        done();
        throw error;
      },
    );
  }

  #say(id: string, told: Told, node: ConnectedNode): void {
    if (told === 'told') this.#batch.add(node, id);
    else if (told === 'undeclared') node.send({ type: 'undelivered', id, code: 'UNDECLARED', error: null });
    else node.send({ type: 'undelivered', id, code: 'FAILED', error: errorData(told.failed) });
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
