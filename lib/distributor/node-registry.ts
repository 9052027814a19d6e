import type { Clock, ClockTimer } from '../clock.js';
import type { EmitEvent } from '../job-reactor.events.js';
import { PROTOCOL_VERSION, type Hello, type Message, type WireErrorCode } from '../protocol/message.js';
import type { CloseReason, Connection } from '../transport/connection.js';
import { Heartbeat } from '../transport/heartbeat.js';
import { ConnectedNode } from './connected-node.js';

/** For so long the incumbent of a private storage may take to show that it is alive. */
const INCUMBENT_ANSWERS_WITHIN = 2_000;

export interface RegistryParts {
  distributor: string;
  instance: string;
  /** Storage id of the outbox, null for memory. */
  storage: () => string | null;
  clock: Clock;
  emit: EmitEvent;
}

export interface RegistryEvents {
  joined(node: ConnectedNode): void;
  message(node: ConnectedNode, message: Message): void;
  /** `why` is for the log. */
  lost(node: ConnectedNode, why: string): void;
  drained(node: ConnectedNode): void;
}

interface Member {
  node: ConnectedNode;
  heartbeat: Heartbeat;
  /** Set while a newcomer with the same storage waits for a sign of life. */
  onSign: (() => void) | null;
}

/** Who is connected. Greets newcomers, keeps links alive, and sees to it that a private storage has one owner. */
export class NodeRegistry {
  readonly #parts: RegistryParts;
  readonly #events: RegistryEvents;
  readonly #members = new Map<ConnectedNode, Member>();
  readonly #greeting = new Set<Connection>();

  constructor(parts: RegistryParts, events: RegistryEvents) {
    this.#parts = parts;
    this.#events = events;
  }

  nodes(): Iterable<ConnectedNode> {
    return this.#members.keys();
  }

  get size(): number {
    return this.#members.size;
  }

  has(node: ConnectedNode): boolean {
    return this.#members.has(node);
  }

  byStorage(storage: string): ConnectedNode | undefined {
    for (const node of this.#members.keys()) if (node.storage === storage) return node;
    return undefined;
  }

  byInstance(instance: string): ConnectedNode | undefined {
    for (const node of this.#members.keys()) if (node.instance === instance) return node;
    return undefined;
  }

  /** A connection that has said nothing yet; the transport closes it if it stays so. */
  greet(connection: Connection): void {
    this.#greeting.add(connection);
    connection.onClose = () => void this.#greeting.delete(connection);
    connection.onMessage = (message) => {
      if (message.type === 'ping') return connection.send({ type: 'pong' });
      if (message.type !== 'hello') return this.#refuse(connection, 'PROTOCOL', `${message.type} came before hello`);
      connection.onMessage = () => this.#refuse(connection, 'PROTOCOL', 'a message came before welcome');
      this.#hello(connection, message);
    };
  }

  /** Says goodbye to everyone. */
  stop(): void {
    for (const connection of this.#greeting)
      connection.close({ type: 'error', code: 'STOPPING', message: 'the distributor stops' });
    for (const { node, heartbeat } of this.#members.values()) {
      heartbeat.stop();
      this.#members.delete(node);
      node.send({ type: 'goodbye' });
      node.connection.close();
    }
  }

  #hello(connection: Connection, hello: Hello): void {
    const { min, max } = hello.protocol;
    if (min > PROTOCOL_VERSION.max || max < PROTOCOL_VERSION.min) {
      const ours = `${PROTOCOL_VERSION.min} to ${PROTOCOL_VERSION.max}`;
      return this.#refuse(
        connection,
        'VERSION',
        `this distributor speaks protocol ${ours}, node '${hello.name}' ${min} to ${max}`,
      );
    }
    const incumbent = this.byStorage(hello.storage.id);
    if (!incumbent) return this.#welcome(connection, hello);
    if (incumbent.instance === hello.instance) {
      this.#dismiss(incumbent, 'replaced by a new connection of the same instance', 'REPLACED');
      return this.#welcome(connection, hello);
    }
    this.#challenge(incumbent, connection, hello);
  }

  /** Two live instances on one private storage would both run its jobs: the incumbent stays if it shows a sign of life. */
  #challenge(incumbent: ConnectedNode, connection: Connection, hello: Hello): void {
    const member = this.#members.get(incumbent);
    if (!member) return this.#welcome(connection, hello);
    const silence: ClockTimer = this.#parts.clock.after(INCUMBENT_ANSWERS_WITHIN, () => {
      member.onSign = null;
      if (this.has(incumbent))
        this.#dismiss(incumbent, 'did not answer when its storage was claimed', 'STORAGE_IN_USE');
      if (!connection.closed) this.#welcome(connection, hello);
    });
    member.onSign = () => {
      member.onSign = null;
      silence.cancel();
      const why = `node '${incumbent.name}' at ${incumbent.connection.remote} uses the same storage (${hello.storage.id}) and is alive; give each node its own`;
      this.#refuse(connection, 'STORAGE_IN_USE', why);
    };
    incumbent.send({ type: 'ping' });
  }

  #welcome(connection: Connection, hello: Hello): void {
    const { distributor, instance, storage, clock, emit } = this.#parts;
    this.#greeting.delete(connection);
    const node = new ConnectedNode(hello, connection, clock.now());
    const member: Member = { node, heartbeat: new Heartbeat(connection, clock), onSign: null };
    this.#members.set(node, member);
    connection.established();
    connection.onMessage = (message) => this.#message(member, message);
    connection.onDrain = () => this.#events.drained(node);
    connection.onClose = (reason) => this.#closed(member, reason);
    connection.send({
      type: 'welcome',
      protocol: PROTOCOL_VERSION.max,
      name: distributor,
      instance,
      storage: storage(),
    });
    emit({ event: 'node joined', distributor, node: node.facts, jobs: node.jobs });
    this.#events.joined(node);
  }

  #message(member: Member, message: Message): void {
    member.onSign?.();
    if (member.heartbeat.received(message)) return;
    if (message.type === 'goodbye') member.node.leaving = true;
    else if (message.type === 'drain') member.node.draining = true;
    else this.#events.message(member.node, message);
  }

  #closed(member: Member, reason: CloseReason): void {
    const { node } = member;
    member.heartbeat.stop();
    if (!this.#members.delete(node)) return;
    const why = reason.error
      ? `${reason.error.code}: ${reason.error.message}`
      : (reason.cause?.message ?? 'connection closed');
    this.#gone(node, why);
  }

  #dismiss(node: ConnectedNode, why: string, code: WireErrorCode): void {
    this.#members.get(node)?.heartbeat.stop();
    this.#members.delete(node);
    node.connection.close({ type: 'error', code, message: why });
    this.#gone(node, why);
  }

  #gone(node: ConnectedNode, reason: string): void {
    const { distributor, emit } = this.#parts;
    if (node.leaving) emit({ event: 'node left', distributor, node: node.facts });
    else emit({ event: 'node lost', distributor, node: node.facts, reason });
    this.#events.lost(node, reason);
  }

  #refuse(connection: Connection, code: WireErrorCode, message: string): void {
    this.#greeting.delete(connection);
    this.#parts.emit({
      event: 'node refused',
      distributor: this.#parts.distributor,
      remote: connection.remote,
      code,
      message,
    });
    connection.close({ type: 'error', code, message });
  }
}
