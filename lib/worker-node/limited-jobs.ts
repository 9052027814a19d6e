import type { Clock } from '../clock.js';
import type { FairTurns } from '../fair-turns.js';
import { TimerQueue } from '../timer-queue.js';
import { FairQueue } from './fair-queue.js';
import { GroupLimits } from './group-limits.js';
import type { ReadyJob } from './ready-job.js';
import type { GlobalPlaces } from './global-places.js';
import { StartLimit, type PlacesOf, type StartLimits } from './start-limit.js';

/** What is said of the jobs of one name: of all of them, and of those of each group. */
export interface JobLimits extends StartLimits {
  perGroup?: StartLimits;
}

export interface LimitedParts {
  clock: Clock;
  turns: FairTurns;
  /** Asked once for each name. */
  limitsOf: (name: string) => JobLimits | undefined;
  /** There is room that was not there before. */
  changed: () => void;
  /** Slots of this node, and how many of them are free. */
  slots: number;
  free: () => number;
  /** Absent: a limit over all nodes holds on this node alone. */
  places?: Pick<GlobalPlaces, 'of'>;
}

interface Name<T extends ReadyJob> {
  limit: StartLimit;
  groups: GroupLimits | null;
  waiting: FairQueue<T>;
  /** Jobs that wait elsewhere, as they are to run alone. */
  aside: number;
}

/** The ready jobs of names of which only so many may run at once, or start within some time, on this node. */
export class LimitedJobs<T extends ReadyJob> {
  readonly #parts: LimitedParts;
  readonly #names = new Map<string, Name<T> | null>();
  readonly #limited: Name<T>[] = [];
  readonly #timers: TimerQueue;
  /** Whose timers run. */
  readonly #armed = new Set<StartLimit>();

  constructor(parts: LimitedParts) {
    this.#parts = parts;
    this.#timers = new TimerQueue(parts.clock, 'monotonic', false);
  }

  /** True when the jobs of this name wait here; false: there is no limit to them. */
  has({ name }: Pick<T, 'name'>): boolean {
    return this.#of(name) !== null;
  }

  push(job: T): void {
    const name = this.#of(job.name);
    name?.waiting.push(job);
    name?.groups?.waits(job.group, 1);
  }

  remove(job: T): void {
    const name = this.#of(job.name);
    name?.waiting.remove(job);
    name?.groups?.waits(job.group, -1);
  }

  /** A job that is to run alone waits elsewhere, or does not any more. */
  aside(job: T, change: 1 | -1): void {
    const name = this.#of(job.name);
    if (!name) return;
    name.aside += change;
    name.groups?.waits(job.group, change);
  }

  /** Whether such a job may run once nothing else does: this node has a place of each limit over all nodes. */
  hasPlace({ name, group }: T): boolean {
    const limited = this.#of(name);
    return !limited || (limited.limit.hasPlace && (limited.groups?.of(group).hasPlace ?? true));
  }

  /** It waits for them. */
  want({ name, group }: T): void {
    const limited = this.#of(name);
    limited?.limit.want();
    limited?.groups?.of(group).want();
  }

  /** How many of those that wait could start if there were slots. */
  get startable(): number {
    let count = 0;
    for (const { limit, groups, waiting } of this.#limited)
      if (waiting.size > 0) count += Math.max(0, Math.min(limit.room, groups?.startable ?? waiting.size));
    return count;
  }

  get isEmpty(): boolean {
    return this.#limited.every(({ waiting }) => waiting.size === 0);
  }

  /** The first of each name that has room. */
  *firsts(): Iterable<T> {
    for (const { limit, waiting } of this.#limited) {
      if (waiting.size === 0) continue;
      const first = limit.room > 0 ? waiting.peek() : undefined;
      if (first) yield first;
      else this.#wait(limit);
    }
  }

  *[Symbol.iterator](): Iterator<T> {
    for (const { waiting } of this.#limited) yield* waiting;
  }

  /** Whether one more of its name, and of its group, may start. */
  admits({ name, group }: T): boolean {
    const limited = this.#of(name);
    return !limited || (limited.limit.room > 0 && (limited.groups?.admits(group) ?? true));
  }

  began({ name, group }: T): void {
    const limited = this.#of(name);
    limited?.limit.began();
    limited?.groups?.began(group);
  }

  ended({ name, group }: T): void {
    const limited = this.#of(name);
    if (!limited) return;
    limited.limit.ended();
    limited.groups?.ended(group);
    limited.waiting.reopen(group);
  }

  /** Nothing starts until `firsts` is asked again. */
  rest(): void {
    this.#timers.stop();
    for (const limit of this.#armed) limit.timer = undefined;
    this.#armed.clear();
    // Their timers would have done that.
    for (const { groups, waiting } of this.#limited) for (const group of groups?.names() ?? []) waiting.reopen(group);
  }

  /** For what keeps the next of its jobs from starting. */
  #wait(limit: StartLimit, rang?: () => void): void {
    limit.want();
    const { wait } = limit;
    if (wait <= 0 || limit.timer) return;
    this.#armed.add(limit);
    limit.timer = this.#timers.after(wait, () => {
      limit.timer = undefined;
      this.#armed.delete(limit);
      rang?.();
      this.#parts.changed();
    });
  }

  #of(name: string): Name<T> | null {
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    const { perGroup, ...own } = limitsIn(this.#parts.limitsOf(name) ?? {});
    const made = Object.keys(own).length === 0 && !perGroup ? null : this.#make(name, own, perGroup);
    this.#names.set(name, made);
    if (made) this.#limited.push(made);
    return made;
  }

  #make(name: string, own: StartLimits, perGroup: StartLimits | undefined): Name<T> {
    const { clock, turns, changed } = this.#parts;
    const waits = (): number => waiting.size + made.aside;
    const limit = new StartLimit(own, clock, this.#placesOf(name, '', own, waits, changed));
    const groups = perGroup && this.#groups(name, perGroup, () => waiting);
    const waiting: FairQueue<T> = new FairQueue(turns, groups && ((group) => this.#admits(groups, group, waiting)));
    const made = { limit, groups: groups ?? null, waiting, aside: 0 };
    return made;
  }

  #groups(name: string, limits: StartLimits, waiting: () => FairQueue<T>): GroupLimits {
    const groups: GroupLimits = new GroupLimits(limits, this.#parts.clock, (group) => {
      const changed = (): void => {
        groups.admits(group);
        waiting().reopen(group);
        this.#parts.changed();
      };
      return this.#placesOf(name, group, limits, () => groups.waiting(group), changed);
    });
    return groups;
  }

  #admits(groups: GroupLimits, group: string, waiting: FairQueue<T>): boolean {
    const mayStart = groups.admits(group);
    if (!mayStart) this.#wait(groups.of(group), () => waiting.reopen(group));
    return mayStart;
  }

  #placesOf(
    name: string,
    group: string,
    { concurrency = Infinity }: StartLimits,
    waiting: () => number,
    changed: () => void,
  ): PlacesOf {
    const { places, slots, free } = this.#parts;
    const most = Math.min(concurrency, slots);
    return (limit) => places?.of(name, group, limit, { most, waiting, free, changed }) ?? null;
  }
}

/** Only what is a limit. */
function limitsIn({ concurrency, globalConcurrency, rate, perGroup }: JobLimits): JobLimits {
  return {
    ...(concurrency === undefined ? {} : { concurrency }),
    ...(globalConcurrency === undefined ? {} : { globalConcurrency }),
    ...(rate ? { rate } : {}),
    ...(perGroup ? { perGroup } : {}),
  };
}
