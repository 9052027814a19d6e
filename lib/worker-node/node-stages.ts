import type { Clock } from '../clock.js';
import { isInstant, type StoredJob } from '../job/job.js';
import type { JobsSettings } from '../job-reactor.options.js';
import type { Message } from '../protocol/message.js';
import { GroupCommit } from '../storage/group-commit.js';
import type { JobStorage, JobWrite } from '../storage/job-storage.js';
import { StorageOpening } from '../storage/storage-opening.js';
import { DistributorLinks, type LinksParts } from './distributor-links.js';
import type { DistributorLink } from './distributor-link.js';
import { FeedbackReporter } from './feedback-reporter.js';
import { FreedKeys } from './freed-keys.js';
import { IdleWait } from './idle-wait.js';
import { GlobalPlaces } from './global-places.js';
import { JobAdopter } from './job-adopter.js';
import { JobAnswers } from './job-answers.js';
import { JobClearing } from './job-clearing.js';
import { JobCompleter, type Completed } from './job-completer.js';
import { JobControl } from './job-control.js';
import { JobExecutor, type AroundAttempt } from './job-executor.js';
import { JobReceiver } from './job-receiver.js';
import { JobRecoverer } from './job-recoverer.js';
import { JobScheduler, type SchedulerParts } from './job-scheduler.js';
import type { WaitingJob } from './waiting-jobs.js';
import { JobStarter } from './job-starter.js';
import { JobSubmitter } from './job-submitter.js';
import type { JobsHere } from './jobs-here.js';
import { LeaseLoss } from './lease-loss.js';
import { NodeHealth } from './node-health.js';
import { NodePauses } from './node-pauses.js';
import { NodeFacts } from './node-facts.js';
import { ProgressReporter } from './progress-reporter.js';
import { ReturningJobs } from './returning-jobs.js';
import type { JobThreads } from './threads/job-threads.js';
import { UnclaimedJobs } from './unclaimed-jobs.js';
import { UnrunJobs } from './unrun-jobs.js';

/** Everything a node is made of that is not its own: handed in, so that a simulation can hand in others. */
export interface WorkerNodeParts extends LinksParts, Pick<SchedulerParts, 'awaited' | 'gates'> {
  jobs: JobsSettings;
  storage: JobStorage;
  /** For jobs with `thread: true`; null: this node has no worker threads. */
  threads: JobThreads | null;
  /** Default: attempts run as they are. */
  around?: AroundAttempt;
}

/** Milliseconds a node has, once it has drained, to give back what it ran and to have its last results acknowledged. */
const LAST_WORDS_WITHIN = 2_000;

/** What the stages come back to the spine with. */
export interface NodeFlow {
  readonly here: JobsHere;
  /** Whether a job waits, is about to start or runs here. */
  known(id: string): boolean;
  /** The time of a job has come and it has a slot. */
  run(job: WaitingJob): void;
  /** A stored job is to wait on this node until its time comes. */
  schedule(job: StoredJob, settled: boolean): void;
  concluded(completed: Completed, settled: boolean): void;
  /** A copy was dropped without a word. */
  dropped(): void;
  /** A slot is free, or a job less is here. */
  rest(): void;
  opened(link: DistributorLink): void;
  closed(link: DistributorLink, instance: string): void;
  message(link: DistributorLink, message: Message): void;
}

/** The stages of a node, made and connected; who calls them and in which order is the spine's. */
export class NodeStages {
  readonly opening: StorageOpening;
  readonly commit: GroupCommit;
  readonly links: DistributorLinks;
  readonly receiver: JobReceiver;
  readonly starter: JobStarter;
  readonly unclaimed: UnclaimedJobs;
  readonly scheduler: JobScheduler;
  readonly executor: JobExecutor;
  readonly completer: JobCompleter;
  readonly reporter: FeedbackReporter;
  readonly recoverer: JobRecoverer;
  readonly adopter: JobAdopter;
  readonly leaseLoss: LeaseLoss;
  readonly answers: JobAnswers;
  readonly submitter: JobSubmitter;
  readonly facts: NodeFacts;
  readonly health: NodeHealth;
  readonly pauses: NodePauses;
  readonly places: GlobalPlaces;
  readonly keys = new FreedKeys(() => this.links.open());
  readonly progress: ProgressReporter;
  readonly unrun: UnrunJobs;
  readonly returning: ReturningJobs;
  readonly idle: IdleWait;
  readonly #clock: Clock;

