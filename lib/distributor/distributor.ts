import type { Clock } from '../clock.js';
import type { CancelAnswer } from '../job/job-control.js';
import type { FoundJob } from '../job/found-job.js';
import type { Intake, JobGateway, NewJob } from '../job/job-gateway.js';
import { JobListeners } from '../job/job-listeners.js';
import { JobRejected } from '../job/job.errors.js';
import type { FeedbackRecord } from '../job/job.js';
import type { TransactionManager } from '../job/transaction-manager.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { DistributorSettings, JobsSettings } from '../job-reactor.options.js';
import type { Message } from '../protocol/message.js';
import { feedbackFrom } from '../protocol/result-message.js';
import type { JobStorage } from '../storage/job-storage.js';
import { TimerQueue } from '../timer-queue.js';
import type { Address, Transport } from '../transport/connection.js';
import { ClusterQueries } from './cluster-queries.js';
import type { ConnectedNode } from './connected-node.js';
import { FeedbackRunner, type DeclaredFeedbacks } from './feedback-runner.js';
import { HeldJobs } from './held-jobs.js';
import { JobAcceptor } from './job-acceptor.js';
import { JobDispatcher } from './job-dispatcher.js';
import { JobEndings } from './job-endings.js';
import { JobQuestions } from './job-questions.js';
import { JobRequests } from './job-requests.js';
import { NodeListener } from './node-listener.js';
import { NodeRegistry } from './node-registry.js';
import { NodeRequests } from './node-requests.js';
import { Outbox } from './outbox.js';
import { ResultAcks } from './result-acks.js';
import { ResultForwarder } from './result-forwarder.js';
import { TickBatch } from './tick-batch.js';

/** Everything a distributor is made of that is not its own: handed in, so that a simulation can hand in others. */
export interface DistributorParts {
  settings: DistributorSettings;
  jobs: JobsSettings;
  /** UUID of this process start. */
  instance: string;
  /** Null: the outbox is memory. */
  outbox: JobStorage | null;
  declared: DeclaredFeedbacks;
  transport: Transport;
  clock: Clock;
  emit: EmitEvent;
}

/**
 * The spine of the distributor; the numbers are those of DESIGN "the way of one job":
 *  2. `accept`: the acceptor has the outbox keep the job, then enqueue resolves;
 *  3. the dispatcher finds a node, at once or later, and
 *  4. sends the job frame;
 *  5. `#stored`: the node has it; the outbox lets go, and the node is told `settled`;
 * 11. `#result`: the feedback comes back,
 * 12. the application's code runs, then the node gets its ack.
 * No stage calls another.
 */
