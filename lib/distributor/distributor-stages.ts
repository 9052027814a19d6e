import type { Clock } from '../clock.js';
import type { JobGateway, NewJob, Intake } from '../job/job-gateway.js';
import { JobListeners } from '../job/job-listeners.js';
import type { DeclaredSchedule } from '../job/declared-schedule.js';
import type { FeedbackRecord } from '../job/feedback-record.js';
import type { StoredJob } from '../job/job.js';
import type { Telemetry } from '../job/telemetry.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { DistributorSettings, JobsSettings } from '../job-reactor.options.js';
import type { Message } from '../protocol/message.js';
import type { JobStorage } from '../storage/job-storage.js';
import { ParkedFeedbacks, type ParkedParts } from '../storage/parked-feedbacks.js';
import { TimerQueue } from '../timer-queue.js';
import type { Transport } from '../transport/connection.js';
import { AskedNodes } from './asked-nodes.js';
import { ClusterPauses } from './cluster-pauses.js';
import { ClusterQueries } from './cluster-queries.js';
import type { ConnectedNode } from './connected-node.js';
import { DistributorHealth } from './distributor-health.js';
import { FeedbackRunner, type DeclaredFeedbacks, type Told } from './feedback-runner.js';
import type { HeldJob } from './held-job.js';
import { HeldJobs } from './held-jobs.js';
import { JobAcceptor } from './job-acceptor.js';
import { JobDispatcher } from './job-dispatcher.js';
import { JobEndings } from './job-endings.js';
import { JobKeys } from './job-keys.js';
import { KeyedAcceptance } from './keyed-acceptance.js';
import { JobProofs } from './job-proofs.js';
import { JobQuestions } from './job-questions.js';
import { JobRequests } from './job-requests.js';
import { JobSchedules } from './job-schedules.js';
import { NodeListener } from './node-listener.js';
import { NodeRegistry } from './node-registry.js';
import { NodeRequests } from './node-requests.js';
import { Outbox } from './outbox.js';
import { ParkedQueries } from './parked-queries.js';
import { ResultAcks } from './result-acks.js';
import { ResultBudget } from './result-budget.js';
import { ResultForwarder } from './result-forwarder.js';
import { ResultIntake } from './result-intake.js';
import { ScheduledJobs } from './scheduled-jobs.js';
import { StoredSchedules } from './stored-schedules.js';
import { OutboxPeers } from './outbox-peers.js';
import { OutboxWindow } from './outbox-window.js';
import { OwnFeedbacks } from './own-feedbacks.js';
import { TickBatch } from './tick-batch.js';
import { WaitingEdits } from './waiting-edits.js';

/** Everything a distributor is made of that is not its own: handed in, so that a simulation can hand in others. */
export interface DistributorParts {
  settings: DistributorSettings;
  jobs: JobsSettings;
  /** UUID of this process start. */
  instance: string;
  /** Null: the outbox is memory. */
  outbox: JobStorage | null;
  /** About so many jobs that wait are in memory whole, where the outbox has them too. */
  window?: number;
  declared: DeclaredFeedbacks;
  /** Default: none. */
  schedules?: () => readonly DeclaredSchedule[];
  /** Told of jobs that schedules enqueued. Default: nobody is. */
  scheduled?: (jobs: readonly NewJob[]) => void;
  /** Default: nothing is traced. */
  telemetry?: () => Telemetry | null;
  transport: Transport;
  clock: Clock;
  emit: EmitEvent;
}

/** About 10 MB of jobs with the args that most have, and some seconds of work for a few nodes. */
const WINDOW = 5_000;

/** What the stages come back to the spine with. */
export interface DistributorFlow extends Pick<JobGateway, 'cancel' | 'find'> {
  /** Storage id of the outbox, null for memory. */
  storage(): string | null;
  /** Resolves when the outbox is open. */
  open(): Promise<void>;
  accept(jobs: readonly NewJob[], distributor: undefined, submitter: string): Promise<Intake[]>;
  joined(node: ConnectedNode): void;
  message(node: ConnectedNode, message: Message): void;
  lost(node: ConnectedNode): void;
  /** A node that shares the outbox's database has its row. */
  taken(job: HeldJob): void;
  /** A node has the job, as the result that it brought says. */
  keeps(node: ConnectedNode, job: HeldJob, assignment: number): void;
}

