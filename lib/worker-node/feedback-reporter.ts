import type { Clock } from '../clock.js';
import { undelivered, type FeedbackRecord, type KeptFeedback } from '../job/feedback-record.js';
import type { EmitEvent } from '../job-reactor.events.js';
import type { JobsSettings } from '../job-reactor.options.js';
import type { ResultAck, Undelivered, ResultCredit } from '../protocol/result-messages.js';
import { DeliverySchedule } from '../storage/delivery-schedule.js';
import { StoredFeedbacks } from '../storage/feedback-rows.js';
import type { GroupCommit } from '../storage/group-commit.js';
import { InsistentCommit } from '../storage/insistent-commit.js';
import { ParkedFeedbacks } from '../storage/parked-feedbacks.js';
import type { JobStorage } from '../storage/job-storage.js';
import type { DistributorLink } from './distributor-link.js';
import { FeedbackQueues, type Outstanding } from './feedback-queues.js';
import { FeedbackRoutes } from './feedback-routes.js';
import { UnheardBytes } from './unheard-bytes.js';

export interface ReporterParts {
  node: string;
  jobs: JobsSettings;
  storage: JobStorage;
  commit: GroupCommit;
  clock: Clock;
  emit: EmitEvent;
  /** Jobs may start again, after so much was unheard that none did. */
  heardMore: () => void;
}

/**
 * Brings feedbacks to the application and brings them again after every reconnect, until they are acknowledged. One whose
 * methods threw comes again after a while, and rests when that has been too often. Results nobody asked to keep are sent
 * once.
 */
export class FeedbackReporter {
  readonly #parts: ReporterParts;
  readonly #commit: InsistentCommit;
  readonly #rows: StoredFeedbacks;
  readonly #schedule: DeliverySchedule;
  readonly #queues: FeedbackQueues;
  readonly #routes: FeedbackRoutes;
  readonly #unheard: UnheardBytes;
  /** Names of jobs whose feedback was told to have nobody. */
  readonly #unwanted = new Set<string>();
  /** Called whenever less may be waiting for its acknowledgement. */
  #whenAcknowledged: (() => void) | undefined;
  #stopped = false;

