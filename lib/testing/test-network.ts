import type { Clock } from '../clock.js';
import type { Message } from '../protocol/message.js';
import { IN_PROCESS, type Address, type Connection, type Transport } from '../transport/connection.js';
import { inProcessPipe } from '../transport/in-process.js';

interface Listener {
  port: number;
  accept: (connection: Connection) => void;
}

/**
 * The distributors and nodes of one test, in one process or application or several, and no socket between them. A node
 * finds the distributor that listens on the port it dials, else the first there is, else it waits for one.
 */
export class TestNetwork {
  readonly #clock: Clock;
  readonly #changed: () => void;
  readonly #listeners = new Set<Listener>();
  readonly #dialling = new Set<() => void>();
  /** Jobs by the feedbacks that the application was given and has not answered for: its code runs. */
  readonly #telling = new Map<string, string>();

  constructor(clock: Clock, changed: () => void) {
    this.#clock = clock;
    this.#changed = changed;
  }

  /** Ids of jobs whose feedback is being told. */
  get telling(): ReadonlySet<string> {
    return new Set(this.#telling.values());
  }

  readonly transport: Transport = {
    listen: async ({ port }, accept) => {
      const listener = { port: port === 0 ? 1 + this.#listeners.size : port, accept };
      this.#listeners.add(listener);
      for (const dial of this.#dialling) dial();
      return { port: listener.port, close: async () => void this.#listeners.delete(listener) };
    },
    connect: (address) =>
      new Promise((resolve) => {
        const dial = (): void => {
          const listener = this.#find(address);
          if (!listener) return;
          this.#dialling.delete(dial);
          resolve(this.#open(listener));
        };
        this.#dialling.add(dial);
        dial();
      }),
  };

  #find({ port }: Address): Listener | undefined {
    const all = [...this.#listeners];
    return port === IN_PROCESS.port ? all[0] : (all.find((one) => one.port === port) ?? all[0]);
  }

  #open({ accept }: Listener): Connection {
    const { node, distributor } = inProcessPipe(this.#clock);
    watch(node, (message) => {
      if (message.type === 'result') this.#telling.set(message.feedback.id, message.feedback.jobId);
    });
    watch(distributor, (message) => {
      if (message.type === 'result-ack') this.#told(...message.ids);
      if (message.type === 'undelivered') this.#told(message.id);
    });
    accept(distributor);
    return node;
  }

  #told(...ids: readonly string[]): void {
    for (const id of ids) this.#telling.delete(id);
    this.#changed();
  }
}

function watch(end: Connection, sent: (message: Message) => void): void {
  const send = end.send.bind(end);
  end.send = (message) => {
    sent(message);
    send(message);
  };
}
