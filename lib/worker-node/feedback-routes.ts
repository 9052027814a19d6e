import type { Clock, ClockTimer } from '../clock.js';
import type { FeedbackRecord } from '../job/feedback-record.js';
import type { DistributorLink } from './distributor-link.js';

/** For so long only the instance that enqueued is told; then any other of its name. */
const ORPHANED_AFTER = 30_000;
/** What is for closures alone nobody else can use: an instance that was merely cut off for so long still gets it. */
const CLOSURES_ORPHANED_AFTER = 3_600_000;
/** Instances remembered that are gone. Who is forgotten is waited for once more. */
const REMEMBERED = 1_000;

/**
 * Where a feedback goes: to the instance that enqueued, or that application started again on the same outbox; when that
 * has been gone for 30 s, or an hour if only closures are to hear of it, to any of its name. Another's is not sent to one that has said it has no method for it.
 */
export class FeedbackRoutes {
  readonly #clock: Clock;
  readonly #changed: () => void;
  readonly #links = new Set<DistributorLink>();
  readonly #lacking = new Map<DistributorLink, Set<string>>();
  /** When an instance was last connected, or when this node first waited for it. */
  readonly #gone = new Map<string, number>();
  #timer: ClockTimer | undefined;
  /** When it fires, on the monotonic clock. */
  #looksAt = Infinity;
  #stopped = false;

  /** `changed` is called when what went nowhere may go somewhere. */
  constructor(clock: Clock, changed: () => void) {
    this.#clock = clock;
    this.#changed = changed;
  }

  opened(link: DistributorLink): void {
    this.#links.add(link);
    this.#lacking.delete(link);
    if (link.distributor) this.#gone.delete(link.distributor.instance);
  }

  closed(link: DistributorLink, instance: string | undefined): void {
    this.#links.delete(link);
    this.#lacking.delete(link);
    if (instance) this.#goneSince(instance, this.#clock.monotonic());
  }

  /** It has no method for feedbacks of this job. */
  lacks(link: DistributorLink, name: string): void {
    const names = this.#lacking.get(link) ?? new Set();
    this.#lacking.set(link, names.add(name));
  }

  /** The instance that enqueued, or that same application started again on the same outbox. */
  exact(feedback: FeedbackRecord): DistributorLink | undefined {
    const { origin } = feedback;
    let restarted: DistributorLink | undefined;
    for (const link of this.#links) {
      // Its own feedbacks it takes, with a method or without: their closures are there and nowhere else.
      if (link.distributor?.instance === origin.instance) return link;
      if (this.#isLacking(link, feedback)) continue;
      if (origin.storage !== null && link.distributor?.storage === origin.storage) restarted = link;
    }
    return restarted;
  }

  to(feedback: FeedbackRecord): DistributorLink | undefined {
    return this.exact(feedback) ?? this.#other(feedback);
  }

  /** Whether anybody who is connected could be told of it, now or later. */
  reaches(feedback: FeedbackRecord): boolean {
    return this.exact(feedback) !== undefined || this.#ofTheSameName(feedback) !== undefined;
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #other(feedback: FeedbackRecord): DistributorLink | undefined {
    const { listeners, origin } = feedback;
    const { instance } = origin;
    const now = this.#clock.monotonic();
    const gone = this.#gone.get(instance);
    if (gone === undefined) this.#goneSince(instance, now);
    const patience = listeners === 'closures' ? CLOSURES_ORPHANED_AFTER : ORPHANED_AFTER;
    const wait = (gone ?? now) + patience - now;
    if (wait <= 0) return this.#ofTheSameName(feedback);
    this.#lookAgain(now + wait);
    return undefined;
  }

  #ofTheSameName(feedback: FeedbackRecord): DistributorLink | undefined {
    for (const link of this.#links) {
      if (link.distributor?.name === feedback.origin.distributor && !this.#isLacking(link, feedback)) return link;
    }
    return undefined;
  }

  /** Only what is for declared methods waits for somebody who has one. */
  #isLacking(link: DistributorLink, { listeners, name }: FeedbackRecord): boolean {
    return listeners === 'declared' && this.#lacking.get(link)?.has(name) === true;
  }

  #goneSince(instance: string, time: number): void {
    this.#gone.set(instance, time);
    if (this.#gone.size <= REMEMBERED) return;
    const [oldest] = this.#gone.keys();
    if (oldest !== undefined) this.#gone.delete(oldest);
  }

  #lookAgain(time: number): void {
    if (this.#looksAt <= time || this.#stopped) return;
    this.#timer?.cancel();
    this.#looksAt = time;
    this.#timer = this.#clock.after(
      time - this.#clock.monotonic(),
      () => {
        this.#looksAt = Infinity;
        this.#changed();
      },
      false,
    );
  }
}