  constructor(parts: ReporterParts) {
    const { node, jobs, storage, commit, clock, emit } = parts;
    this.#parts = parts;
    const failed = (error: unknown): void => emit({ event: 'storage failed', role: `node ${node}`, error });
    this.#commit = new InsistentCommit(commit, clock, failed);
    this.#unheard = new UnheardBytes(storage.durable, parts.heardMore);
    this.#rows = new StoredFeedbacks(storage, async (write) => {
      await this.#commit.write(write);
      if (write.kind === 'forget-feedback') this.#unheard.forget(write.ids);
    });
    this.#schedule = new DeliverySchedule({
      role: `node '${node}'`,
      rows: this.#rows,
      maxDeliveries: jobs.maxDeliveries,
      clock,
      emit,
      due: (feedbacks) => feedbacks.forEach((feedback) => this.#queues.isGone(feedback.id) || this.#take(feedback)),
    });
    this.#routes = new FeedbackRoutes(clock, () => this.flush());
    this.#queues = new FeedbackQueues({
      rows: this.#rows,
      clock,
      reachable: (feedback) => this.#routes.to(feedback) !== undefined,
      found: (feedback) => this.#take(feedback),
      failed: (error) => emit({ event: 'storage failed', role: `node '${node}'`, error }),
    });
  }

  /** So much is kept in memory for applications that do not hear it that nothing more is to come. */
  get isFull(): boolean {
    return this.#unheard.isFull;
  }

  /** What a distributor says of results. */
  message(link: DistributorLink, message: ResultAck | ResultCredit | Undelivered): void {
    if (message.type === 'result-ack') return void this.acknowledged(link, message.ids);
    if (message.type === 'undelivered') return void this.undelivered(link, message);
    link.resultCredit(message.bytes);
    this.flush();
  }

  /** Looks for what an earlier process left unacknowledged. */
  start(): void {
    void this.#schedule.scan();
  }

  /** There is more in the storage now, that did not come by `report`. */
  more(): void {
    void this.#schedule.scan();
  }

  /** `kept`: it has a row and is sent until acknowledged. */
  report(feedback: FeedbackRecord, kept: boolean): void {
    if (!kept) return this.#reportOnce(feedback);
    this.#unheard.add(feedback);
    // A run that ends twice has its last word in the row.
    this.#schedule.forget(feedback.id);
    if (this.#queues.remove(feedback.id)) this.#queues.settled([feedback.id]);
    this.#take(undelivered(feedback));
  }

  /** Somebody wants these to be sent, whatever came of them so far. */
  again(feedbacks: readonly KeptFeedback[]): void {
    for (const feedback of feedbacks) {
      this.#schedule.forget(feedback.id);
      this.#take(feedback);
    }
  }

  /** Those that are not sent any more, for whoever asks. */
  parked(): ParkedFeedbacks {
    const { node, clock, jobs } = this.#parts;
    const again = (feedbacks: readonly KeptFeedback[]): void => this.again(feedbacks);
    return new ParkedFeedbacks({ node, rows: this.#rows, clock, dedupRetention: jobs.dedupRetention, again });
  }

  opened(link: DistributorLink): void {
    this.#routes.opened(link);
    this.flush();
  }

  closed(link: DistributorLink, instance: string | undefined): void {
    this.#routes.closed(link, instance);
    this.#unheard.lost(link);
    for (const entry of this.#queues.entries()) if (entry.sentOn === link) entry.sentOn = null;
    this.flush();
    this.#whenAcknowledged?.();
  }

  /** Sends whatever can be sent now. */
  flush(): void {
    this.#unheard.flush();
    for (const entry of this.#queues.entries()) if (!entry.sentOn) this.#send(entry);
    this.#queues.refill();
  }

  async acknowledged(link: DistributorLink, ids: readonly string[]): Promise<void> {
    if (this.#stopped) return; // They are sent again by whoever has them next.
    const known = ids.flatMap((id) => this.#queues.remove(id) ?? []);
    if (known.length === 0) return;
    this.#whenAcknowledged?.();
    const told = known.map(({ id }) => id);
    const unsettled = known.filter((feedback) => mayComeAgain(feedback, link));
    const until = this.#parts.clock.now() + this.#parts.jobs.dedupRetention;
    const tombstones = unsettled.map(({ jobId }) => ({ id: jobId, until }));
    // Should the node stop before, they are sent again after the next start, and acknowledged again.
    await this.#rows.forget(told, tombstones).catch(() => undefined);
    this.#queues.settled(told);
    this.#queues.refill();
  }

  /** The application has it, and could do nothing with it. */
  async undelivered(link: DistributorLink, { id, code, error }: Undelivered): Promise<void> {
    const entry = this.#queues.get(id);
    if (entry?.sentOn !== link || this.#stopped) return;
    if (code === 'UNDECLARED') return this.#undeclared(entry, link);
    this.#queues.remove(id);
    this.#whenAcknowledged?.();
    await this.#schedule.failed(entry.feedback, error ?? { name: 'Error', message: 'It did not say why.' });
    this.#queues.settled([id]);
    this.#queues.refill();
  }

  /** Stops once everything that was sent has been acknowledged, or after `timeout` milliseconds. */
  async finish(timeout: number): Promise<void> {
    await this.#settledWithin(Math.max(0, timeout));
    this.stop();
  }

  stop(): void {
    this.#stopped = true;
    this.#commit.stop();
    this.#schedule.stop();
    this.#queues.stop();
    this.#routes.stop();
  }

  #settledWithin(timeout: number): Promise<void> {
    const open = (): boolean => [...this.#queues.entries()].some((entry) => entry.sentOn !== null);
    if (!open()) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#parts.clock.after(timeout, resolve);
      this.#whenAcknowledged = () => {
        if (open()) return;
        timer.cancel();
        resolve();
      };
    });
  }

  #take(feedback: KeptFeedback): void {
    if (this.#schedule.has(feedback.id)) return;
    const entry = this.#queues.add(feedback);
    if (entry) this.#send(entry);
  }

  #send(entry: Outstanding): void {
    const link = this.#routes.to(entry.feedback);
    if (link?.report(entry.feedback)) entry.sentOn = link;
  }

  /** While its connection is there. One that has to wait for credit waits here. */
  #reportOnce(feedback: FeedbackRecord): void {
    const link = this.#routes.exact(feedback);
    if (link && !link.report(feedback)) this.#unheard.wait(link, feedback);
  }

  /** This instance has no method for it; another of the same application may have one, now or after its next deployment. */
  #undeclared(entry: Outstanding, link: DistributorLink): void {
    const { feedback } = entry;
    const { name, origin, listeners } = feedback;
    // Its closures went with their process, and nobody else was to be told.
    if (listeners === 'closures') return void this.acknowledged(link, [feedback.id]);
    this.#routes.lacks(link, name);
    entry.sentOn = null;
    this.#send(entry);
    if (entry.sentOn || this.#routes.reaches(feedback)) return;
    const key = `${origin.distributor} ${name}`;
    if (this.#unwanted.has(key)) return;
    this.#unwanted.add(key);
    const { emit } = this.#parts;
    emit({ event: 'feedback waits', distributor: origin.distributor, name });
  }
}

/**
 * Another than the outbox it came from has been told. That one may still have the job, come back, and send it again: it
 * must find that it has ended here.
 */
function mayComeAgain({ final, origin }: KeptFeedback, { distributor }: DistributorLink): boolean {
  return final && origin.storage !== null && distributor?.storage !== origin.storage;
}
