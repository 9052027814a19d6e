import type { StoredJob } from '../job/job.js';
import { JobInterrupted } from '../job/job.errors.js';
import type { JobsSettings } from '../job-reactor.options.js';
import type { JobMessage, Message } from '../protocol/message.js';
import { GroupCommit } from '../storage/group-commit.js';
import type { JobStorage } from '../storage/job-storage.js';
import { DistributorLinks, type LinksParts } from './distributor-links.js';
import type { DistributorLink } from './distributor-link.js';
import { FeedbackReporter } from './feedback-reporter.js';
import { IdleWait } from './idle-wait.js';
import { JobAnswers } from './job-answers.js';
import { JobClearing } from './job-clearing.js';
import { JobCompleter, type Completed } from './job-completer.js';
import { JobControl } from './job-control.js';
import { JobExecutor } from './job-executor.js';
import { JobReceiver } from './job-receiver.js';
import { JobRecoverer } from './job-recoverer.js';
import { JobScheduler, type SchedulerParts, type WaitingJob } from './job-scheduler.js';
import { JobSubmitter } from './job-submitter.js';
import { NodeFacts } from './node-facts.js';
import { ProgressReporter } from './progress-reporter.js';
import { RunningJob } from './running-jobs.js';
import type { JobThreads } from './threads/job-threads.js';
import { UnrunJobs } from './unrun-jobs.js';

/** Everything a node is made of that is not its own: handed in, so that a simulation can hand in others. */
export interface WorkerNodeParts extends LinksParts, Pick<SchedulerParts, 'awaited'> {
  jobs: JobsSettings;
  storage: JobStorage;
  /** For jobs with `thread: true`; null: this node has no worker threads. */
  threads: JobThreads | null;
}

/** Milliseconds a stopping node waits for the application to acknowledge the last results. */
const LAST_ACKS_WITHIN = 2_000;

/**
 * The spine of the worker node; the numbers are those of DESIGN "the way of one job":
 *  5. `#receive`: the receiver commits the job, then it is called stored;
 *  6. it is handed to the scheduler, which calls `#run` when its time has come and a slot is free;
 *  7. the completer commits that an attempt begins;
 *  8. the executor runs it and says how it ended;
 *  9. the completer commits what follows: again (back to 6, the only loop) or the end;
 * 10. the reporter brings the feedback to the application.
 * No stage calls another.
 */
export class WorkerNode {
  readonly submitter: JobSubmitter;
  readonly #parts: WorkerNodeParts;
  readonly #commit: GroupCommit;
  readonly #running = new Map<string, RunningJob>();
  readonly #links: DistributorLinks;
  readonly #receiver: JobReceiver;
  readonly #scheduler: JobScheduler;
  readonly #executor: JobExecutor;
  readonly #completer: JobCompleter;
  readonly #reporter: FeedbackReporter;
  readonly #recoverer: JobRecoverer;
  readonly #answers: JobAnswers;
  readonly #facts: NodeFacts;
  readonly #progress: ProgressReporter;
  readonly #unrun: UnrunJobs;
  readonly #idle: IdleWait;
  /** Jobs on their way into the storage: one sent twice is stored and answered once, a cancel waits for it. */
  readonly #arriving = new Map<string, Promise<unknown>>();
  #stored = 0;
  #stopping: Promise<void> | undefined;

