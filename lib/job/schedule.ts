import { CronTimes } from './cron-times.js';
import type { JobOptions } from './job.js';
import { TimeZone } from './time-zone.js';

/** What becomes of slots whose time passed while nobody could enqueue their jobs. */
export type MissedSlots = 'skip' | 'once' | 'all';

/** When a schedule runs. Durations are milliseconds, times milliseconds since the epoch. */
export interface ScheduleRule {
  /** Either this and `timezone`, or `every`. */
  cron: string | null;
  timezone: string | null;
  every: number | null;
  start: number | null;
  end: number | null;
  /** Slots after which it is over. */
  limit: number | null;
  missed: MissedSlots;
}

/** What a schedule enqueues. */
export interface ScheduledJob {
  name: string;
  /** Serialised; null: a declared method of the application makes them for each slot. */
  args: string | null;
  options: JobOptions;
  priority: number;
  /** Milliseconds from the moment a run is enqueued to when it expires. */
  expires: number | null;
}

/** A schedule as somebody asks for it. */
export interface NewSchedule {
  key: string;
  rule: ScheduleRule;
  job: ScheduledJob;
}

/** A schedule as a storage keeps it. */
export interface StoredSchedule extends NewSchedule {
  /** UUID made of the distributor's name and the key: the same for all who share a database. */
  id: string;
  /** Name of the distributors that fire it. */
  distributor: string;
  /** Rises with every change, a slot that was fired included; who expects an older one writes nothing. */
  revision: number;
  paused: boolean;
  /** Slots up to this time are done with. */
  doneUntil: number;
  /** Slots whose jobs were enqueued. */
  runs: number;
  /** The last of them. */
  lastSlot: number | null;
  /** When it was made, or got another rhythm. */
  since: number;
  changedAt: number;
}

/** Slots that are due, oldest first, and up to which time that says all. */
export interface DueSlots {
  slots: number[];
  until: number;
  /** Further ones that nobody will run; counted up to MOST_MISSED. */
  missed: number;
}

/** A slot so late is a missed one. */
export const LATE = 60_000;
/** Missed slots that are made up for at most, the newest ones. */
export const MOST_MISSED = 100;
/** Cron has no shorter distance. */
export const SHORTEST_EVERY = 1_000;

/** The times of a rule, for asking many times. */
export class ScheduleTimes {
  readonly #rule: ScheduleRule;
  readonly #anchor: number;
  readonly #cron: CronTimes | null;

  /**
   * `anchor`: where counting by `every` begins when the rule has no start. `zone`: for those who have many rules in few
   * zones. @throws {Error} for a cron or a zone that is none
   */
  constructor(rule: ScheduleRule, anchor: number, zone = (name: string): TimeZone => new TimeZone(name)) {
    this.#rule = rule;
    this.#anchor = rule.start ?? anchor;
    this.#cron = rule.cron === null ? null : new CronTimes(rule.cron, zone(rule.timezone ?? 'UTC'));
  }

  /** The first slot after this time; null when there is none. */
  next(after: number): number | null {
    const { start, end } = this.#rule;
    const slot = this.#next(start === null ? after : Math.max(after, start - 1));
    return slot === null || (end !== null && slot > end) ? null : slot;
  }

  /** The newest slots of (after, until], oldest first, at most so many; more than a hundred a minute there are never. */
  latest(after: number, until: number, most: number): number[] {
    const few = this.#some(after, until, 2);
    if (few.length < 2) return few;
    // However long that is and however dense they are: it is looked for how far back they reach.
    const back = (width: number): number[] => this.#some(Math.max(after, until - width), until, most);
    let width = LATE;
    while (until - width > after && back(width).length < most) width *= 2;
    const found = back(width);
    if (found.length < most) return found;
    for (let low = width / 2; width - low > SHORTEST_EVERY;) {
      const middle = (low + width) / 2;
      if (back(middle).length < most) low = middle;
      else width = middle;
    }
    return this.#some(Math.max(after, until - width), until, most + 2).slice(-most);
  }

  #some(after: number, until: number, most: number): number[] {
    const found: number[] = [];
    for (let slot = this.next(after); slot !== null && slot <= until && found.length < most; slot = this.next(slot))
      found.push(slot);
    return found;
  }

  #next(after: number): number | null {
    const { every } = this.#rule;
    if (every === null) return this.#cron?.next(after) ?? null;
    const count = Math.floor((after - this.#anchor) / every) + 1;
    // Without a start the first one is one distance after the anchor.
    return this.#anchor + Math.max(count, this.#rule.start === null ? 1 : 0) * every;
  }
}

/** When it runs next; null while it is paused and once it is over. */
export function nextSlot(schedule: StoredSchedule, times: ScheduleTimes): number | null {
  const { paused, rule, runs, doneUntil } = schedule;
  return paused || (rule.limit !== null && runs >= rule.limit) ? null : times.next(doneUntil);
}

/** The slots to be run at `now`, as the rule treats those that are late. */
export function dueSlots(schedule: StoredSchedule, times: ScheduleTimes, now: number): DueSlots {
  const { rule, doneUntil, runs } = schedule;
  if (now <= doneUntil || nextSlot(schedule, times) === null) return { slots: [], until: doneUntil, missed: 0 };
  const all = times.latest(doneUntil, now, MOST_MISSED);
  let slots = rule.missed === 'all' ? all : all.slice(-1);
  if (rule.missed === 'skip') slots = slots.filter((slot) => now - slot <= LATE);
  if (rule.limit !== null) slots = slots.slice(0, rule.limit - runs);
  return { slots, until: all.at(-1) ?? doneUntil, missed: all.length - slots.length };
}

/** The same schedule once these slots are done with. */
export function afterSlots(schedule: StoredSchedule, { slots, until }: Omit<DueSlots, 'missed'>): StoredSchedule {
  return {
    ...schedule,
    revision: schedule.revision + 1,
    doneUntil: until,
    runs: schedule.runs + slots.length,
    lastSlot: slots.at(-1) ?? schedule.lastSlot,
  };
}

/** What is stored for a schedule asked for now, when `known` is there under its key; null when that says all already. */
export function changedSchedule(
  wanted: NewSchedule,
  known: StoredSchedule | null,
  fresh: { id: string; distributor: string; now: number },
): StoredSchedule | null {
  const { now, id, distributor } = fresh;
  const { key, rule, job } = wanted;
  const begins = { doneUntil: now, runs: 0, lastSlot: null };
  if (!known)
    return { id, distributor, key, rule, job, revision: 1, paused: false, since: now, changedAt: now, ...begins };
  if (same(known.rule, rule) && same(known.job, job)) return null;
  const times = ['cron', 'timezone', 'every', 'start'] as const;
  const isAnew = times.some((name) => known.rule[name] !== rule[name]);
  // Another rhythm counts anew; another end, another limit or other args go on with what there is.
  return {
    ...known,
    rule,
    job,
    revision: known.revision + 1,
    changedAt: now,
    ...(isAnew ? { ...begins, since: now } : {}),
  };
}

/** Paused, or going on from now: slots that passed meanwhile were not missed. */
export function pausedSchedule(known: StoredSchedule, paused: boolean, now: number): StoredSchedule | null {
  if (known.paused === paused) return null;
  const doneUntil = paused ? known.doneUntil : Math.max(known.doneUntil, now);
  return { ...known, paused, doneUntil, revision: known.revision + 1, changedAt: now };
}

/** Whatever the order in which a database gives back fields. */
function same(one: unknown, other: unknown): boolean {
  return stable(one) === stable(other);
}

function stable(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
