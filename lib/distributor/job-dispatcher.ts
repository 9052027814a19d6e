import { ChurningMap } from '../churning-map.js';
import type { Clock } from '../clock.js';
import { didYouMean } from '../job/did-you-mean.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { Refuse } from '../protocol/job-messages.js';
import type { TimerQueue } from '../timer-queue.js';
import type { ConnectedNode } from './connected-node.js';
import type { HeldJob } from './held-job.js';
import type { HeldJobs } from './held-jobs.js';
import type { NodeRegistry } from './node-registry.js';
import { selectNode } from './node-selector.js';
import type { Outbox } from './outbox.js';
import { RouteTurns } from './route-turns.js';

/** After a node refused a job for want of room or storage it is left alone for so long. */
const PAUSE_AFTER_REFUSAL = 1_000;
/** What the outbox held at start may be stored on the node it was sent to, which then has so long to come back. */
const LEFTOVERS_WAIT = 30_000;
const WARN_WITHOUT_NODE_AFTER = 10_000;

export interface DispatcherParts {
  distributor: string;
  held: HeldJobs;
  outbox: Outbox;
  registry: NodeRegistry;
  timers: TimerQueue;
  clock: Clock;
  emit: EmitEvent;
  /** The MAC by which this node shows later that it has had the job. */
  sign: (node: ConnectedNode, job: HeldJob) => string | undefined;
  /** While it is not known whether the outbox has the job. */
  committing: (id: string) => boolean;
  /** True when the job was ended instead: it is not to go to another node. */
  givenUp: (job: HeldJob) => boolean;
  /** The node's storage is in the database the outbox is in. */
  shares: (node: ConnectedNode) => boolean;
  /** No job of this name is to be sent. */
  paused: (name: string) => boolean;
  /** A node that shares the outbox's database has its row. */
  taken: (job: HeldJob) => void;
}

/** Finds a node for every job, at once or the moment something changes; a change is an event, never a look at the clock. */
export class JobDispatcher {
  readonly #parts: DispatcherParts;
  readonly #routes = new RouteTurns();
  readonly #warned = new Set<string>();
  /** The same, of those that need a thread. */
  readonly #warnedOfThreads = new Set<string>();
  /** Jobs whose way is being written down before they go it. */
  readonly #leaving = new ChurningMap<string, Promise<void>>();
  #awake = false;
  #stopped = false;
  #turn = 0;

  constructor(parts: DispatcherParts) {
    this.#parts = parts;
  }

  /** A node that takes the job now, with its credit spent and the job assigned to it. */
  choose(job: HeldJob): ConnectedNode | null {
    const { registry, clock } = this.#parts;
    if (this.#parts.paused(job.spec.name)) return null;
    const node = selectNode(job.spec, registry.nodes(), clock.monotonic());
    if (node) this.#take(node, job);
    return node;
  }

  /** To the chosen node if it is still there, else to the jobs that wait. */
  dispatch(job: HeldJob, node: ConnectedNode | null): void {
    const { held, registry } = this.#parts;
    if (held.get(job.spec.id) !== job) return;
    // While that was written down the node was lost, and the job goes another way by now.
    if (node && (job.state !== 'sent' || job.holder !== node.storage)) return;
    // Or it is back, by another connection.
    const there = node && (registry.has(node) ? node : registry.byStorage(node.storage));
    if (there) return this.#send(there, job);
    held.wait(job);
    this.wake();
    this.#warnLater(job.spec);
  }

  /** At the end of the tick: jobs that wait are looked at again, because something has changed. */
  wake(): void {
    if (this.#awake || this.#parts.held.pending.size === 0) return;
    this.#awake = true;
    this.#parts.clock.endOfTick(() => {
      this.#awake = false;
      if (!this.#stopped) this.#pump();
    });
  }

  /**
   * A node is there (again): what it never confirmed is sent again, which its ids make harmless. What is still being
   * written down goes when it is.
   */
  joined(node: ConnectedNode): void {
    const { held, committing } = this.#parts;
    for (const job of held.heldBy(node.storage)) {
      const { id } = job.spec;
      if (job.state === 'sent' && !this.#leaving.has(id) && !committing(id)) this.#send(node, job);
    }
    this.wake();
  }

  /** A node is gone: what it never confirmed goes to another, at once if it left on purpose, else if it stays away. */
  lost(node: ConnectedNode): void {
    if (node.leaving) return this.#handOver(node);
    // A timer holds on to the node for as long as that one said, and it may have said years.
    if (this.#parts.held.heldBy(node.storage).length === 0) return;
    this.#parts.timers.after(node.handoffTimeout, () => {
      if (!this.#parts.registry.byStorage(node.storage)) this.#handOver(node);
    });
  }

  refused(node: ConnectedNode, { id, assignment, code }: Refuse): void {
    const { held, distributor, clock, timers, emit } = this.#parts;
    const job = held.get(id);
    if (!job || job.assignment !== assignment || job.state !== 'sent' || job.holder !== node.storage) return;
    if (code === 'NOT_THERE') return void this.#lookFor(job).catch(() => undefined);
    emit({ event: 'job refused', distributor, node: node.name, id, code });
    if (code === 'UNKNOWN_JOB') node.lacks(job.spec.name);
    else if (code === 'DRAINING') node.draining = true;
    else {
      node.pausedUntil = clock.monotonic() + PAUSE_AFTER_REFUSAL;
      timers.after(PAUSE_AFTER_REFUSAL, () => this.wake());
    }
    held.refused(job);
    this.wake();
  }

  /** A row of the outbox that names a node may be stored there: it waits for that node before it goes to another. */
  takeUp(job: HeldJob): void {
    const { held, registry, timers } = this.#parts;
    held.add(job);
    if (job.state === 'pending') {
      held.wait(job);
      return this.wake();
    }
    const there = job.holder !== null && registry.byStorage(job.holder);
    if (there) return this.#send(there, job);
    timers.after(LEFTOVERS_WAIT, () => {
      if (held.get(job.spec.id) !== job || job.state !== 'sent') return;
      if (job.holder === null || !registry.byStorage(job.holder)) this.#giveUp(job);
    });
  }

  /** Whether it is about to be sent. */
  leaving(id: string): boolean {
    return this.#leaving.has(id);
  }

  /** Resolves when a job that was about to be sent is on the wire: what is asked of its node now comes after it. */
  async sent(id: string): Promise<void> {
    await this.#leaving.get(id);
  }

  /** The same for all that are about to be sent now. */
  async allSent(): Promise<void> {
    await Promise.all(this.#leaving.values());
  }

  stop(): void {
    this.#stopped = true;
  }

  #pump(): void {
    const { held, clock } = this.#parts;
    const now = clock.monotonic();
    this.#routes.each(held.pending.groups(), (job) => this.#sendNext(job, now));
  }

  /** False: no node takes it now. */
  #sendNext(job: HeldJob, now: number): boolean {
    const { registry, outbox, paused } = this.#parts;
    const node = paused(job.spec.name) ? null : selectNode(job.spec, registry.nodes(), now);
    if (!node) return false;
    // Whoever claims a row finds it or not: nothing need be written down before.
    if (this.#take(node, job) && outbox.durable && !this.#claims(node, job)) this.#leave(node, job);
    else this.#send(node, job);
    return true;
  }

  #take(node: ConnectedNode, job: HeldJob): boolean {
    node.take(job.spec, ++this.#turn);
    return this.#parts.held.assign(job, node.storage, node.name);
  }

  #leave(node: ConnectedNode, job: HeldJob): void {
    const { id } = job.spec;
    const leaving = this.#assignAndSend(node, job).finally(() => {
      if (this.#leaving.get(id) === leaving) this.#leaving.delete(id);
    });
    this.#leaving.set(id, leaving);
  }