  constructor(parts: WorkerNodeParts, flow: NodeFlow) {
    const { settings, storage, clock, emit, threads, instance } = parts;
    this.#clock = clock;
    const node = settings.name;
    const { running, arriving } = flow.here;
    const role = `node ${node}`;
    this.opening = new StorageOpening({ storage, owner: { role: 'node', name: node, instance }, role, clock, emit });
    // Of a job for later only that it is stored is waited for.
    const quiet = (write: JobWrite): boolean => write.kind === 'insert' && !isInstant(write.job);
    this.commit = new GroupCommit(storage, clock, { quiet });
    const common = { ...parts, node, commit: this.commit, running };
    this.facts = new NodeFacts(common);
    this.places = new GlobalPlaces({
      ...common,
      tell: (concerned) => storage.peers && this.links.places(storage.peers.database, concerned),
    });
    this.pauses = new NodePauses({ ...common, tell: (words, but) => this.links.pauses(words, but) });
    this.submitter = new JobSubmitter(node, instance, clock, emit, () => this.pauses.paused());
    this.receiver = new JobReceiver(common);
    const scheduler = new JobScheduler({
      ...common,
      places: this.places,
      limitsOf: (name) => parts.handlers.find(name)?.defaults,
      gates: [this.pauses, ...(parts.gates ?? [])],
      reserveThread: () => threads?.reserve() ?? false,
      mayStart: () => !this.reporter.isFull,
      start: (job) => flow.run(job),
      expired: (job) => void this.unrun.expired(job),
    });
    this.scheduler = scheduler;
    this.unclaimed = new UnclaimedJobs({ clock, scheduler });
    this.idle = new IdleWait(clock, () => running.size === 0 && scheduler.takenSlots === 0);
    this.executor = new JobExecutor(common);
    const completer = new JobCompleter(common);
    this.completer = completer;
    this.reporter = new FeedbackReporter({ ...common, heardMore: () => scheduler.wake() });
    const recoverer = new JobRecoverer({
      ...common,
      scheduler,
      recovered: (job) => this.returning.recovered(job),
      known: (id) => flow.known(id) || arriving.has(id),
    });
    this.recoverer = recoverer;
    this.adopter = new JobAdopter({
      ...common,
      adopted: (job, from) => this.returning.adopted(job, from),
      paused: () => this.pauses.isPaused,
      feedbacks: () => this.reporter.more(),
      gone: () => this.places.look(),
    });
    this.leaseLoss = new LeaseLoss({
      ...common,
      scheduler,
      recoverer,
      receiver: this.receiver,
      places: this.places,
      announce: (database, back) => this.links.peerLost(database, { name: node, instance }, back),
      back: (stored) => this.returning.back(stored),
    });
    const conclude = (completed: Completed, settled: boolean): void => flow.concluded(completed, settled);
    this.unrun = new UnrunJobs({ clock, completer, recoverer, facts: this.facts, conclude });
    const { facts, unrun } = this;
    this.starter = new JobStarter({ ...common, here: flow.here, scheduler, completer, recoverer, unrun, facts });
    this.answers = new JobAnswers({
      node,
      control: new JobControl({ ...common, scheduler, completer }),
      clearing: new JobClearing({ ...common, scheduler, completer }),
      parked: this.reporter.parked(),
      emit,
      arrived: async (id) => {
        this.unclaimed.flush();
        return id === undefined ? Promise.all(arriving.values()) : arriving.get(id);
      },
      ended: (completed) => flow.concluded(completed, false),
      retried: (job) => this.returning.retried(job),
      dropped: () => flow.dropped(),
    });
    this.progress = new ProgressReporter(clock, (job, value) => this.links.progress(job, value));
    this.links = new DistributorLinks(parts, {
      opened: (link) => flow.opened(link),
      closed: (link, closed) => flow.closed(link, closed),
      message: (link, message) => flow.message(link, message),
      drained: () => this.reporter.flush(),
    });
    const { adopter, reporter, links } = this;
    const others = { ...common, here: flow.here, scheduler, recoverer, adopter, unrun, reporter, links };
    this.returning = new ReturningJobs({
      ...others,
      known: (id) => flow.known(id),
      schedule: (job, settled) => flow.schedule(job, settled),
      rest: () => flow.rest(),
    });
    this.health = new NodeHealth({ ...common, opening: this.opening, links: this.links });
  }

  /** Nothing comes in any more, and nothing starts. Resolves when what is just being taken over has been. */
  takeNoMore(): Promise<void> {
    this.receiver.draining = true;
    this.unclaimed.flush();
    this.opening.stop();
    this.receiver.stop();
    this.leaseLoss.stop();
    const adopting = this.adopter.stop();
    this.links.drain();
    this.scheduler.pause();
    this.places.drain();
    return adopting;
  }

  /** What is not committed by now is left to whoever has the jobs next. */
  commitNoMore(): void {
    this.completer.stop();
    this.recoverer.stop();
  }

  /** Waits for what was interrupted to be given back, and for the last results to be acknowledged; not for long. */
  async lastWords(): Promise<void> {
    const until = this.#clock.monotonic() + LAST_WORDS_WITHIN;
    await this.idle.within(LAST_WORDS_WITHIN);
    await this.reporter.finish(until - this.#clock.monotonic());
    this.submitter.stop();
  }
}
