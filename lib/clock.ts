import { performance } from 'node:perf_hooks';

/** A timer that was set; `cancel()` may be called any number of times. */
export interface ClockTimer {
  cancel(): void;
}

/**
 * Everything the product knows of time. The real one is `systemClock`; tests and the simulation hand in their own.
 * This is the only file of lib/ that reads or sets time.
 */
export interface Clock {
  /** Wall clock, milliseconds since the epoch, whole. Jobs are due by this clock. */
  now(): number;
  /** Milliseconds that only ever rise; for measuring how long something took or stayed silent. */
  monotonic(): number;
  /** Milliseconds until the wall clock says `time`, with their fraction; below zero when it has passed. */
  until(time: number): number;
  /**
   * Calls `run` once, `delay` milliseconds from now or later. Any finite delay is honoured, years as well.
   * A timer with `keepAlive: false` does not keep the process running.
   */
  after(delay: number, run: () => void, keepAlive?: boolean): ClockTimer;
  /** Calls `run` once what already arrived in this turn of the event loop has been handled: the end of a batch. */
  endOfTick(run: () => void): void;
}

/** Beyond this `setTimeout` fires at once, so a longer wait is made of several. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

/** The wall clock with a fraction, which its own readings lack; it is never outside of the millisecond that they say. */
function wallClock(): () => number {
  /** What to add to the monotonic clock; it changes when the wall clock is set, and as that drifts. */
  let offset = performance.timeOrigin;
  return () => {
    const exact = offset + performance.now();
    const whole = Date.now();
    const fitting = Math.min(Math.max(exact, whole), whole + 0.999);
    offset += fitting - exact;
    return fitting;
  };
}

const exactly = wallClock();

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  until: (time) => time - exactly(),
  after(delay, run, keepAlive = true) {
    if (!Number.isFinite(delay)) throw new RangeError(`A timer needs a finite delay, not ${delay}.`);
    const end = performance.now() + delay;
    let timer: NodeJS.Timeout;
    const arm = (rest: number): void => {
      timer = setTimeout(
        () => {
          const left = end - performance.now();
          // setTimeout may fire up to a millisecond early; the wait is only over when it is over.
          if (left > 0) arm(left);
          else run();
        },
        Math.min(Math.max(Math.ceil(rest), 0), LONGEST_TIMEOUT),
      );
      if (!keepAlive) timer.unref();
    };
    arm(delay);
    return { cancel: () => clearTimeout(timer) };
  },
  endOfTick: (run) => void setImmediate(run),
};