  constructor(parts: WorkerNodeParts) {
    const { settings, storage, clock, emit, threads } = parts;
    const node = settings.name;
    const commit = new GroupCommit(storage, clock);
    const common = { ...parts, node, commit, running: this.#running };
    this.#parts = parts;
    this.#commit = commit;
    this.#facts = new NodeFacts(common);
    this.submitter = new JobSubmitter(node, parts.instance, clock, emit);
    this.#receiver = new JobReceiver(common);
    const start = (job: WaitingJob): void => void this.#run(job);
    const expired = (job: WaitingJob): void => void this.#unrun.expired(job);
    const reserveThread = (): boolean => threads?.reserve() ?? false;
    const scheduler = new JobScheduler({ ...common, reserveThread, start, expired });
    this.#scheduler = scheduler;
    this.#idle = new IdleWait(clock, () => this.#running.size === 0 && scheduler.takenSlots === 0);
    this.#executor = new JobExecutor(common);
    const completer = new JobCompleter(common);
    this.#completer = completer;
    this.#reporter = new FeedbackReporter(common);
    this.#recoverer = new JobRecoverer({
      ...common,
      scheduler,
      // Rows an earlier process left; what it ran when it died has crashed.
      recovered: async (job) => (job.status === 'running' ? this.#unrun.crashed(job) : this.#schedule(job, false)),
      known: (id) => this.#known(id),
    });
    const conclude = (completed: Completed, settled: boolean): void => this.#conclude(completed, settled);
    this.#unrun = new UnrunJobs({ clock, completer, recoverer: this.#recoverer, facts: this.#facts, conclude });
    this.#answers = new JobAnswers({
      node,
      control: new JobControl({ ...common, scheduler, completer }),
      clearing: new JobClearing({ ...common, scheduler, completer }),
      emit,
      arrived: async (id) => (id === undefined ? Promise.all(this.#arriving.values()) : this.#arriving.get(id)),
      ended: (completed) => this.#conclude(completed, false),
      retried: (job) => this.#retried(job),
      dropped: () => this.#gone(),
    });
    this.#progress = new ProgressReporter(clock, (job, value) => this.#links.progress(job, value));
    this.#links = new DistributorLinks(parts, {
      opened: (link) => this.#opened(link),
      closed: (link, instance) => this.#closed(link, instance),
      message: (link, message) => this.#message(link, message),
      drained: () => this.#reporter.flush(),
    });
  }

  /** Opens the storage, reads what is unfinished, starts what is due and dials the distributors. @throws STORAGE */
  async start(): Promise<void> {
    const { settings, instance, storage, handlers, threads } = this.#parts;
    await threads?.start(handlers, () => this.#scheduler.wake());
    if (this.#stopping) return;
    const { id } = await storage.open({ role: 'node', name: settings.name, instance });
    this.#stored = await storage.countUnfinished();
    const recovered = await this.#recoverer.start();
    await this.#reporter.start();
    this.#facts.started(storage.driverName ?? 'memory', handlers.names(), recovered);
    if (this.#stopping) return;
    this.#scheduler.resume();
    this.#links.start({ id, durable: storage.durable });
  }

  /**
   * Drains: takes no more jobs, lets running ones end within `drainTimeout`, interrupts the rest (their attempt does not
   * count), then closes connections and storage. Twice is safe.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  // 5
  async #receive(link: DistributorLink, message: JobMessage): Promise<void> {
    const { job, assignment } = message;
    const { id } = job;
    this.#links.count(link, job);
    if (this.#arriving.has(id) || link.refused.has(`${id} ${assignment}`)) return;
    const arriving = this.#receiver.receive(message, this.#stored, this.#known(id));
    this.#arriving.set(id, arriving);
    const received = await arriving;
    this.#arriving.delete(id);
    if ('refused' in received) {
      link.refused.add(`${id} ${assignment}`);
      return link.send({ type: 'refuse', id, assignment, code: received.refused });
    }
    this.#links.stored(link, id, assignment);
    if (!received.stored) return;
    this.#stored++;
    if (this.#recoverer.admits(received.stored)) this.#schedule(received.stored, false);
  }

  #known(id: string): boolean {
    return this.#running.has(id) || this.#scheduler.get(id) !== undefined;
  }

  // 6
  #schedule(job: StoredJob, settled: boolean): void {
    const { handlers, threads } = this.#parts;
    const thread = this.#completer.thread(job);
    if (!handlers.find(job.name) || (thread && !threads)) return this.#facts.parked(job.name, thread && !threads);
    this.#scheduler.add(job, { settled, thread, alone: this.#completer.isLastChance(job) });
  }

  // 7, 8, 9
  async #run(waiting: WaitingJob): Promise<void> {
    const running = await this.#begin(waiting).catch(() => null);
    if (!running) return this.#notStarted(waiting);

    const { job } = running;
    const outcome = await this.#executor.execute({
      running,
      handler: this.#parts.handlers.find(job.name)!,
      policy: this.#completer.policy(job),
      timeout: this.#completer.timeout(job),
      progress: (value) => this.#progress.tell(running, value),
      threads: waiting.thread ? this.#parts.threads : null,
    });
    this.#progress.ended(running);
    this.#scheduler.freeSlot(waiting);
    const completed = await this.#completer.complete(job, outcome, () => running.settled).catch(() => null);
    this.#running.delete(job.id);
    if (outcome.kind === 'failed') this.#facts.failed(job, outcome.thrown, completed);
    if (completed) this.#conclude(completed, running.settled);
    this.#rest();
  }

  // 9 to 6 again, or 10
  #conclude({ transition, feedback, kept }: Completed, settled: boolean): void {
    if (feedback) this.#reporter.report(feedback, kept);
    if (transition.kind === 'again') this.#schedule(transition.job, settled);
    else this.#gone();
  }

  #gone(): void {
    this.#stored--;
    this.#rest();
  }

  /** Null when the row is gone: cancelled or removed while it waited. */
  async #begin(waiting: WaitingJob): Promise<RunningJob | null> {
    const job = waiting.job ?? (await this.#recoverer.load(waiting.id));
    if (!job || (await this.#unrun.expires(job, waiting.settled))) return null;
    // Known as running before its commit, so that a cancel that comes in between finds it.
    const running = new RunningJob(job, waiting.settled);
    this.#running.set(job.id, running);
    const started = await this.#completer.begin(job);
    if (!started) return null;
    running.job = started;
    if (waiting.alone) this.#facts.runsAlone(started);
    return running;
  }

  /** From its end to 6 again: somebody wants it run once more. */
  #retried(job: StoredJob): void {
    this.#stored++;
    this.#links.retried(job);
    if (this.#recoverer.admits(job)) this.#schedule(job, true);
  }

  #notStarted(waiting: WaitingJob): void {
    this.#running.delete(waiting.id);
    if (waiting.thread) this.#parts.threads?.release();
    this.#scheduler.freeSlot(waiting);
    this.#rest();
  }

  #rest(): void {
    this.#recoverer.refill();
    this.#grant();
    this.#idle.look();
  }

  /** What every distributor may send: free slots and prefetch, less what waits already. */
  #grant(): void {
    const { concurrency, prefetch, maxStored } = this.#parts.settings;
    const waiting = this.#scheduler.busySlots + this.#scheduler.readyCount + this.#arriving.size;
    this.#links.grant(Math.max(0, concurrency + prefetch - waiting), Math.max(0, maxStored - this.#stored));
  }

  #opened(link: DistributorLink): void {
    this.#grant();
    this.#reporter.opened(link);
    this.submitter.opened(link);
  }

  #closed(link: DistributorLink, instance: string): void {
    this.#reporter.closed(link, instance);
    this.submitter.closed(link);
  }

  #message(link: DistributorLink, message: Message): void {
    switch (message.type) {
      case 'job':
        return void this.#receive(link, message).then(() => this.#grant());
      case 'settled':
        return this.#answers.settled(message.ids);
      case 'refuse':
        return void this.#answers.superseded(message.id);
      case 'result-ack':
        return void this.#reporter.acknowledged(message.ids);
      case 'cancel':
        return void this.#answers.cancel(link, message);
      case 'query':
        return void this.#answers.query(link, message);
      default:
        return this.submitter.message(link, message);
    }
  }

  async #stop(): Promise<void> {
    const { settings, emit, storage, threads } = this.#parts;
    emit({ event: 'node draining', node: settings.name, running: this.#running.size });
    this.#receiver.draining = true;
    this.#links.drain();
    this.#scheduler.pause();
    await this.#idle.within(settings.drainTimeout);
    const released = this.#running.size;
    this.#completer.stop();
    this.#recoverer.stop();
    for (const running of this.#running.values()) running.abort(new JobInterrupted());
    await threads?.stop();
    await this.#idle.within(LAST_ACKS_WITHIN);
    await this.#reporter.settledWithin(LAST_ACKS_WITHIN);
    this.#reporter.stop();
    this.submitter.stop();
    this.#links.stop();
    await this.#commit.idle();
    await storage.close();
    emit({ event: 'node stopped', node: settings.name, released });
  }
}
