import type { CancelAnswer } from '../job/job-control.js';
import type { FoundJob } from '../job/found-job.js';
import type { Intake, JobGateway, KeyGateway, NewJob } from '../job/job-gateway.js';
import type { JobListeners } from '../job/job-listeners.js';
import { isInstant, type JobSpec } from '../job/job.js';
import { JobRejected } from '../job/job.errors.js';
import type { PauseGateway } from '../job/pause-gateway.js';
import type { ScheduleGateway } from '../job/schedule-gateway.js';
import type { TransactionManager } from '../job/transaction-manager.js';
import type { StoredEntry } from '../protocol/job-messages.js';
import { type Result, feedbackFrom } from '../protocol/result-messages.js';
import type { Message } from '../protocol/message.js';
import type { Address } from '../transport/connection.js';
import type { ClusterQueries } from './cluster-queries.js';
import type { ConnectedNode } from './connected-node.js';
import type { DistributorHealth } from './distributor-health.js';
import { DistributorStages, type DistributorParts } from './distributor-stages.js';
import type { HeldJob } from './held-job.js';
import type { ParkedQueries } from './parked-queries.js';

export type { DistributorParts };

/**
 * The spine of the distributor; the numbers are those of DESIGN "the way of one job":
 *  2. `accept`: the acceptor has the outbox keep the job, then enqueue resolves;
 *  3. the dispatcher finds a node, at once or later, and
 *  4. sends the job frame;
 *  5. `#stored`: the node has it; the outbox lets go, and the node is told `settled`;
 * 11. `#results`: the feedback comes back;
 * 12. the intake has the application's code run, then the node gets its ack.
 * No stage calls another.
 */
