import type { EmitEvent } from '../job-reactor.events.js';
import type { DistributorSettings } from '../job-reactor.options.js';
import type { Address, Connection, Listening, Transport, TurnedAway } from '../transport/connection.js';

export interface ListenerParts {
  settings: DistributorSettings;
  transport: Transport;
  emit: EmitEvent;
}

/** Who deals with those that come. */
export interface Door {
  greet(connection: Connection): void;
  turnedAway(somebody: TurnedAway): void;
}

/** The port that nodes dial. */
export class NodeListener {
  readonly #parts: ListenerParts;
  #listening: Listening | undefined;
  #closed = false;
  #whenListening: ((address: Address) => void)[] = [];

  constructor(parts: ListenerParts) {
    this.#parts = parts;
  }

  get listens(): boolean {
    return this.#listening !== undefined && !this.#closed;
  }

  /** @throws PORT_IN_USE, LISTEN_FAILED */
  async listen(outbox: string, door: Door): Promise<void> {
    const { settings, transport, emit } = this.#parts;
    const { name: distributor, host } = settings;
    this.#listening = await transport.listen(
      settings,
      (connection) => door.greet(connection),
      (somebody) => door.turnedAway(somebody),
    );
    const { port } = this.#listening;
    emit({ event: 'distributor listening', distributor, host, port, outbox });
    if (settings.insecure) emit({ event: 'not secured', role: `Distributor '${distributor}'`, host });
    for (const tell of this.#whenListening.splice(0)) tell({ host, port });
  }

  /** Where a node of the same process finds it, once it listens. */
  address(): Promise<Address> {
    const port = this.#listening?.port;
    if (port !== undefined) return Promise.resolve({ host: this.#parts.settings.host, port });
    return new Promise((resolve) => this.#whenListening.push(resolve));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#listening?.close();
  }
}
