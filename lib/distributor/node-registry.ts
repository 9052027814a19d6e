import type { ClockTimer } from '../clock.js';
import type { WireErrorCode } from '../protocol/connection-messages.js';
import type { Offer } from '../protocol/handshake-messages.js';
import type { Message } from '../protocol/message.js';
import type { CloseReason, Connection, TurnedAway } from '../transport/connection.js';
import { Heartbeat } from '../transport/heartbeat.js';
import { ConnectedNode } from './connected-node.js';
import { NodeAdmission, type AdmissionParts, type Newcomer } from './node-admission.js';

/** For so long the incumbent of a private storage may take to show that it is alive. */
const INCUMBENT_ANSWERS_WITHIN = 2_000;

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
  /** Newcomers with the same storage that wait for a sign of life. */
  readonly doubts: Set<() => void>;
}

/** Who has joined. Keeps links alive, and sees to it that a private storage has one owner. */
export class NodeRegistry {
  readonly #parts: AdmissionParts;
  readonly #events: RegistryEvents;
  readonly #members = new Map<ConnectedNode, Member>();
  readonly #admission: NodeAdmission;

  constructor(parts: AdmissionParts, events: RegistryEvents) {
    this.#parts = parts;
    this.#events = events;
    this.#admission = new NodeAdmission(parts, {
      claim: (newcomer, answer) => this.#claim(newcomer, answer),
      admitted: (newcomer, offer) => this.#join(newcomer, offer),
    });
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

  /** A new connection: it is a node's once it is admitted. */
  greet(connection: Connection): void {
    this.#admission.greet(connection);
  }

  /** Somebody who did not get as far as a connection. */
  turnedAway(somebody: TurnedAway): void {
    this.#admission.refusals.add(somebody);
  }

  /** Hears nobody any more. What it returns says goodbye to everyone: from then on others may take over. */
  stop(): () => void {
    this.#admission.stop();
    const members = [...this.#members.values()];
    this.#members.clear();
    for (const { node, heartbeat } of members) {
      heartbeat.stop();
      node.connection.onMessage = () => undefined;
    }
    return () => {
      for (const { node } of members) {
        node.send({ type: 'goodbye' });
        node.connection.close();
      }
    };
  }

  /** Two live instances on one private storage would both run its jobs: the incumbent stays if it shows a sign of life. */
  #claim({ hello }: Newcomer, answer: (inUse: string | null) => void): void {
    const incumbent = this.byStorage(hello.storage.id);
    const member = incumbent && this.#members.get(incumbent);
    if (!member || incumbent.instance === hello.instance) return answer(null);
    const alive = (): void => {
      silence.cancel();
      answer(usedBy(incumbent));
    };
    const silence: ClockTimer = this.#parts.clock.after(INCUMBENT_ANSWERS_WITHIN, () => {
      member.doubts.delete(alive);
      if (this.has(incumbent))
        this.#dismiss(incumbent, 'did not answer when its storage was claimed', 'STORAGE_IN_USE');
      answer(null);
    });
    member.doubts.add(alive);
    incumbent.send({ type: 'ping' });
  }

  #join({ hello, connection }: Newcomer, offer: Offer): void {
    const { distributor, clock, emit } = this.#parts;
    const other = this.byStorage(hello.storage.id);
    // Of two that came at once the first has it by now.
    if (other && other.instance !== hello.instance)
      return this.#admission.refuse(connection, 'STORAGE_IN_USE', usedBy(other));
    if (other) this.#dismiss(other, 'replaced by a new connection of the same instance', 'REPLACED');
    const node = new ConnectedNode(hello, offer, connection, clock.now());
    const member: Member = { node, heartbeat: new Heartbeat(connection, clock), doubts: new Set() };
    this.#members.set(node, member);
    connection.onMessage = (message) => this.#message(member, message);
    connection.onDrain = () => this.#events.drained(node);
    connection.onClose = (reason) => this.#closed(member, reason);
    emit({ event: 'node joined', distributor, node: node.facts, jobs: node.jobs });
    this.#events.joined(node);
  }

  #message(member: Member, message: Message): void {
    if (member.doubts.size > 0) this.#alive(member);
    if (member.heartbeat.received(message)) return;
    if (message.type === 'goodbye') member.node.leaving = true;
    else if (message.type === 'drain') member.node.draining = true;
    else this.#events.message(member.node, message);
  }

  #alive({ doubts }: Member): void {
    const asking = [...doubts];
    doubts.clear();
    for (const alive of asking) alive();
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
}

function usedBy(incumbent: ConnectedNode): string {
  const { name, storage, connection } = incumbent;
  return `node '${name}' at ${connection.remote} uses the same storage (${storage}) and is alive; give each node its own`;
}