/** The stages of a distributor, made and connected; who calls them and in which order is the spine's. */
export class DistributorStages {
  readonly listeners = new JobListeners();
  readonly held: HeldJobs;
  readonly timers: TimerQueue;
  readonly outbox: Outbox;
  readonly window: OutboxWindow;
  readonly health: DistributorHealth;
  readonly listener: NodeListener;
  readonly registry: NodeRegistry;
  readonly acceptor: JobAcceptor;
  readonly keys: JobKeys;
  readonly keyed: KeyedAcceptance;
  readonly proofs: JobProofs;
  readonly dispatcher: JobDispatcher;
  readonly runner: FeedbackRunner;
  readonly endings: JobEndings;
  readonly own: OwnFeedbacks;
  readonly asking: JobRequests;
  readonly questions: JobQuestions;
  readonly asked: AskedNodes;
  readonly queries: ClusterQueries;
  readonly pauses: ClusterPauses;
  readonly parked: ParkedQueries;
  readonly requests: NodeRequests;
  readonly forwarder: ResultForwarder;
  readonly settled: TickBatch;
  readonly acks: ResultAcks;
  readonly results = new ResultBudget();
  readonly intake: ResultIntake;
  readonly peers: OutboxPeers;
  readonly storedSchedules: StoredSchedules;
  readonly schedules: JobSchedules;

