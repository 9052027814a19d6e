import type { Clock, ClockTimer } from '../clock.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { Hello, Message, Offer, Welcome } from '../protocol/message.js';
import type { Address, CloseReason, Connection, Transport } from '../transport/connection.js';
import { Heartbeat } from '../transport/heartbeat.js';

const FIRST_WAIT = 250;
const LONGEST_WAIT = 30_000;
/** A distributor that accepts the connection and then says nothing. */
const WELCOME_WITHIN = 10_000;

export interface LinkParts {
  node: string;
  /** Asked before each attempt: the distributor of the same process may not know its port yet. */
  address: () => Promise<Address>;
  transport: Transport;
  clock: Clock;
  random: () => number;
  emit: EmitEvent;
  hello: () => Hello;
  /** Sent once the distributor has welcomed it. */
  offer: () => Offer;
}

export interface LinkEvents {
  opened(link: DistributorLink): void;
  message(link: DistributorLink, message: Message): void;
  closed(link: DistributorLink): void;
  drained(link: DistributorLink): void;
}

/** A node's connection to one distributor: dials, greets, keeps alive, and dials again with full jitter for as long as it runs. */
export class DistributorLink {
  readonly #parts: LinkParts;
  readonly #events: LinkEvents;
  #connection: Connection | undefined;
  #heartbeat: Heartbeat | undefined;
  #welcome: Welcome | undefined;
  #timer: ClockTimer | undefined;
  #attempts = 0;
  #stopped = false;
  /** Jobs received on this connection, for the absolute credits. */
  received = { instant: 0, stored: 0 };
  granted = { instant: 0, stored: 0 };
  /** Assignments refused on this connection: a repeat of one is refused as well, since the job is elsewhere by then. */
  readonly refused = new Set<string>();

  constructor(parts: LinkParts, events: LinkEvents) {
    this.#parts = parts;
    this.#events = events;
  }

  /** What the distributor said of itself; undefined while not connected. */
  get distributor(): Welcome | undefined {
    return this.#welcome;
  }

  get congested(): boolean {
    return this.#connection?.congested ?? true;
  }

  start(): void {
    void this.#dial();
  }

  send(message: Message): void {
    if (this.#welcome) this.#connection?.send(message);
  }

  /** Says goodbye and dials no more. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#heartbeat?.stop();
    this.send({ type: 'goodbye' });
    this.#connection?.close();
  }

  async #dial(): Promise<void> {
    let remote = 'its own distributor';
    try {
      const address = await this.#parts.address();
      remote = `${address.host}:${address.port}`;
      const connection = await this.#parts.transport.connect(address);
      if (this.#stopped) connection.destroy();
      else this.#greet(connection);
    } catch (error) {
      this.#unreachable(remote, error instanceof Error ? error.message : String(error));
    }
  }

  #greet(connection: Connection): void {
    this.#connection = connection;
    const silence = this.#parts.clock.after(WELCOME_WITHIN, () => connection.destroy(new Error('no welcome came')));
    connection.onMessage = (message) => this.#message(connection, message);
    connection.onDrain = () => this.#events.drained(this);
    connection.onClose = (reason) => {
      silence.cancel();
      this.#lost(connection, reason);
    };
    this.#timer = silence;
    connection.send(this.#parts.hello());
  }

  #message(connection: Connection, message: Message): void {
    if (this.#heartbeat?.received(message)) return;
    if (this.#welcome) {
      this.#events.message(this, message);
    } else if (message.type === 'welcome') {
      this.#open(connection, message);
    } else if (message.type === 'ping') {
      connection.send({ type: 'pong' });
    } else if (message.type !== 'error') {
      connection.close({ type: 'error', code: 'PROTOCOL', message: `${message.type} came before welcome` });
    }
  }

  #open(connection: Connection, welcome: Welcome): void {
    this.#timer?.cancel();
    connection.established();
    this.#welcome = welcome;
    this.#attempts = 0;
    this.received = { instant: 0, stored: 0 };
    this.granted = { instant: 0, stored: 0 };
    this.refused.clear();
    this.#heartbeat = new Heartbeat(connection, this.#parts.clock);
    const { node, emit, offer } = this.#parts;
    connection.send(offer());
    emit({ event: 'distributor joined', node, distributor: welcome.name, remote: connection.remote });
    this.#events.opened(this);
  }

  #lost(connection: Connection, reason: CloseReason): void {
    this.#heartbeat?.stop();
    const welcome = this.#welcome;
    this.#connection = undefined;
    this.#welcome = undefined;
    const why = reason.error
      ? `${reason.error.code}: ${reason.error.message}`
      : (reason.cause?.message ?? 'closed by the distributor');
    if (!welcome) return this.#unreachable(connection.remote, why);
    const { node, emit } = this.#parts;
    if (!this.#stopped)
      emit({ event: 'distributor lost', node, distributor: welcome.name, remote: connection.remote, reason: why });
    this.#events.closed(this);
    this.#again();
  }

  #unreachable(remote: string, reason: string): void {
    if (this.#stopped) return;
    this.#attempts++;
    this.#parts.emit({
      event: 'distributor unreachable',
      node: this.#parts.node,
      remote,
      reason,
      attempts: this.#attempts,
    });
    this.#again();
  }

  /** Full jitter: after a distributor's restart its nodes must not all come at once. */
  #again(): void {
    if (this.#stopped) return;
    const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(this.#attempts, 10));
    this.#timer = this.#parts.clock.after(this.#parts.random() * longest, () => void this.#dial());
  }
}
