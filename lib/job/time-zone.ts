const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** Two changes of a zone's clocks are further apart than this. */
const STEP = 7 * DAY;
/** A wall time is reached within so long of the same time in UTC. */
const REACH = 40 * HOUR;
/** Stretches of time whose offset is remembered. */
const KEPT = 64;

/**
 * The clocks of a time zone. A wall time is what they show, written as the milliseconds since the epoch at which UTC
 * shows the same.
 */
export class TimeZone {
  readonly #format: Intl.DateTimeFormat | null = null;
  /** By number of the stretch (of length STEP): its offset, null where that changes. Asking Intl costs 20 µs. */
  readonly #stretches = new Map<number, number | null>();

  /** @throws {RangeError} for a zone that the runtime does not know */
  constructor(name: string) {
    if (name === 'UTC') return;
    const format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    this.#format = format.resolvedOptions().timeZone === 'UTC' ? null : format;
  }

  /** What the clocks show at this instant. */
  wall(instant: number): number {
    return instant + this.offset(instant);
  }

  /** Milliseconds by which they are ahead of UTC. */
  offset(instant: number): number {
    if (!this.#format) return 0;
    const stretch = Math.floor(instant / STEP);
    let known = this.#stretches.get(stretch);
    if (known === undefined) {
      const [start, end] = [stretch, stretch + 1].map((edge) => this.#ask(this.#format!, edge * STEP));
      known = start === end ? start! : null;
      if (this.#stretches.size === KEPT) this.#stretches.clear();
      this.#stretches.set(stretch, known);
    }
    return known ?? this.#ask(this.#format, instant);
  }

  /** The first instant of (from, to] at which the clocks are changed; null when they are not. */
  change(from: number, to: number): number | null {
    if (!this.#format) return null;
    for (let start = from; start < to; start += STEP) {
      const end = Math.min(start + STEP, to);
      const before = this.offset(start);
      if (this.offset(end) === before) continue;
      let [low, high] = [start, end];
      while (high - low > 1) {
        const middle = Math.floor((low + high) / 2);
        if (this.offset(middle) === before) low = middle;
        else high = middle;
      }
      return high;
    }
    return null;
  }

  /** The furthest the clocks have come by then: more than they show after they were set back. */
  furthest(instant: number): number {
    const change = this.change(instant - DAY, instant);
    const shown = this.wall(instant);
    return change === null ? shown : Math.max(shown, this.wall(change - 1));
  }

  /** When the clocks first show this or more: for a time that is skipped the moment at which they are set forward. */
  reaches(wall: number): number {
    const change = this.change(wall - REACH, wall + REACH);
    if (change === null) return wall - this.offset(wall);
    const before = wall - this.offset(change - 1);
    return before < change ? before : Math.max(change, wall - this.offset(change));
  }

  #ask(format: Intl.DateTimeFormat, instant: number): number {
    const second = Math.floor(instant / 1_000) * 1_000;
    const part: Record<string, number> = {};
    for (const { type, value } of format.formatToParts(second)) part[type] = Number(value);
    const { year = 0, month = 0, day = 0, hour = 0, minute = 0, second: s = 0 } = part;
    return Date.UTC(year, month - 1, day, hour, minute, s) - second;
  }
}
