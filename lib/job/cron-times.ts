import { Cron, CronPattern } from 'croner';
import { TimeZone } from './time-zone.js';

const MODE = '5-or-6-parts';

/**
 * The times a cron expression means in a time zone. The library reads the expression and knows the calendar; it is asked
 * in wall times, and how those become instants is said here, as libraries differ in it:
 * - an expression with fixed hours runs once for a time that is skipped, at the moment the clocks are set forward, and
 *   once for a time that repeats, the first time;
 * - one for every hour goes by elapsed time: nothing is made up for an hour that was none, and one that repeats is two.
 */
export class CronTimes {
  readonly #cron: Cron;
  readonly #zone: TimeZone;
  readonly #everyHour: boolean;

  /** @throws {Error} for an expression or a zone that is none */
  constructor(expression: string, zone: string | TimeZone) {
    this.#cron = new Cron(expression, { mode: MODE, utcOffset: 0, paused: true });
    const { hour } = new CronPattern(expression, undefined, { mode: MODE });
    this.#everyHour = hour.every(Boolean);
    this.#zone = typeof zone === 'string' ? new TimeZone(zone) : zone;
  }

  /** The first time after `instant`; null when there is none. */
  next(instant: number): number | null {
    if (!this.#everyHour) {
      const wall = this.#after(this.#zone.furthest(instant));
      return wall === null ? null : this.#zone.reaches(wall);
    }
    let from = instant;
    for (let wall = this.#after(this.#zone.wall(from)); wall !== null;) {
      const time = wall - this.#zone.offset(from);
      const change = this.#zone.change(from, time);
      if (change === null) return time;
      from = change;
      wall = this.#after(this.#zone.wall(from) - 1);
    }
    return null;
  }

  #after(wall: number): number | null {
    return this.#cron.nextRun(new Date(wall))?.getTime() ?? null;
  }
}
