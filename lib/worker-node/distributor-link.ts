import { ChurningSet } from '../churning-set.js';
import type { Clock, ClockTimer } from '../clock.js';
import type { FeedbackRecord } from '../job/feedback-record.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { Hello, Offer, Welcome } from '../protocol/handshake-messages.js';
import type { Message } from '../protocol/message.js';
import type { RefuseCode } from '../protocol/job-messages.js';
import { FIRST_RESULTS, resultBytes, resultMessage } from '../protocol/result-messages.js';
import type { Address, CloseReason, Connection, Transport } from '../transport/connection.js';
import { Heartbeat } from '../transport/heartbeat.js';
import type { AuthSettings } from '../transport/authentication.js';
import { ConnectError } from '../transport/connect.error.js';
import { LinkHandshake } from './link-handshake.js';

const FIRST_WAIT = 250;
const LONGEST_WAIT = 30_000;
/** What doesn't change by waiting is tried again after so long, and a little at random: until one side is a newer version, or the other connection is gone. */
const LEAST_WAIT = new Map([
  ['VERSION', 60_000],
  ['TWICE', 15_000],
]);
/** A distributor that accepts the connection and then says nothing. */
const WELCOME_WITHIN = 10_000;

/** Jobs that are due at once, jobs of any kind, and bytes of their args. */
export interface JobCount {
  instant: number;
  stored: number;
  bytes: number;
}
const NONE: Readonly<JobCount> = { instant: 0, stored: 0, bytes: 0 };

export interface LinkParts {
  node: string;
  /** Asked before each attempt, which tries them in turn: the distributor of the same process may not know its port yet. */
  addresses: () => Promise<Address[]>;
  transport: Transport;
  clock: Clock;
  random: () => number;
  emit: EmitEvent;
  /** Null: the distributor proves nothing, nor does this node. */
  auth: AuthSettings | null;
  hello: () => Hello;
  /** Sent once the distributor has welcomed it. */
  offer: () => Offer;
}

export interface LinkEvents {
  /** False: the same distributor is connected by another address, and two connections of one node would replace each other. */
  isNew(link: DistributorLink, welcome: Welcome): boolean;
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
  #handshake: LinkHandshake | undefined;
  #welcome: Welcome | undefined;
  #timer: ClockTimer | undefined;
  #attempts = 0;
  #refusal: string | null = null;
  #stopped = false;
  /** Jobs received on this connection, for the absolute credits. */
  received: JobCount = { ...NONE };
  granted: JobCount = { ...NONE };
  /** Bytes of results sent on this connection, and those that may be. */
  #results = { sent: 0, granted: FIRST_RESULTS };
  /** Assignments refused on this connection: a repeat of one is refused as well, since the job is elsewhere by then. */
  readonly #refused = new ChurningSet<string>();

  constructor(parts: LinkParts, events: LinkEvents) {
    this.#parts = parts;
    this.#events = events;
  }

  /** What the distributor said of itself; undefined while not connected. */
  get distributor(): Welcome | undefined {
    return this.#welcome;
  }

  /** Waits to dial, or is about to. */
  get idle(): boolean {
    return this.#connection === undefined;
  }

  get congested(): boolean {
    return this.#connection?.congested ?? true;
  }

  start(): void {
    void this.#dial();
  }

  /** This job is not taken, now or when it is sent again on this connection. */
  refuse(id: string, assignment: number, code: RefuseCode): void {
    this.#refused.add(`${id} ${assignment}`);
    this.send({ type: 'refuse', id, assignment, code });
  }

  hasRefused(id: string, assignment: number): boolean {
    return this.#refused.size > 0 && this.#refused.has(`${id} ${assignment}`);
  }

