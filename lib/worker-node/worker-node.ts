import type { StoredJob } from '../job/job.js';
import { JobInterrupted } from '../job/job.errors.js';
import type { JobMessage, RefuseCode } from '../protocol/job-messages.js';
import type { Message } from '../protocol/message.js';
import type { DistributorLink } from './distributor-link.js';
import type { Completed } from './job-completer.js';
import type { WaitingJob } from './waiting-jobs.js';
import { JobsHere } from './jobs-here.js';
import { NodeStages, type WorkerNodeParts } from './node-stages.js';
import type { RunningJob } from './running-jobs.js';
export type { WorkerNodeParts };

/**
 * The spine of the worker node; the numbers are those of DESIGN "the way of one job":
 *  5. `#receive`: the receiver commits the job, then it is called stored; where a slot is free, with step 7 in one commit;
 *  6. else it is handed to the scheduler, which calls `#run` when its time has come and a slot is free;
 *  7. the starter commits that an attempt begins;
 *  8. the executor runs it and says how it ended;
 *  9. the completer commits what follows: again (back to 6, the only loop) or the end;
 * 10. the reporter brings the feedback to the application. No stage calls another.
 */
export class WorkerNode {
  readonly submitter: NodeStages['submitter'];
  readonly health: NodeStages['health'];
  readonly #parts: WorkerNodeParts;
  readonly #stages: NodeStages;
  readonly #here = new JobsHere();
  #stopping: Promise<void> | undefined;

