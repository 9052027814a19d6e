import type { ErrorMessage } from '../../lib/protocol/connection-messages.js';
import type { Message } from '../../lib/protocol/message.js';
import { STRANGER, type CloseReason, type Connection, type Transport } from '../../lib/transport/connection.js';
import type { Life, World } from './world.js';

/** Messages whose repetition the protocol calls harmless. */
const REPEATABLE = new Set([
  'job',
  'stored',
  'settled',
  'result',
  'result-ack',
  'credit',
  'refuse',
  'submit',
  'accepted',
]);

class End implements Connection {
  onMessage: (message: Message) => void = () => undefined;
  onClose: (reason: CloseReason) => void = () => undefined;
  onDrain: () => void = () => undefined;
  closed = false;
  readonly congested = false;
  readonly peer = STRANGER;
  other!: End;
  #lastArrival = 0;

  constructor(
    private readonly network: SimulatedNetwork,
    private readonly life: Life,
    readonly remote: string,
  ) {}

  established(): void {}

  belongsTo(life: Life): boolean {
    return this.life === life;
  }

  send(message: Message): void {
    if (this.closed || !this.life.alive) return;
    const { world, faults } = this.network;
    const copies = REPEATABLE.has(message.type) && world.chance(faults.duplicate) ? 2 : 1;
    // A message is bytes: what arrives is a copy.
    for (let copy = 0; copy < copies; copy++) this.#deliver(structuredClone(message));
  }

  close(error?: ErrorMessage): void {
    if (this.closed) return;
    const reason: CloseReason = error ? { local: false, error } : { local: false };
    this.#inOrder(() => this.other.end(reason));
    this.end({ local: true });
  }

  destroy(cause?: Error): void {
    if (this.closed) return;
    this.end({ local: true, ...(cause ? { cause } : {}) });
    this.#inOrder(() => this.other.end({ local: false, cause: new Error('reset') }));
  }

  end(reason: CloseReason): void {
    if (this.closed) return;
    this.closed = true;
    this.network.connections.delete(this);
    this.life.run(() => this.onClose(reason));
  }

  #deliver(message: Message): void {
    this.#inOrder(() => {
      this.other.life.run(() => {
        if (!this.other.closed && !this.closedAbruptly) this.other.onMessage(message);
      });
    });
  }

  /** Nothing comes through any more, and nobody is told: a half-open connection. */
  muted = false;

  /** Set by a cut: what is on its way is lost. */
  closedAbruptly = false;

  #inOrder(run: () => void): void {
    const { world, faults } = this.network;
    const arrival = Math.max(this.#lastArrival, world.now + world.random() * faults.latency);
    this.#lastArrival = arrival;
    world.at(arrival - world.now, () => !this.muted && run());
  }
}

export interface Faults {
  /** Longest one-way delay, milliseconds. */
  latency: number;
  /** Probability that a repeatable message arrives twice. */
  duplicate: number;
}

/** In order or not at all, late, twice, or cut in the middle. */
export class SimulatedNetwork {
  readonly connections = new Set<End>();
  readonly #listeners = new Map<number, { life: Life; accept: (connection: Connection) => void }>();
  /** Names of processes that can't reach anybody. */
  readonly isolated = new Set<string>();

  constructor(
    readonly world: World,
    readonly faults: Faults,
  ) {}

  transport(life: Life): Transport {
    return {
      listen: async ({ port }, accept) => {
        const listener = { life, accept };
        this.#listeners.set(port, listener);
        const gone = (): void => {
          if (this.#listeners.get(port) === listener) this.#listeners.delete(port);
        };
        life.onDeath(gone);
        return { port, close: async () => gone() };
      },
      connect: ({ port }) =>
        new Promise((resolve, reject) => {
          this.world.at(this.world.random() * this.faults.latency, () => {
            const listener = this.#listeners.get(port);
            if (!life.alive) return;
            if (!listener || this.isolated.has(life.name) || this.isolated.has(listener.life.name))
              return life.run(() => reject(new Error('ECONNREFUSED')));
            const near = new End(this, life, `:${port}`);
            const far = new End(this, listener.life, life.name);
            near.other = far;
            far.other = near;
            this.connections.add(near).add(far);
            life.onDeath(() => this.cut(near));
            listener.life.onDeath(() => this.cut(near));
            listener.life.run(() => listener.accept(far));
            life.run(() => resolve(near));
          });
        }),
    };
  }

  /** Both ends lose the connection, and everything on its way with it. */
  cut(end: End): void {
    end.closedAbruptly = true;
    end.other.closedAbruptly = true;
    for (const side of [end, end.other]) side.end({ local: false, cause: new Error('cut') });
  }

  /** Its process is cut off: its connections break, or fall silent. */
  isolate(life: Life, silently: boolean): void {
    this.isolated.add(life.name);
    for (const end of Array.from(this.connections)) {
      if (!end.belongsTo(life)) continue;
      if (silently) end.muted = end.other.muted = true;
      else this.cut(end);
    }
  }

  cutOne(): void {
    const ends = [...this.connections];
    const end = ends[this.world.between(0, ends.length - 1)];
    if (end) this.cut(end);
  }
}