  constructor(parts: DistributorParts, flow: DistributorFlow) {
    const { settings, jobs, instance, declared, clock, emit } = parts;
    const distributor = settings.name;
    const storage = (): string | null => flow.storage();
    this.held = new HeldJobs({
      watch: (job) => this.endings.watch(job),
      window: parts.outbox ? (parts.window ?? WINDOW) : Infinity,
      beyond: (job) => {
        this.window.beyond(job);
        this.listeners.rest(job.spec.id);
      },
      room: () => this.window.room(),
    });
    const common = { distributor, instance, clock, emit, held: this.held, listeners: this.listeners };
    this.timers = new TimerQueue(clock, 'monotonic', false);
    const nodes = (): number => this.registry.size;
    const { dedupRetention, maxDeliveries } = jobs;
    const seal = (rows: readonly HeldJob[]): void => void (this.peers.id && this.proofs.seal(rows));
    this.outbox = new Outbox({ ...common, storage: parts.outbox, dedupRetention, nodes, seal });
    this.listener = new NodeListener(parts);
    this.health = new DistributorHealth({ listener: this.listener, outbox: this.outbox, held: this.held });
    this.runner = new FeedbackRunner({
      ...common,
      declared,
      ...(parts.telemetry ? { telemetry: parts.telemetry } : {}),
    });
    this.listeners.keepsMoment = (name) => this.runner.declares(name);
    this.registry = new NodeRegistry(
      { ...common, auth: settings.auth, storage, database: () => this.peers.id },
      {
        joined: (node) => flow.joined(node),
        message: (node, message) => flow.message(node, message),
        lost: (node) => flow.lost(node),
        drained: () => this.dispatcher.wake(),
      },
    );
    this.asking = new JobRequests(clock);
    const { outbox, registry, timers, asking: requests } = this;
    const stages = { ...common, outbox, registry, timers, requests };
    const tell = async (feedback: FeedbackRecord): Promise<Told> => this.intake.tell(feedback);
    const keeps = outbox.keeps.bind(outbox);
    this.own = new OwnFeedbacks({ ...common, rows: outbox.feedbacks, keeps, maxDeliveries, tell });
    this.endings = new JobEndings({
      ...stages,
      tell: (feedback) => this.own.deliver(feedback),
      toldInVain: (feedback, error) => this.own.toldInVain(feedback, error),
    });
    this.proofs = new JobProofs({ ...common, resultSecret: settings.resultSecret });
    this.dispatcher = new JobDispatcher({
      ...stages,
      sign: (node, job) => this.proofs.sign(node, job),
      committing: (id) => this.acceptor.committing(id),
      givenUp: (job) => this.endings.givenUp(job, this.questions.keptCancel(job)),
      shares: (node) => this.shares(node),
      paused: (name) => this.pauses.holds(name),
      taken: (job) => flow.taken(job),
    });
    this.acceptor = new JobAcceptor({
      ...stages,
      maxPending: settings.maxPending,
      origin: (submitter) => ({ distributor, instance, storage: flow.storage(), submitter }),
      mac: (id) => (this.peers.id === undefined ? undefined : this.proofs.mac(id)),
      declares: (name) => this.runner.declares(name),
      choose: (job) => this.dispatcher.choose(job),
      reused: (id) => {
        this.held.reused(id);
        this.runner.reused(id);
      },
      accepted: (job, node) => this.dispatcher.dispatch(job, node),
    });
    this.window = new OutboxWindow({
      ...stages,
      at: (time, run) => this.endings.at(time, run),
      settled: (ids) => this.acceptor.settled(ids),
      loaded: () => this.dispatcher.wake(),
      expired: (job) => this.endings.expire(job),
    });
    this.keys = new JobKeys({ outbox, held: this.held, proofs: this.proofs, open: () => flow.open() });
    this.keyed = new KeyedAcceptance({
      keys: this.keys,
      acceptor: this.acceptor,
      edit: (id, edit) => this.queries.edit(id, edit),
      find: (id) => flow.find(id),
      listeners: this.listeners,
      clock,
    });
    const beyond = (id: string): Promise<StoredJob | null> => this.window.row(id);
    this.questions = new JobQuestions({ ...stages, sent: (id) => this.dispatcher.sent(id), beyond });
    this.asked = new AskedNodes(registry);
    this.pauses = new ClusterPauses({
      ...stages,
      asked: this.asked,
      open: () => flow.open(),
      changed: () => this.dispatcher.wake(),
    });
    this.queries = new ClusterQueries({
      ...stages,
      asked: this.asked,
      storage,
      sent: () => this.dispatcher.allSent(),
      leaving: (id) => this.dispatcher.leaving(id),
      edits: new WaitingEdits({
        ...stages,
        recall: (id) => this.window.recall(id),
        settled: (ids) => this.acceptor.settled(ids),
        wake: () => this.dispatcher.wake(),
      }),
      window: this.window,
      cancelWaiting: (job, reason) => this.endings.cancel(job, reason),
      retried: (id, origin) => this.forwarder.retried(id, origin),
    });
    const again: ParkedParts['again'] = (feedbacks) => this.own.again(feedbacks);
    const own = new ParkedFeedbacks({ node: null, rows: outbox.feedbacks, clock, dedupRetention, again });
    this.parked = new ParkedQueries({ asked: this.asked, requests, own });
    this.requests = new NodeRequests({
      parked: this.parked,
      accept: (accepted, submitter) => flow.accept(accepted, undefined, submitter),
      follow: (winner, submitter) => this.forwarder.follow(winner, submitter),
      cancel: (id, reason) => flow.cancel(id, reason),
      find: (id) => flow.find(id),
      queries: this.queries,
    });
    this.forwarder = new ResultForwarder(registry, timers);
    this.settled = new TickBatch(clock, (node, ids) => node.send({ type: 'settled', ids }));
    this.acks = new ResultAcks(clock);
    const { endings, proofs, keys, runner, forwarder } = this;
    const told = { ...common, endings, proofs, keys, runner, forwarder };
    this.intake = new ResultIntake({ ...told, keeps: (node, job, assignment) => flow.keeps(node, job, assignment) });
    this.peers = new OutboxPeers({
      ...stages,
      storage: parts.outbox,
      committing: (id) => this.acceptor.committing(id),
      adopted: (job) => this.dispatcher.takeUp(job),
      ended: () => this.own.scan(),
      gone: () => this.schedules.takeUp(),
    });
    const runs = new ScheduledJobs({ declared: () => parts.schedules?.() ?? [], jobs, clock });
    this.storedSchedules = new StoredSchedules({
      ...common,
      rows: () => outbox.schedules,
      open: () => flow.open(),
      draft: (schedule) => runs.draft(schedule),
      changed: (schedule) => this.schedules.keep(schedule),
      gone: (id) => this.schedules.forget(id),
    });
    this.schedules = new JobSchedules({
      ...common,
      stored: this.storedSchedules,
      runs,
      accept: async (accepted, commit) => {
        const accept = (): Promise<Intake[] | 'stale'> => this.acceptor.acceptWith(accepted, commit);
        const telemetry = accepted.length > 0 ? parts.telemetry?.() : null;
        const answers = await (telemetry ? telemetry.scheduled(accepted, accept) : accept());
        if (answers !== 'stale') parts.scheduled?.(accepted.filter((_, i) => answers[i] === 'accepted'));
        return answers;
      },
    });
  }

  /** Whether the node's storage is in the database the outbox is in. */
  shares({ database }: ConnectedNode): boolean {
    return database !== undefined && database === this.peers.id;
  }
}