  constructor(parts: WorkerNodeParts) {
    this.#parts = parts;
    this.#stages = new NodeStages(parts, {
      here: this.#here,
      known: (id) => this.#known(id),
      run: (job) => void this.#run(job),
      schedule: (job, settled) => this.#schedule(job, settled),
      concluded: (completed, settled) => this.#conclude(completed, settled),
      dropped: () => this.#gone(),
      rest: () => this.#rest(),
      opened: (link) => this.#opened(link),
      closed: (link, instance) => this.#closed(link, instance),
      message: (link, message) => this.#message(link, message),
    });
    this.submitter = this.#stages.submitter;
    this.health = this.#stages.health;
  }

  /**
   * Opens the storage, waiting for one that is away, reads what is unfinished, starts what is due and dials the
   * distributors. @throws STORAGE
   */
  async start(): Promise<void> {
    const { storage, handlers, threads } = this.#parts;
    const { opening, recoverer } = this.#stages;
    await threads?.start(handlers, () => this.#stages.scheduler.wake());
    if (this.#stopping) return;
    const { id } = await opening.open();
    await opening.read(() => this.#stages.pauses.load());
    await opening.read(() => this.#stages.places.start());
    this.#here.stored = await opening.read(() => storage.countUnfinished());
    const recovered = await opening.read(() => recoverer.start());
    this.#stages.reporter.start();
    this.#stages.facts.started(storage.driverName ?? 'memory', handlers.names(), recovered);
    if (this.#stopping) return;
    this.#stages.leaseLoss.start();
    this.#stages.scheduler.resume();
    this.#stages.links.start({ id, durable: storage.durable }, storage.peers?.database);
    this.#stages.adopter.start();
  }

  /**
   * Drains: takes no more jobs, lets running ones end within `drainTimeout`, interrupts the rest (their attempt does not
   * count), then closes connections and storage. Twice is safe.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** A stop, now or later, waits for nobody: what runs is interrupted and given back, without a spent attempt. */
  hurry(): void {
    const { settings, emit } = this.#parts;
    if (this.#stages.idle.hurry())
      emit({ event: 'stop hurried', node: settings.name, running: this.#here.running.size });
  }

  // 5
  async #receive(link: DistributorLink, message: JobMessage): Promise<void> {
    const { id } = message.job;
    if (this.#here.arriving.has(id) || link.hasRefused(id, message.assignment)) return;
    const taken = this.#stages.unclaimed.turn(message, () => {
      this.#here.arriving.delete(id);
      return this.#take(link, message);
    });
    if (taken && !this.#here.arriving.has(id)) this.#here.arriving.set(id, taken);
    await (taken ?? this.#take(link, message));
  }

  async #take(link: DistributorLink, message: JobMessage): Promise<void> {
    const { job, assignment } = message;
    const { id } = job;
    const { receiver, recoverer, starter, links } = this.#stages;
    const claim = message.claim === true;
    const known = this.#known(id);
    const refuse = (code: RefuseCode): void => {
      link.refuse(id, assignment, code);
    };
    const code = receiver.refuses(message, this.#here.stored, known);
    if (code) return refuse(code);
    const arrived = receiver.row(message);
    const starting = known ? null : starter.onArrival(arrived, claim);
    const arriving = receiver.store(starting ? starting.begun : arrived, claim, known);
    this.#here.arriving.set(id, arriving);
    const received = await arriving;
    this.#here.arriving.delete(id);
    const stored = 'stored' in received ? received.stored : null;
    if (stored) this.#here.stored++;
    const runs = starting && starter.arrived(starting, stored);
    if ('refused' in received) return refuse(received.refused);
    links.stored(link, id, assignment);
    if (runs) starter.afterAck(starting, () => void this.#attempt(starting.waiting, starting.running));
    else if (stored && recoverer.admits(stored)) this.#schedule(stored, claim);
  }

  #known(id: string): boolean {
    return this.#here.hasBegun(id) || this.#stages.scheduler.get(id) !== undefined;
  }

  // 6
  #schedule(job: StoredJob, settled: boolean): void {
    if (this.#here.hasBegun(job.id)) return; // Its row was read while it was on its way here.
    const { handlers, threads } = this.#parts;
    const thread = this.#stages.completer.thread(job);
    if (!handlers.find(job.name) || (thread && !threads))
      return this.#stages.facts.parked(job.name, thread && !threads);
    this.#stages.scheduler.add(job, { settled, thread, alone: this.#stages.completer.isLastChance(job) });
  }

  // 7
  async #run(waiting: WaitingJob): Promise<void> {
    const running = await this.#stages.starter.begin(waiting);
    if (this.#here.starting.size > 0) this.#here.starting.delete(waiting.id);
    if (running) return void this.#attempt(waiting, running);
    this.#stages.starter.notBegun(waiting);
    void this.#stages.returning.lookAgain(waiting.id);
    this.#rest();
  }

  // 8, 9
  async #attempt(waiting: WaitingJob, running: RunningJob): Promise<void> {
    const { job } = running;
    this.#stages.keys.began(job);
    const outcome = await this.#stages.executor.execute({
      running,
      handler: this.#parts.handlers.find(job.name)!,
      policy: () => this.#stages.completer.policy(job),
      timeout: this.#stages.completer.timeout(job),
      progress: (value) => this.#stages.progress.tell(running, value),
      threads: waiting.thread ? this.#parts.threads : null,
    });
    this.#stages.progress.ended(running);
    this.#stages.scheduler.freeSlot(waiting);
    this.#stages.unclaimed.fill();
    const completed = await this.#stages.completer.complete(job, outcome, () => running.settled).catch(() => null);
    this.#here.running.delete(job.id);
    if (outcome.kind === 'failed') this.#stages.facts.failed(job, outcome.thrown, completed);
    if (completed) this.#conclude(completed, running.settled);
    else void this.#stages.returning.lookAgain(job.id);
    this.#rest();
  }

  // 9 to 6 again, or 10
  #conclude({ transition, feedback, kept }: Completed, settled: boolean): void {
    if (feedback) this.#stages.reporter.report(feedback, kept);
    if (transition.kind === 'again') return this.#schedule(transition.job, settled);
    this.#stages.keys.ended(transition.job);
    this.#gone();
  }

  #gone(): void {
    this.#here.stored--;
    this.#rest();
  }

  #rest(): void {
    this.#stages.unclaimed.fill();
    this.#stages.recoverer.refill();
    this.#grant();
    this.#stages.idle.look();
  }

  /** What every distributor may send: free slots and prefetch, less what waits already. */
  #grant(): void {
    const { concurrency, prefetch, maxStored } = this.#parts.settings;
    const waiting = this.#stages.scheduler.busySlots + this.#stages.scheduler.readyCount + this.#here.queueing;
    this.#stages.links.grant(Math.max(0, concurrency + prefetch - waiting), Math.max(0, maxStored - this.#here.stored));
  }

  #opened(link: DistributorLink): void {
    this.#grant();
    this.#stages.adopter.look();
    this.#stages.pauses.opened(link);
    this.#stages.keys.opened(link);
    this.#stages.reporter.opened(link);
    this.submitter.opened(link);
  }

  #closed(link: DistributorLink, instance: string): void {
    this.#stages.reporter.closed(link, instance);
    this.#stages.adopter.closed(link);
    // Its distributor may be gone for good, and nobody else would look for them so soon.
    this.#stages.unclaimed.flush();
    this.submitter.closed(link);
  }

  #message(link: DistributorLink, message: Message): void {
    switch (message.type) {
      case 'job':
        return void this.#stages.links.receiving(link, message, this.#receive(link, message)).then(() => this.#grant());
      case 'settled':
        return this.#stages.answers.settled(message.ids);
      case 'refuse':
        return void this.#stages.answers.superseded(message.id);
      case 'result-ack':
      case 'result-credit':
      case 'undelivered':
        return this.#stages.reporter.message(link, message);
      case 'cancel':
        return void this.#stages.answers.cancel(link, message);
      case 'query':
      case 'parked-query':
        return void this.#stages.answers.query(link, message);
      case 'edit':
        return void this.#stages.answers.edit(link, message);
      case 'peer-lost':
        return this.#stages.adopter.heard(message, link);
      case 'places':
        return this.#stages.places.look();
      case 'pauses':
        return void this.#stages.pauses.heard(link, message);
      default:
        return this.submitter.message(link, message);
    }
  }

  async #stop(): Promise<void> {
    const { settings, emit, storage, threads } = this.#parts;
    emit({ event: 'node draining', node: settings.name, running: this.#here.running.size });
    const adopting = this.#stages.takeNoMore();
    await this.#stages.idle.patiently(settings.drainTimeout);
    const released = this.#here.running.size;
    this.#stages.commitNoMore();
    for (const running of this.#here.running.values()) running.abort(new JobInterrupted());
    await threads?.stop();
    await this.#stages.lastWords();
    await adopting;
    await this.#stages.commit.idle();
    await this.#stages.places.stop();
    // Before the goodbye: whoever hears of it may take over at once.
    await storage.close();
    this.#stages.links.stop();
    emit({ event: 'node stopped', node: settings.name, released });
  }
}
