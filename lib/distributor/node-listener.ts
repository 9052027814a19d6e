import type { EmitEvent } from '../job-reactor.events.js';
import type { DistributorSettings } from '../job-reactor.options.js';
import type { Address, Connection, Listening, Transport } from '../transport/connection.js';

export interface ListenerParts {
  settings: DistributorSettings;
  transport: Transport;
  emit: EmitEvent;
}

/** The port that nodes dial. */
export class NodeListener {
  readonly #parts: ListenerParts;
  #listening: Listening | undefined;
  #whenListening: ((address: Address) => void)[] = [];

  constructor(parts: ListenerParts) {
    this.#parts = parts;
  }

  /** @throws PORT_IN_USE, LISTEN_FAILED */
  async listen(outbox: string, greet: (connection: Connection) => void): Promise<void> {
    const { settings, transport, emit } = this.#parts;
    const { name: distributor, host } = settings;
    this.#listening = await transport.listen(settings, greet);
    const { port } = this.#listening;
    emit({ event: 'distributor listening', distributor, host, port, outbox });
    for (const tell of this.#whenListening.splice(0)) tell({ host, port });
  }

  /** Where a node of the same process finds it, once it listens. */
  address(): Promise<Address> {
    const port = this.#listening?.port;
    if (port !== undefined) return Promise.resolve({ host: this.#parts.settings.host, port });
    return new Promise((resolve) => this.#whenListening.push(resolve));
  }

  async close(): Promise<void> {
    await this.#listening?.close();
  }
}
