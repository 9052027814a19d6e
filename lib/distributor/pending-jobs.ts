import type { ClockTimer } from '../clock.js';
import { Heap } from '../heap.js';
import { ArrivalTurns } from './arrival-turns.js';
import { BeyondWindow } from './beyond-window.js';
import type { HeldJob, PendingPlace } from './held-job.js';
import { PendingOrder } from './pending-order.js';
import { PendingRoutes } from './pending-routes.js';

/** Rows read in one go, and the characters of their args. */
const PAGE = 500;
const PAGE_LENGTH = 2 ** 20;
/** Characters of args in the window: it is the smaller the larger its jobs are. */
const WINDOW_LENGTH = 16 * 2 ** 20;

/** Jobs that may go to the same nodes: looked at together, so that a million of them cost one look. */
export interface PendingGroup {
  /** The next to be sent, which stands for all of the group when nodes are chosen; null until it has been read. */
  readonly first: HeldJob | null;
  readonly size: number;
  /** Some of its jobs are, or were, of a `group`. */
  readonly hasGroups: boolean;
}

export interface PendingParts {
  /** Called when a job begins to wait whole; the timer it gives goes when the job waits no more. */
  watch: (job: HeldJob) => ClockTimer | null;
  /**
   * About so many jobs are held whole, over all groups; twice as many before some of them are let go. Default: all are,
   * whatever they take.
   */
  window?: number;
  /** From now on no more than its id is held. */
  beyond?: (job: HeldJob) => void;
  /** There is room in the window, and something that could be in it. */
  room?: () => void;
}

function before(a: PendingPlace, b: PendingPlace): boolean {
  const [one, other] = [a.job.spec.priority, b.job.spec.priority];
  if (one !== other) return one > other;
  return a.turn < b.turn || (a.turn === b.turn && a.order < b.order);
}

class Group implements PendingGroup {
  readonly heap = new Heap<PendingPlace>(before);
  readonly turns = new ArrivalTurns();
  /** Characters of the args in the heap. */
  length = 0;
  /** Null while all are in the window. */
  beyond: BeyondWindow | null = null;

  constructor(
    readonly key: string,
    readonly name: string,
  ) {}

  get first(): HeldJob | null {
    const job = this.heap.peek()?.job;
    if (job === undefined || (this.beyond !== null && job.spec.priority < this.beyond.highest)) return null;
    return job;
  }

  get size(): number {
    return this.heap.size + (this.beyond?.size ?? 0);
  }

  get hasGroups(): boolean {
    return this.turns.hasGroups;
  }
}

/** Jobs no node has been found for, by where they may go, then by priority, then the groups in turns, then by age. */
export class PendingJobs {
  readonly #parts: PendingParts;
  readonly #window: number;
  /** Characters of args in it. Without a window nothing is let go, however long: there is nowhere to read it again. */
  readonly #windowLength: number;
  readonly #routes = new PendingRoutes();
  readonly #groups = new Map<string, Group>();
  readonly #order = new PendingOrder();
  /** Groups of the jobs whose rows are being read. */
  readonly #loading = new Map<string, Group>();
  #trimAt: number;
  #length = 0;
  #trimAtLength: number;
  #last = 0;
  #beyond = 0;

  constructor(parts: PendingParts) {
    this.#parts = parts;
    this.#window = parts.window ?? Infinity;
    this.#windowLength = this.#window === Infinity ? Infinity : WINDOW_LENGTH;
    this.#trimAt = this.#window * 2;
    this.#trimAtLength = this.#windowLength * 2;
  }

  get size(): number {
    return this.#order.size + this.#beyond;
  }

  /** How many of them are no more than an id here. */
  get beyond(): number {
    return this.#beyond;
  }