export class Distributor implements JobGateway {
  readonly listeners = new JobListeners();
  readonly queries: ClusterQueries;
  readonly #parts: DistributorParts;
  readonly #held = new HeldJobs((job) => this.#endings.watch(job));
  readonly #outbox: Outbox;
  readonly #listener: NodeListener;
  readonly #registry: NodeRegistry;
  readonly #acceptor: JobAcceptor;
  readonly #dispatcher: JobDispatcher;
  readonly #runner: FeedbackRunner;
  readonly #endings: JobEndings;
  readonly #asking: JobRequests;
  readonly #questions: JobQuestions;
  readonly #requests: NodeRequests;
  readonly #forwarder: ResultForwarder;
  readonly #timers: TimerQueue;
  readonly #settled: TickBatch;
  readonly #acks: ResultAcks;
  #storage: string | null = null;
  #ready: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(parts: DistributorParts) {
    const { settings, jobs, instance, outbox, declared, clock, emit } = parts;
    const distributor = settings.name;
    this.#parts = parts;
    const common = { distributor, instance, clock, emit, held: this.#held, listeners: this.listeners };
    this.#timers = new TimerQueue(clock, 'monotonic', false);
    this.#outbox = new Outbox({ ...common, storage: outbox, dedupRetention: jobs.dedupRetention });
    this.#listener = new NodeListener(parts);
    this.#runner = new FeedbackRunner({ ...common, declared });
    this.#registry = new NodeRegistry(
      { ...common, auth: settings.auth, storage: () => this.#storage },
      {
        joined: (node) => this.#joined(node),
        message: (node, message) => this.#message(node, message),
        lost: (node) => this.#lost(node),
        drained: () => this.#dispatcher.wake(),
      },
    );
    const requests = new JobRequests(clock);
    this.#asking = requests;
    const stages = { ...common, outbox: this.#outbox, registry: this.#registry, timers: this.#timers, requests };
    this.#endings = new JobEndings({ ...stages, tell: (feedback) => this.#tell(feedback) });
    this.#dispatcher = new JobDispatcher({
      ...stages,
      givenUp: (job) => this.#endings.givenUp(job, this.#questions.keptCancel(job)),
    });
    this.#acceptor = new JobAcceptor({
      ...stages,
      maxPending: settings.maxPending,
      origin: (submitter) => ({ distributor, instance, storage: this.#storage, submitter }),
      declares: (name) => this.#runner.declares(name),
      choose: (job) => this.#dispatcher.choose(job),
      accepted: (job, node) => this.#dispatcher.dispatch(job, node),
    });
    this.#questions = new JobQuestions({ ...stages, sent: (id) => this.#dispatcher.sent(id) });
    this.queries = new ClusterQueries({
      ...stages,
      storage: () => this.#storage,
      sent: () => this.#dispatcher.allSent(),
      cancelWaiting: (job, reason) => this.#endings.cancel(job, reason),
      retried: (id, origin) => this.#forwarder.retried(id, origin),
    });
    this.#requests = new NodeRequests({
      accept: (jobs, submitter) => this.accept(jobs, undefined, submitter),
      cancel: (id, reason) => this.cancel(id, reason),
      find: (id) => this.find(id),
      queries: this.queries,
    });
    this.#forwarder = new ResultForwarder(this.#registry, this.#timers);
    this.#settled = new TickBatch(clock, (node, ids) => node.send({ type: 'settled', ids }));
    this.#acks = new ResultAcks(clock);
  }

  /** Opens the outbox and takes up what an earlier process left in it. @throws STORAGE */
  open(): Promise<void> {
    this.#ready ??= this.#open();
    return this.#ready;
  }

  /** Lets nodes in. @throws PORT_IN_USE, LISTEN_FAILED */
  async listen(): Promise<void> {
    await this.open();
    await this.#listener.listen(this.#storage ?? 'memory', this.#registry);
    this.#runner.open();
  }

  /** Where a node of the same process finds it, once it listens. */
  address(): Promise<Address> {
    return this.#listener.address();
  }

  nodes(): ConnectedNode[] {
    return [...this.#registry.nodes()];
  }

  /** Jobs that no node has stored, and how many of them wait for a node. */
  backlog(): { unconfirmed: number; pending: number; byName: Map<string, number> } {
    const { pending } = this.#held;
    return { unconfirmed: this.#held.unconfirmed, pending: pending.size, byName: pending.names() };
  }

  /** Lets go of nodes and outbox. Twice is safe. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  // 2
  async accept(jobs: readonly NewJob[], _distributor?: string, submitter: string | null = null): Promise<Intake[]> {
    await this.#accepting();
    return this.#acceptor.accept(jobs, submitter);
  }

  /** 2, and 3 once the caller's transaction has committed. */
  async acceptWithin(jobs: readonly NewJob[], manager: TransactionManager): Promise<Intake[]> {
    await this.#accepting();
    return this.#acceptor.acceptWithin(jobs, manager);
  }

  async #accepting(): Promise<void> {
    if (this.#stopping) throw new JobRejected('STOPPED', 'The distributor has stopped, the job was not enqueued.');
    await this.open();
  }

  async cancel(id: string, reason: string): Promise<CancelAnswer> {
    const waiting = this.#held.waiting(id);
    if (waiting) return this.#endings.cancel(waiting, reason);
    const answer = await this.#questions.cancel(id, reason);
    // Its node may have refused it or be gone meanwhile, and it waits here again.
    const again = answer === 'unknown' || answer === 'pending' ? this.#held.waiting(id) : undefined;
    return again ? this.#endings.cancel(again, reason) : answer;
  }

  find(id: string): Promise<FoundJob | null> {
    return this.#questions.find(id);
  }

  // 5
  async #stored(node: ConnectedNode, id: string, assignment: number): Promise<void> {
    const job = this.#held.get(id);
    const isVoid = job ? assignment < job.assignment : this.#held.isVoid(id, assignment);
    if (isVoid) return node.send({ type: 'refuse', id, assignment, code: 'SUPERSEDED' });
    this.#questions.seen(id, node.storage);
    if (!job) {
      this.#held.revived(id, assignment);
      return this.#settled.add(node, id);
    }
    if (job.state === 'confirmed' || job.state === 'kept') return;
    this.#held.confirm(job, node.durable ? 'confirmed' : 'kept');
    this.listeners.stored(id);
    this.#forwarder.stored(job.spec, assignment);
    if (!node.durable) return;
    await this.#endings.letGo(job);
    this.#settled.add(node, id);
  }

  // 11, 12
  async #result(node: ConnectedNode, feedback: FeedbackRecord): Promise<string | null> {
    const { id, jobId, final, assignment } = feedback;
    const job = this.#held.get(jobId);
    if (this.#held.isRepeat(jobId, assignment)) return id;
    if (!(await this.#tell(feedback))) return null;
    if (final) {
      this.#held.ended(jobId, Math.max(assignment, job?.assignment ?? 0));
      this.#questions.forget(jobId);
      if (job) await this.#endings.end(job, node);
    }
    return id;
  }

  async #tell(feedback: FeedbackRecord): Promise<boolean> {
    return (await Promise.all([this.#forwarder.result(feedback), this.#runner.run(feedback)])).every(Boolean);
  }

  #joined(node: ConnectedNode): void {
    this.#dispatcher.joined(node);
    this.#questions.joined(node);
    this.queries.joined(node);
    this.#forwarder.joined(node);
  }

  #lost(node: ConnectedNode): void {
    this.#asking.lost(node);
    this.#questions.lost(node);
    this.queries.lost(node);
    if (!this.#stopping) this.#dispatcher.lost(node);
  }

  #message(node: ConnectedNode, message: Message): void {
    switch (message.type) {
      case 'credit':
        node.credit(message);
        return this.#dispatcher.wake();
      case 'stored':
        for (const [id, assignment] of message.jobs) void this.#stored(node, id, assignment);
        return;
      case 'result':
        return this.#acks.when(this.#result(node, feedbackFrom(message)), node);
      case 'refuse':
        return this.#dispatcher.refused(node, message);
      case 'submit':
        return void this.#requests.submit(node, message);
      case 'result-ack':
        return this.#forwarder.acknowledged(message.ids);
      case 'progress':
        this.listeners.progress(message.id, message.value);
        return this.#forwarder.progress(message.id, message.value);
      case 'cancel':
        return void this.#requests.cancel(node, message);
      case 'query':
        return void this.#requests.query(node, message);
      case 'cancelled':
      case 'answer':
      case 'answered':
        return this.#asking.answered(node, message);
      default:
        return;
    }
  }

  async #open(): Promise<void> {
    const { id, left, ended } = await this.#outbox.open();
    this.#storage = id;
    for (const job of left) this.#dispatcher.takeUp(job);
    for (const feedback of ended) void this.#endings.tell(feedback);
  }

  async #stop(): Promise<void> {
    const { settings, emit } = this.#parts;
    this.#dispatcher.stop();
    await this.#listener.close();
    await this.#acks.finish();
    this.#registry.stop();
    this.#timers.stop();
    this.#endings.stop();
    await this.#acceptor.idle();
    await this.#outbox.close();
    const lost = this.#outbox.durable ? 0 : this.#held.unconfirmed;
    emit({ event: 'distributor stopped', distributor: settings.name, lost });
  }
}