export class Distributor implements JobGateway {
  readonly listeners: JobListeners;
  readonly queries: ClusterQueries;
  readonly feedbacks: ParkedQueries;
  readonly schedules: ScheduleGateway;
  readonly pauses: PauseGateway;
  readonly keys: KeyGateway;
  readonly health: DistributorHealth;
  readonly #parts: DistributorParts;
  readonly #stages: DistributorStages;
  #storage: string | null = null;
  #isOpen = false;
  #ready: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(parts: DistributorParts) {
    this.#parts = parts;
    this.#stages = new DistributorStages(parts, {
      storage: () => this.#storage,
      open: () => this.#accepting(),
      accept: (jobs, distributor, submitter) => this.accept(jobs, distributor, submitter),
      cancel: (id, reason) => this.cancel(id, reason),
      find: (id) => this.find(id),
      joined: (node) => this.#joined(node),
      message: (node, message) => this.#message(node, message),
      lost: (node) => this.#lost(node),
      taken: (job) => this.#taken(job),
      keeps: (node, job, assignment) => this.#keeps(node, job, assignment),
    });
    this.listeners = this.#stages.listeners;
    this.queries = this.#stages.queries;
    this.feedbacks = this.#stages.parked;
    this.schedules = this.#stages.storedSchedules;
    this.pauses = this.#stages.pauses;
    this.keys = this.#stages.keys;
    this.health = this.#stages.health;
  }

  /** Opens the outbox and takes up what an earlier process left in it. @throws STORAGE */
  open(): Promise<void> {
    this.#ready ??= this.#open();
    return this.#ready;
  }

  /** Lets nodes in. @throws PORT_IN_USE, LISTEN_FAILED */
  async listen(): Promise<void> {
    await this.open();
    await this.#stages.listener.listen(this.#storage ?? 'memory', this.#stages.registry);
    this.#stages.runner.open();
    this.#stages.schedules.start();
  }

  address(): Promise<Address> {
    return this.#stages.listener.address();
  }

  nodes(): ConnectedNode[] {
    return [...this.#stages.registry.nodes()];
  }

  /** Lets go of nodes and outbox. Twice is safe. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  // 2
  accept(jobs: readonly NewJob[], _distributor?: string, submitter: string | null = null): Promise<Intake[]> {
    const take = (): Promise<Intake[]> => this.#stages.keyed.accept(jobs, submitter);
    return this.#isOpen && !this.#stopping ? take() : this.#accepting().then(take);
  }

  /** 2, and 3 once the caller's transaction has committed. */
  async acceptWithin(jobs: readonly NewJob[], manager: TransactionManager): Promise<Intake[]> {
    await this.#accepting();
    return this.#stages.keyed.acceptWithin(jobs, manager);
  }

  async #accepting(): Promise<void> {
    if (this.#stopping) throw new JobRejected('STOPPED', 'The distributor has stopped, the job was not enqueued.');
    await this.open();
  }

  /** @throws STORAGE */
  async cancel(id: string, reason: string): Promise<CancelAnswer> {
    const { held, window } = this.#stages;
    const waiting = held.waiting(id) ?? (await window.recall(id));
    if (waiting && (await this.#stages.endings.cancel(waiting, reason))) return 'cancelled';
    const answer = await this.#stages.questions.cancel(id, reason);
    // Its node may have refused it or be gone meanwhile, and it waits here again.
    const perhaps = answer === 'unknown' || answer === 'pending';
    const again = perhaps ? (held.waiting(id) ?? (await window.recall(id))) : undefined;
    return (again && (await this.#stages.endings.cancel(again, reason))) ?? answer;
  }

  find(id: string): Promise<FoundJob | null> {
    return this.#stages.questions.find(id);
  }

  // 5
  #stored(node: ConnectedNode, [id, assignment, mac]: StoredEntry): void {
    const job = this.#stages.held.get(id);
    const isVoid = job ? assignment < job.assignment : this.#stages.held.isVoid(id, assignment);
    if (isVoid) return node.send({ type: 'refuse', id, assignment, code: 'SUPERSEDED' });
    if (!this.#stages.proofs.admits(node, { id, mac, origin: null, job })) return;
    this.#stages.questions.seen(id, node);
    if (!job) {
      this.#stages.held.revived(id, assignment);
      return this.#stages.settled.add(node, id);
    }
    this.#keeps(node, job, assignment);
  }

  #keeps(node: ConnectedNode, job: HeldJob, assignment: number): void {
    const { id } = job.spec;
    if (job.state === 'confirmed' || job.state === 'kept') return;
    if (job.claim && this.#stages.shares(node)) return this.#taken(job, node);
    this.#stages.held.confirm(job, node.durable ? 'confirmed' : 'kept');
    this.#isStored(job.spec, job.holder === node.storage ? node.storage : null, assignment);
    if (!node.durable) return;
    const leaving = this.#stages.endings.letGo(job);
    if (leaving) void leaving.then(() => this.#stages.settled.add(node, id));
    else this.#stages.settled.add(node, id);
  }

  /** 5, by the row itself, which the outbox has no more: nobody has to let go of anything. */
  #taken(job: HeldJob, by?: ConnectedNode): void {
    this.#stages.held.remove(job);
    const { spec, assignment, holder } = job;
    this.#isStored(spec, by && holder === by.storage ? by.storage : null, assignment);
  }

  #isStored(spec: JobSpec, by: string | null, assignment: number): void {
    this.listeners.stored(spec.id, by);
    this.#stages.forwarder.stored(spec, assignment);
    // A million jobs for tomorrow must not take memory here for handles that are long gone.
    if (!isInstant(spec)) this.listeners.rest(spec.id);
  }

  // 11
  #results(node: ConnectedNode, message: Result): void {
    const feedback = feedbackFrom(message);
    const { results, intake, acks } = this.#stages;
    const done = results.arrived(node, feedback);
    if (done === null) return node.breaks('result came without credit');
    // 12
    const told = intake.take(node, feedback);
    if (told === null) return done();
    acks.when(feedback.id, told, node, done);
  }

  #joined(node: ConnectedNode): void {
    this.#stages.pauses.joined(node);
    this.#stages.dispatcher.joined(node);
    this.#stages.questions.joined(node);
    this.#stages.asked.joined(node);
    this.#stages.forwarder.joined(node);
    this.#stages.peers.joined(node);
  }

  #lost(node: ConnectedNode): void {
    this.#stages.asking.lost(node);
    this.#stages.questions.lost(node);
    this.#stages.asked.lost(node);
    if (this.#stopping) return;
    this.#stages.dispatcher.lost(node);
    this.#stages.forwarder.lost(node);
    this.#stages.peers.lost(node);
  }

  #message(node: ConnectedNode, message: Message): void {
    switch (message.type) {
      case 'credit':
        node.credit(message);
        return this.#stages.dispatcher.wake();
      case 'stored':
        for (const entry of message.jobs) this.#stored(node, entry);
        return;
      case 'result':
        return this.#results(node, message);
      case 'refuse':
        return this.#stages.dispatcher.refused(node, message);
      case 'result-ack':
        return this.#stages.forwarder.acknowledged(message.ids, node);
      case 'progress':
        return this.#stages.intake.progress(node, message);
      case 'pauses':
        return void this.#stages.pauses.heard(node, message);
      case 'key-freed':
        return void this.#stages.keys.freed(node, message);
      case 'places':
        return this.#stages.peers.places(node, message);
      case 'peer-lost':
        return this.#stages.peers.peerLost(node, message);
      case 'cancelled':
      case 'answer':
      case 'answered':
      case 'parked':
      case 'parked-answered':
        return this.#stages.asking.answered(node, message);
      default:
        return this.#stages.requests.heard(node, message);
    }
  }

  async #open(): Promise<void> {
    const { outbox, dispatcher } = this.#stages;
    this.#storage = await outbox.open();
    await this.#stages.pauses.load();
    for await (const page of outbox.left()) for (const job of page) dispatcher.takeUp(job);
    this.#isOpen = true;
    this.#stages.own.scan();
    this.#stages.peers.start();
  }

  async #stop(): Promise<void> {
    const { settings, emit } = this.#parts;
    this.#stages.dispatcher.stop();
    await this.#stages.schedules.stop();
    await this.#stages.listener.close();
    await this.#stages.acks.finish();
    const sayGoodbye = this.#stages.registry.stop();
    this.#stages.timers.stop();
    this.#stages.window.stop();
    this.#stages.endings.stop();
    this.#stages.own.stop();
    await this.#stages.acceptor.idle();
    await this.#stages.peers.stop();
    await this.#stages.outbox.close().finally(sayGoodbye);
    const lost = this.#stages.outbox.durable ? 0 : this.#stages.held.unconfirmed;
    emit({ event: 'distributor stopped', distributor: settings.name, lost });
  }
}