  /** One that waits already takes its place anew: a second one would never be found again, and be sent for ever. */
  add(job: HeldJob): void {
    this.remove(job);
    const group = this.#group(job);
    const { priority, options } = job.spec;
    const turn = group.turns.next(priority, options.group);
    if (group.beyond?.goesBefore(priority, turn) && this.#letGo(group, job, turn)) return;
    this.#place(group, job, turn);
    if (this.#order.size > this.#trimAt || this.#length > this.#trimAtLength) this.#trim();
  }

  /** `sent`: because it has had its turn. */
  remove(job: HeldJob, sent = false): void {
    const { place } = job;
    if (!place) return;
    const group = this.#groups.get(place.route)!;
    if (sent) group.turns.sent(job.spec.priority, place.turn);
    this.#takeOut(group, place);
    if (group.beyond !== null && this.#lacks(group) > 0) this.#parts.room?.();
    this.#dropIfEmpty(group);
  }

  /** Ids whose rows are to be read now, so that their jobs are whole when it is their turn. */
  take(): string[] {
    const ids: string[] = [];
    for (const group of this.#groups.values()) {
      if (ids.length === PAGE) break;
      if (group.beyond === null) continue;
      const most = Math.min(this.#lacks(group), PAGE - ids.length);
      for (const id of this.#counted(group.beyond, (beyond) => beyond.take(most, PAGE_LENGTH))) {
        this.#loading.set(id, group);
        ids.push(id);
      }
      this.#dropIfEmpty(group);
    }
    return ids;
  }

  /** What was read for an id of `take`; null when it is not to wait here any more. False when that was known already. */
  arrived(id: string, job: HeldJob | null): boolean {
    const group = this.#loading.get(id);
    this.#loading.delete(id);
    const turn = group?.beyond && this.#counted(group.beyond, (beyond) => beyond.arrived(id));
    if (!group || turn === null || turn === undefined) return false;
    if (job) this.#place(group, job, turn);
    this.#dropIfEmpty(group);
    return true;
  }

  /** Takes out one that is no more than an id here. */
  recall(job: HeldJob): boolean {
    const group = this.#groups.get(this.#routes.of(job.spec));
    if (!group?.beyond) return false;
    this.#counted(group.beyond, (beyond) => beyond.remove(job.spec.id));
    this.#dropIfEmpty(group);
    return true;
  }

  /** Up to so many whole jobs of the same route that are likely to be sent next. */
  following(job: HeldJob, count: number): HeldJob[] {
    return (
      this.#groups
        .get(this.#routes.of(job.spec))
        ?.heap.next(count)
        .map((place) => place.job) ?? []
    );
  }

  /** When the job that has waited longest was enqueued, milliseconds since the epoch; null when none waits. */
  get oldest(): number | null {
    let oldest = this.#order.first?.job.spec.enqueuedAt ?? Infinity;
    for (const { beyond } of this.#groups.values()) if (beyond) oldest = Math.min(oldest, beyond.oldest);
    return oldest === Infinity ? null : oldest;
  }

  /** The groups that have something to send, the one whose first job is most urgent first. */
  groups(): PendingGroup[] {
    const ready = [...this.#groups.values()].filter(({ first }) => first !== null);
    return ready.sort((a, b) => {
      const [left, right] = [a.heap.peek()!, b.heap.peek()!];
      return right.job.spec.priority - left.job.spec.priority || left.order - right.order;
    });
  }

  names(): Map<string, number> {
    const counts = new Map<string, number>();
    for (const { name, size } of this.#groups.values()) counts.set(name, (counts.get(name) ?? 0) + size);
    return counts;
  }

  #group(job: HeldJob): Group {
    const key = this.#routes.of(job.spec);
    let group = this.#groups.get(key);
    if (!group) this.#groups.set(key, (group = new Group(key, job.spec.name)));
    return group;
  }

  #place(group: Group, job: HeldJob, turn: number): void {
    const place = { job, route: group.key, turn, order: this.#last++, expiry: this.#parts.watch(job), position: -1 };
    job.place = place;
    this.#order.add(place);
    group.heap.push(place);
    group.length += job.spec.args.length;
    this.#length += job.spec.args.length;
  }

  #takeOut(group: Group, place: PendingPlace): void {
    const { job } = place;
    place.expiry?.cancel();
    group.heap.remove(place);
    group.length -= job.spec.args.length;
    this.#length -= job.spec.args.length;
    job.place = null;
    this.#order.left();
  }

  /** Down to the window. What is let go is what would be sent last. */
  #trim(): void {
    const share = this.#share();
    const longest = this.#longest();
    for (const group of this.#groups.values()) {
      if (group.heap.size <= share && group.length <= longest) continue;
      let [count, length] = [0, 0];
      for (const place of [...group.heap].sort((a, b) => (before(a, b) ? -1 : 1))) {
        length += place.job.spec.args.length;
        // One stays in any case: it stands for the group.
        if (++count === 1 || (count <= share && length <= longest)) continue;
        if (!this.#letGo(group, place.job, place.turn)) continue;
        this.#takeOut(group, place);
      }
    }
    // What can't be let go must not be looked through for each one more.
    this.#trimAt = Math.max(this.#window * 2, this.#order.size + this.#window);
    this.#trimAtLength = Math.max(this.#windowLength * 2, this.#length + this.#windowLength);
  }

  #letGo(group: Group, job: HeldJob, turn: number): boolean {
    // What the row does not tell would be lost: where it was refused, or that it was once sent.
    if (job.assignment > 0 || !job.asStored) return false;
    const beyond = (group.beyond ??= new BeyondWindow());
    if (!this.#counted(beyond, () => beyond.add(job, turn))) return false;
    this.#parts.beyond?.(job);
    return true;
  }

  /** How many more of a group may be in the window, where it is worth reading them. */
  #lacks(group: Group): number {
    const share = this.#share();
    const loading = group.beyond?.loading ?? 0;
    const lacking = share - group.heap.size - loading;
    // The window may be full of jobs that had to stay, and yet none of them is next.
    if (group.first === null && loading === 0) return Math.max(1, lacking);
    if (group.length * 2 > this.#longest()) return 0;
    return lacking >= Math.min(PAGE, Math.max(1, share >> 1)) ? lacking : 0;
  }

  #share(): number {
    return Math.max(1, Math.floor(this.#window / this.#groups.size));
  }

  #longest(): number {
    return this.#windowLength / this.#groups.size;
  }

  #counted<T>(beyond: BeyondWindow, work: (beyond: BeyondWindow) => T): T {
    const had = beyond.size;
    const result = work(beyond);
    this.#beyond += beyond.size - had;
    return result;
  }

  #dropIfEmpty(group: Group): void {
    if (group.beyond && this.#counted(group.beyond, ({ isEmpty }) => isEmpty)) group.beyond = null;
    if (group.beyond === null && group.heap.size === 0) this.#groups.delete(group.key);
  }
}