  send(message: Message): void {
    if (this.#welcome) this.#connection?.send(message);
  }

  /** Sends it, unless that has to wait: for the other side to take what was sent, or to want more. */
  report(feedback: FeedbackRecord): boolean {
    const results = this.#results;
    if (this.congested || results.sent >= results.granted) return false;
    results.sent += resultBytes(feedback);
    this.send(resultMessage(feedback));
    return true;
  }

  resultCredit(bytes: number): void {
    this.#results.granted = Math.max(bytes, this.#results.granted);
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
      const addresses = await this.#parts.addresses();
      for (let at = 0; !this.#stopped && at < addresses.length; at++) {
        const address = addresses[at] as Address;
        remote = nameOf(address);
        const connection = await this.#parts.transport.connect(address).catch((error: unknown) => {
          if (at === addresses.length - 1) throw error;
        });
        if (!connection) continue;
        return this.#stopped ? connection.destroy() : this.#greet(connection);
      }
    } catch (error) {
      const code = error instanceof ConnectError && error.step === 'TLS' ? error.step : null;
      this.#unreachable(remote, error instanceof Error ? error.message : String(error), code);
    }
  }

  #greet(connection: Connection): void {
    this.#connection = connection;
    const silence = this.#parts.clock.after(WELCOME_WITHIN, () => connection.destroy(new Error('no welcome came')));
    connection.onMessage = (message) => this.#message(message);
    connection.onDrain = () => this.#events.drained(this);
    connection.onClose = (reason) => {
      silence.cancel();
      this.#lost(connection, reason);
    };
    this.#timer = silence;
    const { hello, auth } = this.#parts;
    this.#handshake = new LinkHandshake(connection, hello(), auth, (welcome) => this.#open(connection, welcome));
  }

  #message(message: Message): void {
    if (this.#heartbeat?.received(message)) return;
    if (this.#welcome) this.#events.message(this, message);
    else this.#handshake?.message(message);
  }

  #open(connection: Connection, welcome: Welcome): void {
    this.#timer?.cancel();
    if (!this.#events.isNew(this, welcome)) return this.#leaveAlone(connection, welcome);
    connection.established();
    this.#welcome = welcome;
    this.#attempts = 0;
    this.#refusal = null;
    this.received = { ...NONE };
    this.granted = { ...NONE };
    this.#results = { sent: 0, granted: FIRST_RESULTS };
    this.#refused.clear();
    this.#heartbeat = new Heartbeat(connection, this.#parts.clock);
    const { node, emit, offer } = this.#parts;
    connection.send(offer());
    emit({ event: 'distributor joined', node, distributor: welcome.name, remote: connection.remote });
    this.#events.opened(this);
  }

  /** Before it is offered anything: so the connection that is there stays. */
  #leaveAlone(connection: Connection, { name: distributor }: Welcome): void {
    const { node, emit } = this.#parts;
    connection.onClose = () => this.#forget();
    if (this.#refusal !== 'TWICE') emit({ event: 'distributor twice', node, distributor, remote: connection.remote });
    this.#refusal = 'TWICE';
    connection.send({ type: 'goodbye' });
    connection.close();
    this.#again();
  }

  #forget(): void {
    this.#connection = undefined;
    this.#handshake = undefined;
  }

  #lost(connection: Connection, reason: CloseReason): void {
    this.#heartbeat?.stop();
    this.#heartbeat = undefined;
    const welcome = this.#welcome;
    this.#welcome = undefined;
    const distrust = this.#handshake?.distrust;
    this.#forget();
    const { error, told, cause } = reason;
    const why =
      distrust?.why ?? (error ? `${error.code}: ${error.message}` : (cause?.message ?? 'closed by the distributor'));
    if (!welcome) {
      const code = distrust?.code ?? error?.code ?? told?.code ?? 'CLOSED';
      return this.#unreachable(connection.remote, why, code);
    }
    const { node, emit } = this.#parts;
    if (!this.#stopped)
      emit({ event: 'distributor lost', node, distributor: welcome.name, remote: connection.remote, reason: why });
    this.#events.closed(this);
    this.#again();
  }

  #unreachable(remote: string, reason: string, code: string | null): void {
    if (this.#stopped) return;
    if (code !== this.#refusal) this.#attempts = 0;
    this.#refusal = code;
    this.#attempts++;
    const { node, emit } = this.#parts;
    emit({ event: 'distributor unreachable', node, remote, reason, code, attempts: this.#attempts });
    this.#again();
  }

  /** Full jitter: after a distributor's restart its nodes must not all come at once. */
  #again(): void {
    if (this.#stopped) return;
    const { clock, random } = this.#parts;
    const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(this.#attempts, 10));
    const least = this.#refusal === null ? undefined : LEAST_WAIT.get(this.#refusal);
    const wait = least === undefined ? random() * longest : least + random() * FIRST_WAIT;
    this.#timer = clock.after(wait, () => void this.#dial());
  }
}

/** As the user knows it; the address is told where it was looked up. */
function nameOf({ host, port, name }: Address): string {
  return name === undefined ? `${host}:${port}` : `${name}:${port} (${host})`;
}