  /** Where it goes is written down before it goes there: after a crash it must not go elsewhere as well. */
  async #assignAndSend(node: ConnectedNode, job: HeldJob): Promise<void> {
    const ours = await this.#parts.outbox.assign(job).catch(() => true);
    // Another instance of this application has it, as this one was taken for dead.
    if (!ours) return job.claim ? this.#parts.taken(job) : this.#parts.held.remove(job);
    if (job.state === 'sent' && job.holder === node.storage) this.dispatch(job, node);
  }

  /** The row that was to be claimed was not found: it was claimed before, or that node's database is a copy of ours. */
  async #lookFor(job: HeldJob): Promise<void> {
    const { held, outbox, taken } = this.#parts;
    const { assignment } = job;
    const isHere = await outbox.holds(job.spec.id);
    if (held.get(job.spec.id) !== job || job.state !== 'sent' || job.assignment !== assignment) return;
    if (!isHere) return taken(job);
    job.unclaimable = true;
    held.refused(job);
    this.wake();
  }

  #claims(node: ConnectedNode, job: HeldJob): boolean {
    return !job.unclaimable && this.#parts.shares(node);
  }

  #send(node: ConnectedNode, job: HeldJob): void {
    const { spec, assignment } = job;
    const { origin } = spec;
    job.claim = this.#claims(node, job);
    // What lies in a shared row already is what a node that takes the row over will have to show.
    const mac = origin.mac ?? this.#parts.sign(node, job);
    const signed = mac === origin.mac ? spec : { ...spec, origin: { ...origin, mac } };
    node.send({ type: 'job', job: signed, assignment, ...(job.claim ? { claim: true } : {}), args: spec.args });
  }

  #handOver(node: ConnectedNode): void {
    for (const job of this.#parts.held.heldBy(node.storage)) {
      // Nobody has been sent what may not be in the outbox yet; it looks for its node when it is.
      if (this.#parts.committing(job.spec.id)) continue;
      if (job.state === 'sent' || job.state === 'kept') this.#giveUp(job);
    }
  }

  /** The node it was sent to does not come back: it waits for another. */
  #giveUp(job: HeldJob): void {
    const { distributor, held, emit, givenUp } = this.#parts;
    const { id, name } = job.spec;
    emit({ event: 'job handed over', distributor, id, name, from: job.holderName, assignment: job.assignment + 1 });
    if (givenUp(job)) return;
    held.wait(job);
    this.wake();
  }

  #warnLater({ name, options }: HeldJob['spec']): void {
    const { distributor, held, registry, timers, emit } = this.#parts;
    const needsThreads = options.thread === true;
    const warned = needsThreads ? this.#warnedOfThreads : this.#warned;
    if (warned.has(name)) return;
    warned.add(name);
    timers.after(WARN_WITHOUT_NODE_AFTER, () => {
      const nodes = [...registry.nodes()];
      const names = new Set(nodes.flatMap((node) => node.jobs));
      const fits = nodes.some((node) => node.jobs.includes(name) && (node.threads || !needsThreads));
      if (fits || !held.pending.names().has(name)) return void warned.delete(name);
      const nearest = names.has(name) ? null : (didYouMean(name, [...names]) ?? null);
      // Threads are what is missing only where the handler is there.
      const lacking = needsThreads && names.has(name);
      emit({ event: 'job waits for a node', distributor, name, nodes: nodes.length, nearest, needsThreads: lacking });
    });
  }
}
