import type { Clock, ClockTimer } from '../clock.js';
import type { FeedbackRecord } from '../job/job.js';
import type { EmitEvent } from '../job-reactor.events.js';
import { resultMessage } from '../protocol/result-message.js';
import type { GroupCommit } from '../storage/group-commit.js';
import type { JobStorage } from '../storage/job-storage.js';
import type { DistributorLink } from './distributor-link.js';

/** Feedbacks kept in memory; the rest stays in the storage until these are acknowledged. */
const WINDOW = 10_000;
const PAGE = 1_000;
/** For so long only the instance that enqueued is told; then any other of its name. */
const ORPHANED_AFTER = 30_000;

interface Outstanding {
  feedback: FeedbackRecord;
  sentOn: DistributorLink | null;
}

/**
 * Brings feedbacks to the application and brings them again after every reconnect, until they are acknowledged. Results
 * nobody asked to keep are sent once.
 */
export class FeedbackReporter {
  readonly #storage: JobStorage;
  readonly #commit: GroupCommit;
  readonly #clock: Clock;
  readonly #emit: EmitEvent;
  readonly #node: string;
  readonly #outstanding = new Map<string, Outstanding>();
  readonly #links = new Set<DistributorLink>();
  /** When an instance was last connected, or when this node first waited for it. */
  readonly #gone = new Map<string, number>();
  #timer: ClockTimer | undefined;
  /** Called whenever less may be waiting for its acknowledgement. */
  #whenAcknowledged: (() => void) | undefined;
  #moreInStorage = true;
  #loading = false;
  #stopped = false;

  constructor(parts: { node: string; storage: JobStorage; commit: GroupCommit; clock: Clock; emit: EmitEvent }) {
    this.#node = parts.node;
    this.#storage = parts.storage;
    this.#commit = parts.commit;
    this.#clock = parts.clock;
    this.#emit = parts.emit;
  }

  /** Reads what an earlier process left unacknowledged. */
  async start(): Promise<void> {
    await this.#load();
  }

  /** `kept`: it has a row and is sent until acknowledged. */
  report(feedback: FeedbackRecord, kept: boolean): void {
    if (!kept) {
      this.#exactLink(feedback)?.send(resultMessage(feedback));
    } else if (this.#outstanding.size >= WINDOW) {
      this.#moreInStorage = true;
    } else {
      const entry: Outstanding = { feedback, sentOn: null };
      this.#outstanding.set(feedback.id, entry);
      this.#send(entry);
    }
  }

  /** True while the job's end has not been acknowledged. */
  holds(feedbackId: string): boolean {
    return this.#outstanding.has(feedbackId);
  }

  opened(link: DistributorLink): void {
    this.#links.add(link);
    if (link.distributor) this.#gone.delete(link.distributor.instance);
    this.flush();
  }

  closed(link: DistributorLink, instance: string | undefined): void {
    this.#links.delete(link);
    if (instance) this.#gone.set(instance, this.#clock.monotonic());
    for (const entry of this.#outstanding.values()) if (entry.sentOn === link) entry.sentOn = null;
    this.flush();
    this.#whenAcknowledged?.();
  }

  /** Sends whatever can be sent now. */
  flush(): void {
    for (const entry of this.#outstanding.values()) if (!entry.sentOn) this.#send(entry);
  }

  async acknowledged(ids: readonly string[]): Promise<void> {
    if (this.#stopped) return; // They are sent again by whoever has them next.
    const known = ids.filter((id) => this.#outstanding.delete(id));
    if (known.length === 0) return;
    this.#whenAcknowledged?.();
    try {
      await this.#commit.write({ kind: 'forget-feedback', ids: known });
    } catch (error) {
      // They are sent again after the next start, and acknowledged again.
      this.#emit({ event: 'storage failed', role: `node ${this.#node}`, error });
    }
    if (this.#outstanding.size === 0 && this.#moreInStorage) await this.#load();
  }

  /** Resolves when everything that was sent has been acknowledged, or after `timeout` milliseconds. */
  settledWithin(timeout: number): Promise<void> {
    const open = (): boolean => [...this.#outstanding.values()].some((entry) => entry.sentOn !== null);
    if (!open()) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#clock.after(timeout, resolve);
      this.#whenAcknowledged = () => {
        if (open()) return;
        timer.cancel();
        resolve();
      };
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** Feedbacks of others are in the storage now. */
  more(): void {
    this.#moreInStorage = true;
    if (!this.#loading && this.#outstanding.size < WINDOW) void this.#load();
  }

  async #load(): Promise<void> {
    if (this.#loading || this.#stopped) return;
    this.#loading = true;
    try {
      this.#moreInStorage = false;
      for (let after: string | null = null; ;) {
        const page: FeedbackRecord[] = await this.#storage.feedbacks({ after, limit: PAGE });
        for (const feedback of page) {
          if (!this.#outstanding.has(feedback.id)) this.#outstanding.set(feedback.id, { feedback, sentOn: null });
        }
        after = page.at(-1)?.id ?? null;
        if (page.length < PAGE) break;
        if (this.#outstanding.size >= WINDOW) {
          this.#moreInStorage = true;
          break;
        }
      }
    } catch (error) {
      this.#moreInStorage = true;
      this.#emit({ event: 'storage failed', role: `node ${this.#node}`, error });
    } finally {
      this.#loading = false;
    }
    this.flush();
  }

  #send(entry: Outstanding): void {
    const link = this.#exactLink(entry.feedback) ?? this.#otherLink(entry.feedback);
    if (!link || link.congested) return;
    entry.sentOn = link;
    link.send(resultMessage(entry.feedback));
  }

  /** The instance that enqueued, or that same application started again on the same outbox. */
  #exactLink({ origin }: FeedbackRecord): DistributorLink | undefined {
    let restarted: DistributorLink | undefined;
    for (const link of this.#links) {
      if (link.distributor?.instance === origin.instance) return link;
      if (origin.storage !== null && link.distributor?.storage === origin.storage) restarted = link;
    }
    return restarted;
  }

  #otherLink({ origin }: FeedbackRecord): DistributorLink | undefined {
    const now = this.#clock.monotonic();
    const gone = this.#gone.get(origin.instance);
    if (gone === undefined) this.#gone.set(origin.instance, now);
    const wait = (gone ?? now) + ORPHANED_AFTER - now;
    if (wait > 0) {
      this.#lookAgain(wait);
      return undefined;
    }
    for (const link of this.#links) if (link.distributor?.name === origin.distributor) return link;
    return undefined;
  }

  #lookAgain(wait: number): void {
    if (this.#timer || this.#stopped) return;
    this.#timer = this.#clock.after(
      wait,
      () => {
        this.#timer = undefined;
        this.flush();
      },
      false,
    );
  }
}
