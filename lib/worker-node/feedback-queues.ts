import { ChurningMap } from '../churning-map.js';
import type { Clock, ClockTimer } from '../clock.js';
import type { KeptFeedback } from '../job/feedback-record.js';
import type { FeedbackRows } from '../storage/feedback-rows.js';
import type { DistributorLink } from './distributor-link.js';

/** A feedback in memory, and the link it was sent on and has not been acknowledged. */
export class Outstanding {
  sentOn: DistributorLink | null = null;
  /** It has left, and may still be seen in the storage. */
  isGone = false;
  /** The storage has forgotten it: only who is reading now may have seen it there. */
  isSettled = false;

  constructor(
    readonly feedback: KeptFeedback,
    readonly queue: Queue,
  ) {}
}

/** Those for one job name of one application. */
interface Queue {
  readonly distributor: string;
  readonly name: string;
  /** How many are in memory, and one of them. */
  size: number;
  latest: KeptFeedback | null;
  /** There are more in the storage. */
  more: boolean;
  loading: boolean;
}

export interface QueuesParts {
  rows: FeedbackRows;
  clock: Clock;
  /** Whether it could be sent now. */
  reachable: (feedback: KeptFeedback) => boolean;
  /** One that was found in the storage. */
  found: (feedback: KeptFeedback) => void;
  failed: (error: unknown) => void;
}

/** Feedbacks of one queue in memory while they are sent; the rest stays in the storage until these are acknowledged. */
const WINDOW = 10_000;
/** And while they can't be: an application may be away for days. */
const WAITING = 1_000;
const PAGE = 1_000;
/** Milliseconds until a read that failed is tried again. */
const AGAIN_AFTER = 1_000;

/**
 * The feedbacks that are in memory. Each job name of each application has a queue of its own, so that one that is not
 * there, or whose methods always throw, holds up nobody else.
 */
export class FeedbackQueues {
  readonly #parts: QueuesParts;
  readonly #queues = new ChurningMap<string, Queue>();
  readonly #byId = new ChurningMap<string, Outstanding>();
  #reading = 0;
  #again: ClockTimer | undefined;
  #stopped = false;

  constructor(parts: QueuesParts) {
    this.#parts = parts;
  }

  get(id: string): Outstanding | undefined {
    const entry = this.#byId.get(id);
    return entry?.isGone ? undefined : entry;
  }

  *entries(): Iterable<Outstanding> {
    for (const entry of this.#byId.values()) if (!entry.isGone) yield entry;
  }

  /** Undefined when it is there already, or stays in the storage for now. */
  add(feedback: KeptFeedback): Outstanding | undefined {
    if (this.get(feedback.id)) return undefined;
    const queue = this.#queueOf(feedback);
    const { size } = queue;
    if (size >= WINDOW || (size >= WAITING && !this.#parts.reachable(feedback))) return void (queue.more = true);
    const entry = new Outstanding(feedback, queue);
    queue.size++;
    queue.latest = feedback;
    this.#byId.set(feedback.id, entry);
    return entry;
  }

  /** Gives it if it was there. What the storage says of it is out of date until it is `settled`. */
  remove(id: string): KeptFeedback | undefined {
    const found = this.get(id);
    if (!found) return undefined;
    const { queue } = found;
    found.isGone = true;
    queue.size--;
    if (queue.size === 0) queue.latest = null;
    if (queue.size === 0 && !queue.more && !queue.loading) this.#queues.delete(keyOf(queue.distributor, queue.name));
    return found.feedback;
  }

  /** The storage knows what became of these. */
  settled(ids: readonly string[]): void {
    for (const id of ids) {
      const entry = this.#byId.get(id);
      if (!entry?.isGone) continue;
      entry.isSettled = true;
      if (this.#reading === 0) this.#byId.delete(id);
    }
  }

  isGone(id: string): boolean {
    return this.#byId.get(id)?.isGone ?? false;
  }

  /** Reads more where there is more and room for it. To be called when some are gone, or can be sent again. */
  refill(): void {
    for (const queue of this.#queues.values())
      if (queue.more && !queue.loading && this.#hasRoom(queue)) void this.#load(queue);
  }

  stop(): void {
    this.#stopped = true;
    this.#again?.cancel();
  }

  #hasRoom({ size, latest }: Queue): boolean {
    if (size < WAITING / 2) return true;
    return latest !== null && size < WINDOW / 2 && this.#parts.reachable(latest);
  }

  async #load(queue: Queue): Promise<void> {
    const { rows, clock, found, failed } = this.#parts;
    const { name, distributor } = queue;
    queue.loading = true;
    queue.more = false;
    this.#reading++;
    try {
      for (let after: string | null = null; !queue.more && !this.#stopped;) {
        const page: KeptFeedback[] = await rows.page({ after, limit: PAGE, dueBy: clock.now(), name });
        for (const feedback of page) {
          if (feedback.origin.distributor === distributor && !this.isGone(feedback.id)) found(feedback);
        }
        if (page.length < PAGE) break;
        after = page.at(-1)?.id ?? null;
      }
    } catch (error) {
      queue.more = true;
      if (this.#stopped) return;
      failed(error);
      this.#again?.cancel();
      this.#again = clock.after(AGAIN_AFTER, () => this.refill(), false);
    } finally {
      queue.loading = false;
      this.#reading--;
      if (this.#reading === 0) for (const [id, { isSettled }] of this.#byId) if (isSettled) this.#byId.delete(id);
    }
  }

  #queueOf({ origin: { distributor }, name }: KeptFeedback): Queue {
    const key = keyOf(distributor, name);
    let queue = this.#queues.get(key);
    if (!queue)
      this.#queues.set(key, (queue = { distributor, name, size: 0, latest: null, more: false, loading: false }));
    return queue;
  }
}

const keyOf = (distributor: string, name: string): string => `${distributor}\n${name}`;
